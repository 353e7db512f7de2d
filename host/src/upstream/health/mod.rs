//! Who looks after a pool's backends, on the side runtime: active checks, the ejection of those whose requests fail, and the
//! probes that balancers ask for.
//! By checks a backend goes out after `health.fall` failures in a row and comes back after `health.rise` successes. How many
//! checks run at once is bounded for the whole process, and each pool has its own share of that: one whose backends are all
//! lost in a black hole holds nobody else up.

mod check;
mod get;
mod grpc;

use super::{Backend, Pool, eject, probe};
use crate::{
    drain::Live,
    rng::{Rng, mix},
};
use check::{Failed, check};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// As checks call themselves.
const AGENT: &str = "pointsman-health";
/// Between two checks of a backend whose last one failed, or that is out, unless the pool's interval is shorter.
const INTERVAL_WHILE_DOWN: Duration = Duration::from_millis(250);
/// Checks at the same time in the whole process: ten thousand backends must not mean ten thousand sockets. With more pools
/// than this, each has one.
const CHECKS_MOST: usize = 256;
/// Checks at the same time in one pool.
const CHECKS_PER_POOL_MOST: usize = 128;

/// What each of so many pools may check at the same time.
pub fn share(pools: usize) -> usize {
    (CHECKS_MOST / pools.max(1)).clamp(1, CHECKS_PER_POOL_MOST)
}

/// Checks every backend once that never was, all at the same time as far as their number allows, so that a start, or a
/// reload that brings new ones, knows who is ready. Who has not answered within `most` stays warming. Dropping this future stops the checks.
pub async fn first_round(pools: &[Arc<Pool>], most: Duration) {
    let mut checks = JoinSet::new();
    for pool in pools {
        let turns = Arc::new(Semaphore::new(share(pools.len())));
        for backend in
            pool.backends.iter().filter(|backend| !backend.with_condition(|condition| condition.is_checked()))
        {
            let (pool, backend, turns) = (pool.clone(), backend.clone(), turns.clone());
            checks.spawn(async move {
                match look_at(&pool, &backend, &turns).await {
                    Ok(said) => pool.begins_well(&backend, said),
                    Err(Failed::Ill(cause, said)) => pool.is_ill(&backend, cause, said),
                    Err(Failed::Undecided(said)) => pool.says(&backend, said),
                }
            });
        }
    }
    // Who is late is looked at again by `run`.
    let _ = timeout(most, async { while checks.join_next().await.is_some() {} }).await;
}

/// The connections for probes that there may be in the whole process.
pub fn probe_connections() -> Arc<Semaphore> {
    probe::connections()
}

/// Looks after a pool's backends until the process drains; as many are checked at the same time as it has `turns`: its
/// [`share`]. Probes are sent over the `connections` of the process. Dropping this future stops that.
pub async fn run(pool: Arc<Pool>, turns: Arc<Semaphore>, connections: Arc<Semaphore>, mut live: Live) {
    pool.take_over();
    let mut visits = JoinSet::new();
    for backend in &pool.backends {
        visits.spawn(visit(pool.clone(), backend.clone(), turns.clone()));
    }
    match &pool.eject {
        Some(how) => drop(visits.spawn(eject::watch(pool.clone(), how.clone()))),
        None => eject::end(&pool),
    }
    if let Some(how) = &pool.probe {
        visits.spawn(probe::run(pool.clone(), how.clone(), connections));
    }
    loop {
        tokio::select! {
            () = live.draining() => return,
            // None of them comes to an end by itself.
            Some(Err(panic)) = visits.join_next() => {
                tracing::error!("pool {}: a task that looks after its backends has ended: {panic}", pool.name);
            }
        }
    }
}

/// Checks one backend again and again.
async fn visit(pool: Arc<Pool>, backend: Arc<Backend>, turns: Arc<Semaphore>) {
    let mut rng = Rng::new(mix(backend.id) ^ Rng::from_entropy().bits());
    let mut tally = Tally::default();
    // Spread over an interval, so that a thousand backends are not asked in the same moment; who was not well at the first
    // round is looked at at once.
    let is_well = backend.with_condition(|condition| condition.is_well());
    let mut pause = if is_well { part_of(pool.health.interval, &mut rng) } else { Duration::ZERO };
    loop {
        sleep(pause).await;
        let result = look_at(&pool, &backend, &turns).await;
        let quick = matches!(result, Err(Failed::Ill(..)));
        tally.count(&pool, &backend, result);
        let is_well = backend.with_condition(|condition| condition.is_well());
        let interval = pool.health.interval;
        pause = jittered(if quick || !is_well { interval.min(INTERVAL_WHILE_DOWN) } else { interval }, &mut rng);
    }
}

/// Checks in a row that say something else than what counts.
#[derive(Debug, Default)]
struct Tally {
    otherwise: u32,
}

impl Tally {
    /// The first check of a backend decides; later ones when there were enough in a row.
    fn count(&mut self, pool: &Pool, backend: &Backend, result: Result<String, Failed>) {
        let (is_checked, is_well) = backend.with_condition(|c| (c.is_checked(), c.is_well()));
        let (cause, said) = match result {
            Ok(said) => (None, said),
            Err(Failed::Ill(cause, said)) => (Some(cause), said),
            Err(Failed::Undecided(said)) => return pool.says(backend, said),
        };
        let wanted = if is_well { pool.health.fall } else { pool.health.rise };
        self.otherwise = if cause.is_none() == is_well { 0 } else { self.otherwise + 1 };
        if is_checked && (1..wanted).contains(&self.otherwise) {
            return pool.says(backend, format!("{said} ({} of {wanted})", self.otherwise));
        }
        self.otherwise = 0;
        match cause {
            None => pool.is_well(backend, said),
            Some(cause) => pool.is_ill(backend, cause, said),
        }
    }
}

/// One check, when its turn comes.
async fn look_at(pool: &Pool, backend: &Backend, turns: &Semaphore) -> Result<String, Failed> {
    // The semaphore is never closed.
    let _turn = turns.acquire().await;
    check(backend, &pool.health).await
}

/// The duration, give or take a tenth: checks of many balancers must not fall into step.
fn jittered(duration: Duration, rng: &mut Rng) -> Duration {
    duration.mul_f64(0.9) + part_of(duration.mul_f64(0.2), rng)
}

/// A random part of a duration.
fn part_of(duration: Duration, rng: &mut Rng) -> Duration {
    duration.mul_f64((rng.bits() >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_are_what_the_process_may_check() {
        for pools in [0, 1, 2, 3, 100, 256] {
            assert!(
                (1..=CHECKS_PER_POOL_MOST).contains(&share(pools)) && share(pools) * pools <= CHECKS_MOST,
                "{pools}"
            );
        }
        assert_eq!(share(10_000), 1);
    }

    #[test]
    fn jitter_is_a_tenth_at_most() {
        let mut rng = Rng::new(7);
        let second = Duration::from_secs(1);
        let pauses: Vec<_> = (0..1000).map(|_| jittered(second, &mut rng)).collect();
        assert!(pauses.iter().all(|p| (Duration::from_millis(900)..=Duration::from_millis(1100)).contains(p)));
        assert!(pauses.iter().any(|&p| p < Duration::from_millis(950)));
        assert!(pauses.iter().any(|&p| p > Duration::from_millis(1050)));
    }
}
