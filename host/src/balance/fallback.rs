//! The one native algorithm, so that the ladder always ends: smooth weighted round robin (nginx,
//! `ngx_http_upstream_round_robin.c`) over whoever is usable at this moment.

use crate::{
    config::model::Tiers,
    figures::Standing,
    upstream::{Backend, Pool},
};
use std::sync::Arc;
use tokio::time::Instant;

/// Where one worker stands in its turn through one pool, by the backend's index in it.
#[derive(Debug)]
pub(super) struct RoundRobin(Turns);

/// Where one worker stands in its turn through some backends.
#[derive(Debug)]
pub(super) struct Turns {
    current: Vec<i64>,
}

impl RoundRobin {
    pub(super) fn new(pool: &Pool) -> RoundRobin {
        RoundRobin(Turns::new(pool.backends.len()))
    }

    /// The next by weight among the ready and untried; when there is none, among those that stand by in the next tier.
    pub(super) fn next(&mut self, pool: &Pool, tried: &[Arc<Backend>], now: Instant) -> Option<Arc<Backend>> {
        let usable = |b: &&Arc<Backend>| b.weight() > 0 && is_usable(b, tried);
        if pool.tiers == Tiers::Plugin {
            // All tiers are ready, and who knows what to make of them cannot say so.
            let first = pool.backends.iter().filter(usable).map(|b| b.priority).min()?;
            return self.next_of(pool.backends.iter().filter(usable).filter(|b| b.priority == first), pool, now);
        }
        if let Some(backend) = self.next_of(pool.backends.iter().filter(usable), pool, now) {
            return Some(backend);
        }
        let waits = |b: &&Arc<Backend>| {
            b.standing() == Standing::Standby && b.weight() > 0 && b.has_room() && !is_tried(b, tried)
        };
        let tier = pool.backends.iter().filter(waits).map(|b| b.priority).min()?;
        self.next_of(pool.backends.iter().filter(waits).filter(|b| b.priority == tier), pool, now)
    }

    fn next_of<'a>(
        &mut self,
        backends: impl Iterator<Item = &'a Arc<Backend>>,
        pool: &Pool,
        now: Instant,
    ) -> Option<Arc<Backend>> {
        self.0.next(backends.map(|backend| (backend.index, backend, backend.weight())), pool, now)
    }
}

impl Turns {
    /// Through so many.
    pub(super) fn new(count: usize) -> Turns {
        Turns { current: vec![0; count] }
    }

    /// The next of these by weight; each comes with its place among all.
    pub(super) fn next<'a>(
        &mut self,
        backends: impl Iterator<Item = (usize, &'a Arc<Backend>, u32)>,
        pool: &Pool,
        now: Instant,
    ) -> Option<Arc<Backend>> {
        let mut total = 0;
        let mut best: Option<(usize, &Arc<Backend>, i64)> = None;
        for (at, backend, weight) in backends {
            let weight = share(backend, weight, pool, now);
            let current = self.current.get_mut(at)?;
            *current += weight;
            total += weight;
            if best.is_none_or(|(_, _, most)| *current > most) {
                best = Some((at, backend, *current));
            }
        }
        let (at, backend, _) = best?;
        *self.current.get_mut(at)? -= total;
        Some(backend.clone())
    }
}

/// What it should get now.
fn share(backend: &Backend, weight: u32, pool: &Pool, now: Instant) -> i64 {
    let permille = if pool.starts_slowly() { backend.figures.slow_start_permille(now) } else { 1000 };
    i64::from(weight) * i64::from(permille)
}

/// Ready now, with room, and not tried by this request.
pub(super) fn is_usable(backend: &Arc<Backend>, tried: &[Arc<Backend>]) -> bool {
    backend.is_ready() && backend.has_room() && !is_tried(backend, tried)
}

/// Whether somebody would be usable, but for the requests that it has.
pub(super) fn is_full(pool: &Pool, tried: &[Arc<Backend>]) -> bool {
    let may_be = |b: &Backend| matches!(b.standing(), Standing::Ready | Standing::Standby) && b.weight() > 0;
    pool.limit.is_some() && pool.backends.iter().any(|b| may_be(b) && !b.has_room() && !is_tried(b, tried))
}

