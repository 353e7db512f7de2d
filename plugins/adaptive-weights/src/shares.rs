//! Which part of its weight each backend has.

use super::Settings;
use pointsman_sdk::{Weighted, prelude::*};
use std::collections::BTreeMap;

/// All of a weight.
const WHOLE: u32 = 1_000;
/// Fewer say nothing of what is usual.
const BACKENDS_LEAST: usize = 3;

/// Parts of weights, in thousandths, by backend: kept over changes of the pool.
pub(crate) struct Shares {
    floor: u32,
    tolerance: u32,
    recovery: u32,
    of: BTreeMap<u64, u32>,
}

impl Shares {
    pub(crate) fn new(settings: &Settings) -> Shares {
        let permille = |percent: u32| percent * 10;
        Shares {
            floor: permille(settings.floor),
            tolerance: permille(settings.tolerance),
            recovery: permille(settings.recovery),
            of: BTreeMap::new(),
        }
    }

    /// Who left is forgotten; who is ill for a while is not.
    pub(crate) fn update(&mut self, pool: &Pool) {
        let here = pool.ready().iter().chain(pool.others());
        self.of = here.map(|backend| (backend.id, self.of(backend))).collect();
    }

    /// Whether anything has changed.
    pub(crate) fn tick(&mut self, pool: &Pool) -> bool {
        let all = figures::all_success_permille();
        let failing = || pool.ready().iter().zip(&all).filter(|(backend, _)| backend.weight > 0);
        let failing = || failing().map(|(backend, success)| (backend, WHOLE.saturating_sub(*success)));
        let Some(usual) = usual(failing().map(|(_, failing)| failing).collect()) else { return false };
        let mut changed = false;
        for (backend, failing) in failing() {
            let before = self.of(backend);
            let after = if failing > usual + self.tolerance {
                (before / 2).max(self.floor)
            } else {
                (before + self.recovery).min(WHOLE)
            };
            changed |= before != after;
            self.of.insert(backend.id, after);
        }
        changed
    }

    /// Draws by the parts of the weights.
    pub(crate) fn drawn(&self, pool: &Pool) -> Weighted {
        let part = |backend: &Backend| u64::from(backend.weight) * u64::from(self.of(backend));
        Weighted::new(pool.ready().iter().map(|backend| u32::try_from(part(backend)).unwrap_or(u32::MAX)))
    }

    fn of(&self, backend: &Backend) -> u32 {
        self.of.get(&backend.id).copied().unwrap_or(WHOLE)
    }
}

/// What half of them do not exceed, the lower half of two; none where there are too few to tell.
fn usual(mut failing: Vec<u32>) -> Option<u32> {
    if failing.len() < BACKENDS_LEAST {
        return None;
    }
    let middle = (failing.len() - 1) / 2;
    Some(*failing.select_nth_unstable(middle).1)
}
