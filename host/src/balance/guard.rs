//! Bounds for the shares of a pool's backends, whatever its algorithm does: a choice that would go beyond the greatest share,
//! or leave somebody below the least, goes to another backend. Off unless it is configured; each worker keeps its own window.

use crate::{
    config::model::{Share, Tiers},
    figures::PoolCounts,
    upstream::{Backend, Pool},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

/// The latest picks of a worker, of which shares are taken.
const WINDOW: usize = 500;

/// One pool's shares on one worker.
#[derive(Debug)]
pub(super) struct Guard {
    share: Share,
    /// Backends by id, oldest first.
    window: VecDeque<u64>,
    /// How often each is in the window.
    picks: BTreeMap<u64, usize>,
    /// Whose least share is looked at next, as an index in the pool.
    turn: usize,
}

impl Guard {
    /// None where the pool has no bounds.
    pub(super) fn of(pool: &Pool) -> Option<Guard> {
        let share = pool.share?;
        Some(Guard { share, window: VecDeque::new(), picks: BTreeMap::new(), turn: 0 })
    }

    /// Who is to get this pick in place of the one that was chosen, and why; none: no bound is broken.
    pub(super) fn breach(&mut self, chosen: &Arc<Backend>, pool: &Pool, now: Instant) -> Option<Breach> {
        let breach = self.starved(chosen, pool, now).or_else(|| self.instead_of(chosen, pool))?;
        (breach.other.id != chosen.id).then_some(breach)
    }

    /// The backend whose turn it is to be looked at, where it has less than its least share of a full window. One is looked
    /// at for each pick, so that it costs the same however many there are.
    fn starved(&mut self, chosen: &Backend, pool: &Pool, now: Instant) -> Option<Breach> {
        let least = self.share.least?;
        if self.window.len() < WINDOW {
            return None;
        }
        self.turn = (self.turn + 1) % pool.backends.len().max(1);
        let backend = pool.backends.get(self.turn).filter(|backend| may_take(backend, chosen, pool))?;
        let starts = pool.starts_slowly() && backend.figures.slow_start_permille(now) < 1000;
        // An equal share is the greatest least share that all can have.
        let bound = picks_of(least).min(WINDOW / equals(chosen, pool).max(1));
        (!starts && self.had(backend) < bound).then(|| Breach { other: backend.clone(), bound: Bound::Least })
    }

    /// Where the chosen one has its greatest share already: the one that had least for its weight.
    fn instead_of(&self, chosen: &Backend, pool: &Pool) -> Option<Breach> {
        let most = self.share.most?;
        if self.had(chosen) < picks_of(most) {
            return None;
        }
        // Where few are left, an equal share is no breach.
        if self.had(chosen) < WINDOW.div_ceil(equals(chosen, pool).max(1)) {
            return None;
        }
        let had = |backend: &&Arc<Backend>| self.had(backend) * 1000 / backend.weight().max(1) as usize;
        let other = pool.backends.iter().filter(|backend| may_take(backend, chosen, pool)).min_by_key(had)?;
        Some(Breach { other: other.clone(), bound: Bound::Most })
    }

    fn had(&self, backend: &Backend) -> usize {
        self.picks.get(&backend.id).copied().unwrap_or(0)
    }

    /// This one got a pick, perhaps for the sake of a bound.
    pub(super) fn note(&mut self, id: u64, bound: Option<Bound>, counts: &PoolCounts) {
        match bound {
            Some(Bound::Least) => counts.share_least.up(),
            Some(Bound::Most) => counts.share_most.up(),
            None => {}
        }
        self.window.push_back(id);
        *self.picks.entry(id).or_default() += 1;
        if self.window.len() > WINDOW
            && let Some(oldest) = self.window.pop_front()
            && let Some(picks) = self.picks.get_mut(&oldest)
        {
            *picks -= 1;
            if *picks == 0 {
                self.picks.remove(&oldest);
            }
        }
    }
}

/// A pick that would break a bound.
#[derive(Debug)]
pub(super) struct Breach {
    /// Who gets it.
    pub other: Arc<Backend>,
    /// For the sake of which bound.
    pub bound: Bound,
}

/// A bound for shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// None has less.
    Least,
    /// None has more.
    Most,
}

/// A share of the window, in picks.
fn picks_of(percent: u32) -> usize {
    WINDOW * percent as usize / 100
}

/// Who may get a pick in place of the one that was chosen.
fn may_take(backend: &Backend, chosen: &Backend, pool: &Pool) -> bool {
    counts_with(backend, chosen, pool) && backend.has_room()
}

/// How many there are to share with the chosen one.
fn equals(chosen: &Backend, pool: &Pool) -> usize {
    pool.backends.iter().filter(|backend| counts_with(backend, chosen, pool)).count()
}

/// Where the tiers are the plugin's, all of them are ready, and one that it keeps in reserve is to get nothing.
fn counts_with(backend: &Backend, chosen: &Backend, pool: &Pool) -> bool {
    let is_in_reach = pool.tiers != Tiers::Plugin || backend.priority == chosen.priority;
    is_in_reach && backend.is_ready() && backend.weight() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::model,
        figures::{Figures, Standing},
    };
    use std::net::SocketAddr;

    /// Ready backends in these tiers, which are the plugin's, with a least share of 10 %.
    fn pool(priorities: &[u32]) -> Arc<Pool> {
        let backend = |(number, &priority): (u16, &u32)| {
            let address = SocketAddr::from(([127, 0, 0, 1], 9000 + number));
            model::Backend { priority, ..model::Backend::new(format!("b{number}"), address) }
        };
        let mut config = model::Pool::new("test", (0..).zip(priorities).map(backend).collect());
        (config.tiers, config.share) = (Tiers::Plugin, Some(Share { least: Some(10), most: Some(90) }));
        let pool = Pool::new(&config, &Figures::default()).unwrap();
        for backend in &pool.backends {
            pool.stands(backend, Standing::Ready, "said the test");
        }
        pool
    }

    /// How often each gets a pick when the first one is chosen always.
    fn spread(pool: &Pool, picks: usize) -> Vec<usize> {
        let mut guard = Guard::of(pool).unwrap();
        let mut counts = vec![0; pool.backends.len()];
        for _ in 0..picks {
            let breach = guard.breach(&pool.backends[0], pool, Instant::now());
            let got = breach.as_ref().map_or(&pool.backends[0], |breach| &breach.other).clone();
            guard.note(got.id, breach.map(|breach| breach.bound), pool.figures.of(0));
            counts[got.index] += 1;
        }
        counts
    }

    #[test]
    fn a_tier_that_the_plugin_keeps_in_reserve_has_no_share() {
        let counts = spread(&pool(&[0, 0, 1]), 5_000);
        assert!(counts[1] >= 400 && counts[2] == 0, "{counts:?}");
    }

    #[test]
    fn a_pick_that_never_began_counts_nowhere() {
        let pool = pool(&[0, 0]);
        let mut guard = Guard::of(&pool).unwrap();
        let counts = pool.figures.of(0);
        for _ in 0..WINDOW {
            guard.note(pool.backends[0].id, None, counts);
        }
        // Full at the moment: it is asked again and again.
        for _ in 0..100 {
            assert!(guard.breach(&pool.backends[0], &pool, Instant::now()).is_some());
        }
        assert_eq!((guard.had(&pool.backends[0]), counts.share_least.get() + counts.share_most.get()), (WINDOW, 0));
        guard.note(pool.backends[1].id, Some(Bound::Most), counts);
        assert_eq!((guard.had(&pool.backends[1]), counts.share_most.get()), (1, 1));
    }
}