/// What a plugin may send a request to when it says so: a backend that drains is there for the clients that stick to it.
/// One whose place was reserved counts it already.
pub(super) fn may_be_chosen(backend: &Arc<Backend>, tried: &[Arc<Backend>], is_reserved: bool) -> bool {
    matches!(backend.standing(), Standing::Ready | Standing::Draining)
        && (if is_reserved { backend.is_within_bounds() } else { backend.has_room() })
        && !is_tried(backend, tried)
}

fn is_tried(backend: &Arc<Backend>, tried: &[Arc<Backend>]) -> bool {
    // By id: a reload in between may have made another record of the same backend.
    tried.iter().any(|t| t.id == backend.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{balance::tests::pool, config::model, figures::Figures};

    fn spread(pool: &Pool, tried: &[Arc<Backend>], picks: usize) -> Vec<usize> {
        let mut turn = RoundRobin::new(pool);
        let mut counts = vec![0; pool.backends.len()];
        for _ in 0..picks {
            if let Some(backend) = turn.next(pool, tried, Instant::now()) {
                counts[backend.index] += 1;
            }
        }
        counts
    }

    #[test]
    fn the_order_is_nginx_s() {
        let pool = pool(&[(5, 0), (1, 0), (1, 0)]);
        let mut turn = RoundRobin::new(&pool);
        let order: Vec<usize> = (0..7).map(|_| turn.next(&pool, &[], Instant::now()).unwrap().index).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn who_is_ill_tried_or_without_weight_is_left_out() {
        let pool = pool(&[(1, 0), (1, 0), (0, 0), (2, 0)]);
        pool.stands(&pool.backends[0], Standing::Unhealthy, "refused");
        assert_eq!(spread(&pool, &[], 30), [0, 10, 0, 20]);
        assert_eq!(spread(&pool, &[pool.backends[3].clone()], 30), [0, 30, 0, 0]);
        let all = pool.backends.clone();
        assert_eq!(spread(&pool, &all, 30), [0; 4]);
    }

    #[test]
    fn who_has_as_many_requests_as_it_may_is_left_out_and_when_all_have_it_is_worth_waiting() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9000));
        let backends = ["a", "b"].map(|name| model::Backend::new(name, address));
        let mut config = model::Pool::new("test", backends.into());
        config.limit = Some(model::PoolLimit { backend_requests: Some(1), ..Default::default() });
        let pool = Pool::new(&config, &Figures::default()).unwrap();
        for backend in &pool.backends {
            pool.stands(backend, Standing::Ready, "said the test");
        }
        let (mut turn, now) = (RoundRobin::new(&pool), Instant::now());
        let first = turn.next(&pool, &[], now).unwrap();
        let ticket = first.begin(now).unwrap();
        assert!(first.begin(now).is_none());
        for _ in 0..3 {
            assert!(!Arc::ptr_eq(&turn.next(&pool, &[], now).unwrap(), &first));
        }
        let _other = turn.next(&pool, &[], now).unwrap().begin(now).unwrap();
        assert!(turn.next(&pool, &[], now).is_none() && is_full(&pool, &[]));
        assert!(!is_full(&pool, &pool.backends), "nobody waits for those that were tried");
        drop(ticket);
        assert!(Arc::ptr_eq(&turn.next(&pool, &[], now).unwrap(), &first));
    }

    #[test]
    fn a_later_tier_serves_when_nobody_before_it_can() {
        let pool = pool(&[(1, 0), (1, 1)]);
        assert_eq!(spread(&pool, &[], 4), [4, 0]);
        assert_eq!(spread(&pool, &[pool.backends[0].clone()], 4), [0, 4]);
        pool.stands(&pool.backends[0], Standing::Unhealthy, "refused");
        assert_eq!(spread(&pool, &[], 4), [0, 4]);
    }
}
