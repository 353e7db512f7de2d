//! Servers that are slow, ill or new, behind a balancer, in virtual time.

use super::{Bench, Figures, host};
use crate::{Balancer, Decision, Position, ProbeAnswer, Prober, Ticker, turn::mix};
use std::{cmp::Reverse, collections::BinaryHeap};

/// In how long a peak comes down to 1/e of itself, as the host's figures have it.
const PEAK_DECAY_US: f64 = 10_000_000.0;
/// In how long an average that no answer confirms is worth 1/e, as the host's figures have it.
const LATENCY_MEMORY_US: f64 = 3_000_000.0;
/// The share of a new answer in the averages, as the host's figures have it.
const NEW_SAMPLE: f64 = 1.0 / 16.0;

/// One server.
#[derive(Clone, Debug)]
pub struct Server {
    /// What a request takes when nobody is before it; each takes between half as much and half as much again.
    pub service_us: u64,
    /// So many are served at a time, the rest wait.
    pub lanes: usize,
    /// It answers with failures, such as 503.
    pub fails: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server { service_us: 10_000, lanes: 64, fails: false }
    }
}

/// What came of some requests.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// How often each backend was chosen.
    pub spread: Vec<u32>,
    /// How often the balancer had no opinion.
    pub passed: u32,
    /// How long the requests took that were over by the end, from the shortest to the longest.
    pub took_us: Vec<u64>,
}

impl Run {
    /// Each backend's share of the requests, in per cent.
    pub fn shares(&self) -> Vec<f64> {
        let all: u32 = self.spread.iter().sum();
        self.spread.iter().map(|&count| f64::from(count) * 100.0 / f64::from(all.max(1))).collect()
    }

    /// What so many of a hundred requests took at most.
    pub fn percentile_us(&self, of_100: usize) -> u64 {
        let at = (self.took_us.len() * of_100 / 100).min(self.took_us.len().saturating_sub(1));
        self.took_us.get(at).copied().unwrap_or(0)
    }
}

/// Requests come evenly, a balancer chooses, servers take their time, and the figures follow as a host keeps them. All of
/// it repeats.
///
/// ```
/// # use pointsman_sdk::{prelude::*, testing::{Bench, Simulation}};
/// # struct LessBusy;
/// # impl Balancer for LessBusy {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings, _: &Place) -> Result<Self, String> { Ok(LessBusy) }
/// #     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
/// #         let (one, other) = (turn.below(0, pool.len()), turn.below(1, pool.len()));
/// #         turn.untried(if figures::in_flight(one) > figures::in_flight(other) { other } else { one }, pool)
/// #     }
/// # }
/// let mut simulation = Simulation::new(Bench::<LessBusy>::new(&[1, 1, 1]));
/// simulation.server(2).service_us = 500_000;
/// let run = simulation.run(5_000, 500);
/// assert!(run.spread[2] < run.spread[0], "{:?}", run.shares());
/// ```
pub struct Simulation<B> {
    bench: Bench<B>,
    servers: Vec<(Server, Known)>,
    under_way: BinaryHeap<Reverse<Answer>>,
    ticks: Option<Ticks<B>>,
    /// None: probes are not answered.
    tells: Option<Tells<B>>,
    now_us: u64,
    sent: u64,
}

/// Tells of answers to probes.
type Tells<B> = fn(&mut Bench<B>, &[ProbeAnswer]);

/// When to tick, and how.
struct Ticks<B> {
    next_us: u64,
    tick: fn(&mut Bench<B>),
    period_us: u64,
}

/// When a request is answered, by whom; since when it was under way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    at_us: u64,
    server: usize,
    since_us: u64,
    fails: bool,
}

/// What a host keeps of a backend, and since when the lanes are free.
#[derive(Clone, Debug, Default)]
struct Known {
    lanes_us: Vec<u64>,
    average_us: f64,
    peak_us: f64,
    told_us: u64,
    success: f64,
}

impl Known {
    /// So long after the latest answer.
    fn peak_after(&self, us: f64) -> f64 {
        self.average_us + (self.peak_us - self.average_us).max(0.0) * (-us / PEAK_DECAY_US).exp()
    }
}

impl<B: Balancer> Simulation<B> {
    /// With a usual server behind each backend of the bench.
    pub fn new(bench: Bench<B>) -> Simulation<B> {
        let servers = host(|host| vec![(Server::default(), Known::default()); host.figures.len()]);
        Simulation { bench, servers, under_way: BinaryHeap::new(), ticks: None, tells: None, now_us: 0, sent: 0 }
    }

    /// One of the servers, to change it.
    pub fn server(&mut self, at: usize) -> &mut Server {
        &mut self.servers[at].0
    }

    /// The bench, to change who belongs to the pool. Servers stay with their places.
    pub fn pool(&mut self, act: impl FnOnce(&mut Bench<B>)) {
        act(&mut self.bench);
        self.servers.resize_with(host(|host| host.figures.len()), Default::default);
    }

