//! Active health checks, on the side runtime: a backend goes out after [`FAILURES_OUT`] failed checks in a row and comes
//! back with the first that succeeds. How many checks run at once is bounded for the whole process, and each pool has its
//! own share of that: one whose backends are all lost in a black hole holds nobody else up.

mod check;
mod ward;

use super::{Backend, Pool};
use crate::{
    drain::Live,
    figures::Standing,
    rng::{Rng, mix},
};
use check::{Cause, Ill, check};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use ward::Ward;

/// Failed checks in a row after which a backend that was ready is out.
const FAILURES_OUT: u32 = 2;
/// Between two checks of a backend whose last one failed, unless the pool's interval is shorter.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_millis(250);
/// Checks at the same time in the whole process: ten thousand backends must not mean ten thousand sockets. With more pools
/// than this, each has one.
const CHECKS_MOST: usize = 256;
/// Checks at the same time in one pool.
const CHECKS_PER_POOL_MOST: usize = 128;

/// What each of so many pools may check at the same time.
pub fn share(pools: usize) -> usize {
    (CHECKS_MOST / pools.max(1)).clamp(1, CHECKS_PER_POOL_MOST)
}

/// Checks every backend once, all at the same time as far as their number allows, so that a start knows who is ready.
/// Who has not answered within `most` stays warming. Dropping this future stops the checks.
pub async fn first_round(pools: &[Arc<Pool>], most: Duration) {
    let mut checks = JoinSet::new();
    for pool in pools {
        let turns = Arc::new(Semaphore::new(share(pools.len())));
        for backend in &pool.backends {
            let (pool, backend, turns) = (pool.clone(), backend.clone(), turns.clone());
            checks.spawn(async move {
                match look_at(&pool, &backend, &turns).await {
                    Ok(said) => pool.stands(&backend, Standing::Ready, said),
                    Err(ill) if ill.cause == Cause::Ours => pool.stands(&backend, backend.standing(), ill.said),
                    Err(ill) => pool.stands(&backend, Standing::Unhealthy, ill.said),
                };
            });
        }
    }
    // Who is late is looked at again by `run`.
    let _ = timeout(most, async { while checks.join_next().await.is_some() {} }).await;
}

/// Checks a pool's backends again and again, until the process drains, as many at the same time as its [`share`] is.
/// Dropping this future stops the checks.
pub async fn run(pool: Arc<Pool>, share: usize, mut live: Live) {
    let ward = Arc::new(Ward::new(pool.clone()));
    let turns = Arc::new(Semaphore::new(share));
    let mut visits = JoinSet::new();
    for backend in &pool.backends {
        visits.spawn(visit(ward.clone(), backend.clone(), turns.clone()));
    }
    live.draining().await;
}

/// Looks after one backend.
async fn visit(ward: Arc<Ward>, backend: Arc<Backend>, turns: Arc<Semaphore>) {
    let pool = ward.pool();
    let mut rng = Rng::new(mix(backend.id) ^ Rng::from_entropy().bits());
    let mut failures = 0;
    // Spread over an interval, so that a thousand backends are not asked in the same moment; who was not ready at the
    // first round is looked at at once.
    let mut pause = if backend.is_ready() { part_of(pool.health.interval, &mut rng) } else { Duration::ZERO };
    loop {
        sleep(pause).await;
        match look_at(pool, &backend, &turns).await {
            Ok(said) => {
                failures = 0;
                ward.is_well(&backend, said);
                pause = jittered(pool.health.interval, &mut rng);
            }
            Err(ill) if ill.cause == Cause::Ours => {
                pool.stands(&backend, backend.standing(), ill.said);
                pause = jittered(pool.health.interval, &mut rng);
            }
            Err(ill) => {
                failures += 1;
                let out = failures >= FAILURES_OUT || !backend.is_ready();
                ward.is_ill(&backend, ill, out);
                pause = jittered(pool.health.interval.min(INTERVAL_AFTER_FAILURE), &mut rng);
            }
        }
    }
}

/// One check, when its turn comes.
async fn look_at(pool: &Pool, backend: &Backend, turns: &Semaphore) -> Result<String, Ill> {
    // The semaphore is never closed.
    let _turn = turns.acquire().await;
    check(&backend.address, pool.health.path.as_deref()).await
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
