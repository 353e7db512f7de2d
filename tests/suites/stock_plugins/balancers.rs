//! A case of a balancer: a pool by its weights, asked for decisions by workers in turn.

use super::{Admitted, Component, Turns, expect_refusal, head, json};
use pointsman::{
    figures::{Attempt, BackendFigures, Load, Probed, Standing},
    plugin::{BalancerInstance, Decision, Kind, Member, Membership, Runtime, Use},
};
use serde::Deserialize;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    #[serde(default)]
    settings: toml::Table,
    /// A ready backend for each.
    weights: Vec<u32>,
    /// Where they stand, by position.
    #[serde(default)]
    zones: Vec<String>,
    /// Their tiers, by position.
    #[serde(default)]
    priorities: Vec<u32>,
    /// Requests under way, by position.
    #[serde(default)]
    in_flight: Vec<u32>,
    /// What backends said when they were asked how busy they are: position, requests under way, latency in microseconds.
    #[serde(default)]
    answers: Vec<[u32; 3]>,
    /// Positions that have just begun a slow start, and count with a tenth of their weight.
    #[serde(default)]
    starting: Vec<usize>,
    #[serde(default = "one")]
    workers: usize,
    /// Where each request has been before.
    #[serde(default)]
    tried: Vec<u32>,
    /// Whom each request's client is bound to.
    stuck: Option<usize>,
    #[serde(default)]
    picks: usize,
    /// What comes of it: the choices one by one,
    choices: Option<Vec<u32>>,
    /// or how often each backend is chosen in `picks`,
    spread: Option<Vec<u32>>,
    /// give or take,
    #[serde(default)]
    tolerance: u32,
    /// or whom it narrows to,
    narrows: Option<Vec<u32>>,
    /// or no opinion,
    #[serde(default)]
    passes: bool,
    /// or words against the settings.
    refused: Option<String>,
}

/// A slow start that has not come far when the case is over.
const LONG: Duration = Duration::from_secs(100_000);

fn one() -> usize {
    1
}

pub(super) fn run(runtime: &Arc<Runtime>, compiled: &Component, case: &Case) -> Result<(), String> {
    try_case(runtime, compiled, case).map_err(|difference| format!("{}: {difference}", case.name))
}

fn try_case(runtime: &Arc<Runtime>, compiled: &Component, case: &Case) -> Result<(), String> {
    let pool = Pool::of(case);
    let membership = pool.membership.clone();
    let one = Use { pool: case.name.as_str().into(), settings: json(&case.settings), membership, spot: None };
    let admitted = runtime.admit(compiled, Kind::Balancer, &[one]);
    if let Some(words) = &case.refused {
        return expect_refusal(admitted, words);
    }
    let mut workers = Workers::of(&admitted.map_err(|problem| format!("{problem:?}"))?, &pool, case)?;

    if case.passes {
        return equal(Decision::Pass, workers.pick(&pool, case)?);
    }
    if let Some(members) = &case.narrows {
        return equal(members, &workers.narrow(&pool, case)?);
    }
    if let Some(choices) = &case.choices {
        let chosen: Result<Vec<u32>, String> = choices.iter().map(|_| workers.choose(&pool, case)).collect();
        return equal(choices, &chosen?);
    }
    let Some(spread) = &case.spread else { return Err("says not what shall come of it".into()) };
    let mut counts = vec![0; case.weights.len()];
    for _ in 0..case.picks {
        counts[workers.choose(&pool, case)? as usize] += 1;
    }
    let near = |(count, expected): (&u32, &u32)| count.abs_diff(*expected) <= case.tolerance;
    if counts.len() == spread.len() && counts.iter().zip(spread).all(near) { Ok(()) } else { equal(spread, &counts) }
}

fn equal<T: PartialEq + std::fmt::Debug>(expected: T, found: T) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}")) }
}

impl Case {
    fn answers(&self) -> Vec<Probed> {
        let answer = |&[at, in_flight, latency_us]: &[u32; 3]| Probed {
            backend: u64::from(at) + 1,
            load: Some(Load { in_flight, latency_us: Some(latency_us) }),
            took_us: 100,
            at: Instant::now(),
        };
        self.answers.iter().map(answer).collect()
    }
}

/// The backends, busy as the case says for as long as this lives.
struct Pool {
    membership: Membership,
    _under_way: Vec<Attempt>,
}

impl Pool {
    fn of(case: &Case) -> Pool {
        let mut under_way = Vec::new();
        let mut ready = Vec::new();
        for (at, &weight) in (1_u16..).zip(&case.weights) {
            let figures = Arc::new(BackendFigures::default());
            if case.starting.contains(&ready.len()) {
                figures.start_slowly(LONG, Instant::now());
            }
            let busy = case.in_flight.get(ready.len()).copied().unwrap_or(0);
            under_way.extend((0..busy).map(|_| Attempt::begin(figures.clone(), Instant::now())));
            ready.push(Member {
                id: at.into(),
                name: format!("backend-{at}").into(),
                address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8000 + at).into(),
                weight,
                priority: case.priorities.get(ready.len()).copied().unwrap_or(0),
                zone: case.zones.get(ready.len()).map_or("", String::as_str).into(),
                standing: Standing::Ready,
                metadata: Arc::new([]),
                figures,
            });
        }
        Pool { membership: Membership { ready, ..Membership::default() }, _under_way: under_way }
    }
}

/// One instance for each worker; they take turns.
struct Workers {
    instances: Vec<BalancerInstance>,
    turns: Turns,
    asked: usize,
}

impl Workers {
    fn of(generation: &Admitted, pool: &Pool, case: &Case) -> Result<Workers, String> {
        let settings = json(&case.settings);
        // A pool of its own for each case, since counters outlive a pool's instances.
        let name = case.name.as_str().into();
        let instance = |worker| generation.balancer(&name, worker, &settings, pool.membership.clone());
        let instances: Result<Vec<_>, _> = (0..case.workers).map(instance).collect();
        let mut instances = instances.map_err(|fault| fault.to_string())?;
        let (answers, now) = (case.answers(), Instant::now());
        for instance in instances.iter_mut().filter(|_| !answers.is_empty()) {
            instance.probed(now, 0, &answers).map_err(|fault| fault.to_string())?;
        }
        Ok(Workers { instances, turns: Turns::new(), asked: 0 })
    }

    fn pick(&mut self, pool: &Pool, case: &Case) -> Result<Decision, String> {
        let worker = self.asked % self.instances.len();
        self.asked += 1;
        let tried: Vec<u64> = case.tried.iter().map(|at| pool.membership.ready[*at as usize].id).collect();
        let turn = self.turns.next(tried.len());
        self.instances[worker].stuck(case.stuck.map(|at| pool.membership.ready[at].id));
        self.instances[worker].pick(&mut head(), turn, &tried).map_err(|fault| fault.to_string())
    }

    /// Whom the instance that is asked means, in their order.
    fn narrow(&mut self, pool: &Pool, case: &Case) -> Result<Vec<u32>, String> {
        let worker = self.asked % self.instances.len();
        let Decision::Narrow(subset) = self.pick(pool, case)? else { return Err("narrowed to nobody".into()) };
        let mut members: Vec<u32> =
            self.instances[worker].subsets()[subset as usize].members.iter().map(|(at, _)| *at).collect();
        members.sort_unstable();
        Ok(members)
    }

    fn choose(&mut self, pool: &Pool, case: &Case) -> Result<u32, String> {
        match self.pick(pool, case)? {
            Decision::Choose(at) => Ok(at),
            other => Err(format!("chose nobody: {other:?}")),
        }
    }
}