    /// So many requests, evenly spread over time.
    pub fn run(&mut self, requests: u32, per_second: u32) -> Run {
        let mut run = Run { spread: vec![0; self.servers.len()], ..Run::default() };
        for _ in 0..requests {
            self.wait(1_000_000 / u64::from(per_second), &mut run);
            self.sent += 1;
            match self.bench.pick() {
                Decision::Choose(at) => {
                    run.spread[at as usize] += 1;
                    self.send(at as usize);
                }
                _ => run.passed += 1,
            }
            self.answer_probes();
        }
        run.took_us.sort_unstable();
        run
    }

    /// Time passes: answers come, and periods end.
    fn wait(&mut self, us: u64, run: &mut Run) {
        let until = self.now_us + us;
        loop {
            let answer = self.under_way.peek().map_or(u64::MAX, |Reverse(answer)| answer.at_us);
            let tick = self.ticks.as_ref().map_or(u64::MAX, |ticks| ticks.next_us);
            if answer.min(tick) > until {
                break;
            }
            self.pass_to(answer.min(tick));
            if tick < answer {
                self.tick();
            } else if let Some(Reverse(answer)) = self.under_way.pop() {
                run.took_us.push(answer.at_us - answer.since_us);
                self.answered(&answer);
            }
        }
        self.pass_to(until);
        self.show();
    }

    fn pass_to(&mut self, now_us: u64) {
        self.bench.pass(now_us - self.now_us);
        self.now_us = now_us;
    }

    fn send(&mut self, at: usize) {
        let jitter = mix(self.sent) % 1024;
        let (server, known) = &mut self.servers[at];
        known.lanes_us.resize(server.lanes.max(1), 0);
        let Some(lane) = known.lanes_us.iter_mut().min() else { return };
        let at_us = self.now_us.max(*lane) + server.service_us * (512 + jitter) / 1024;
        *lane = at_us;
        self.under_way.push(Reverse(Answer { at_us, server: at, since_us: self.now_us, fails: server.fails }));
        host(|host| host.figures[at].in_flight += 1);
    }

    fn answered(&mut self, answer: &Answer) {
        let known = &mut self.servers[answer.server].1;
        let took = (answer.at_us - answer.since_us) as f64;
        let silent = self.now_us.saturating_sub(known.told_us) as f64;
        let first = known.average_us == 0.0;
        // Of failures too: an answer is one, whatever it says.
        known.peak_us = took.max(known.peak_after(silent));
        let share = if first { 1.0 } else { NEW_SAMPLE.max(1.0 - (-silent / LATENCY_MEMORY_US).exp()) };
        known.average_us += (took - known.average_us) * share;
        known.told_us = self.now_us;
        known.success += (if answer.fails { 1.0 } else { 0.0 } - known.success) * NEW_SAMPLE;
        host(|host| {
            let Some(figures) = host.figures.get_mut(answer.server) else { return };
            figures.in_flight = figures.in_flight.saturating_sub(1);
            figures.consecutive_failures = if answer.fails { figures.consecutive_failures + 1 } else { 0 };
        });
    }

    /// What the balancer will see.
    fn show(&self) {
        host(|host| {
            for (figures, (_, known)) in host.figures.iter_mut().zip(&self.servers) {
                let peak = known.peak_after(self.now_us.saturating_sub(known.told_us) as f64);
                let (latency_us, peak_latency_us) = (known.average_us as u32, peak as u32);
                let success_permille = 1000 - (known.success * 1000.0).round() as u32;
                *figures = Figures { latency_us, peak_latency_us, success_permille, ..figures.clone() };
            }
        });
    }

    /// Each backend says what it has under way, and how long it takes: at once, as seen from its own place.
    fn answer_probes(&mut self) {
        let Some(tells) = self.tells else { return };
        let asked = host(|host| std::mem::take(&mut host.asked));
        let answer = |at: Position| {
            let known = &self.servers.get(at as usize)?.1;
            let in_flight = host(|host| host.figures.get(at as usize).map(|figures| figures.in_flight));
            let latency_us = Some(known.average_us as u32).filter(|us| *us > 0);
            Some(ProbeAnswer { at: Some(at), in_flight, latency_us, took_us: 0, age_us: 0 })
        };
        let answers: Vec<ProbeAnswer> = asked.into_iter().filter_map(answer).collect();
        if !answers.is_empty() {
            tells(&mut self.bench, &answers);
        }
    }

    fn tick(&mut self) {
        self.show();
        if let Some(ticks) = &mut self.ticks {
            ticks.next_us += ticks.period_us;
            (ticks.tick)(&mut self.bench);
        }
    }
}

impl<B: Prober> Simulation<B> {
    /// The same of a balancer that has servers asked how busy they are: they answer before the next request.
    pub fn probing(bench: Bench<B>) -> Simulation<B> {
        Simulation { tells: Some(Bench::probed), ..Simulation::new(bench) }
    }
}

impl<B: Ticker> Simulation<B> {
    /// The same of a balancer that ticks.
    pub fn ticking(bench: Bench<B>) -> Simulation<B> {
        let period_us = bench.period_us();
        Simulation {
            ticks: Some(Ticks { next_us: period_us, tick: Bench::tick_now, period_us }),
            ..Simulation::new(bench)
        }
    }
}
