//! Bounds for the shares of a pool's backends, whatever its algorithm does: a choice that would go beyond the greatest share,
//! or leave somebody below the least, goes to another backend. Off unless it is configured; each worker keeps its own window.

use crate::{
    config::model::Share,
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

    /// Who gets this pick: the one that was chosen, or another, which is counted.
    pub(super) fn settle(
        &mut self,
        chosen: &Arc<Backend>,
        pool: &Pool,
        counts: &PoolCounts,
        now: Instant,
    ) -> Arc<Backend> {
        let settled = match self.starved(pool, now).or_else(|| self.instead_of(chosen, pool)) {
            Some(Breach::Least(other)) if other.id != chosen.id => {
                counts.share_least.up();
                other
            }
            Some(Breach::Most(other)) if other.id != chosen.id => {
                counts.share_most.up();
                other
            }
            _ => chosen.clone(),
        };
        self.note(settled.id);
        settled
    }

    /// The backend whose turn it is to be looked at, where it has less than its least share of a full window. One is looked
    /// at for each pick, so that it costs the same however many there are.
    fn starved(&mut self, pool: &Pool, now: Instant) -> Option<Breach> {
        let least = self.share.least?;
        if self.window.len() < WINDOW {
            return None;
        }
        self.turn = (self.turn + 1) % pool.backends.len().max(1);
        let backend = pool.backends.get(self.turn).filter(|backend| may_take(backend))?;
        let starts = pool.starts_slowly() && backend.figures.slow_start_permille(now) < 1000;
        // An equal share is the greatest least share that all can have.
        let bound = picks_of(least).min(WINDOW / ready(pool).max(1));
        (!starts && self.had(backend) < bound).then(|| Breach::Least(backend.clone()))
    }

    /// Where the chosen one has its greatest share already: the one that had least for its weight.
    fn instead_of(&self, chosen: &Backend, pool: &Pool) -> Option<Breach> {
        let most = self.share.most?;
        if self.had(chosen) < picks_of(most) {
            return None;
        }
        // Where few are left, an equal share is no breach.
        if self.had(chosen) < WINDOW.div_ceil(ready(pool).max(1)) {
            return None;
        }
        let had = |backend: &&Arc<Backend>| self.had(backend) * 1000 / backend.weight().max(1) as usize;
        let other = pool.backends.iter().filter(|backend| may_take(backend)).min_by_key(had)?;
        Some(Breach::Most(other.clone()))
    }

    fn had(&self, backend: &Backend) -> usize {
        self.picks.get(&backend.id).copied().unwrap_or(0)
    }

    fn note(&mut self, id: u64) {
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

enum Breach {
    Least(Arc<Backend>),
    Most(Arc<Backend>),
}

/// A share of the window, in picks.
fn picks_of(percent: u32) -> usize {
    WINDOW * percent as usize / 100
}

fn may_take(backend: &Backend) -> bool {
    backend.is_ready() && backend.weight() > 0 && backend.has_room()
}

fn ready(pool: &Pool) -> usize {
    pool.backends.iter().filter(|backend| backend.is_ready() && backend.weight() > 0).count()
}
