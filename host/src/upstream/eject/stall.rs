//! A frozen backend: its connections stand, it takes what it is sent, and no byte comes back. Each request to it would wait
//! for its whole timeout; but all of them together tell much sooner.
//!
//! It counts as stalled when some requests have waited for `eject.stall` without a byte from it, on whichever connection,
//! while others of the pool answered. Two are enough where answers are never that slow. Where some are, it could be chance
//! that all that wait there are slow ones: as many are needed as make that a chance of one in [`CHANCE`].
//!
//! Where the pool hedges, nobody may wait that long: a request that was outrun counts on as one that waits, until a byte
//! comes, and its answer as a slow one.

use crate::{figures::BackendFigures, upstream::Backend};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// At least so many requests wait.
const WAITING_LEAST: f64 = 2.0;
/// One in so many: the chance of a mistake that is taken where slow answers are usual.
const CHANCE: f64 = 10_000.0;

/// How long requests to one backend have waited in silence, as looks can tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Wait {
    /// None: nobody waits.
    since: Option<Instant>,
    /// When a byte was heard of last.
    heard: Option<Instant>,
    /// How many requests there were ever, at each look since then; of those before `stall` ago only the last.
    asked: VecDeque<(Instant, u64)>,
    /// So many have waited for `stall` or longer.
    long: u64,
    /// How many were outrun ever, when a byte was heard of last. Those since then would wait still.
    outrun: u64,
}

impl Wait {
    /// Nobody waits; what was before does not count.
    pub(super) fn anew(figures: &BackendFigures) -> Wait {
        Wait { outrun: figures.outrun(), ..Wait::default() }
    }

    pub(super) fn is_none(&self) -> bool {
        self.since.is_none()
    }

    /// Looks at the figures as they are now; `anew`: what was before does not count.
    pub(super) fn look(&mut self, figures: &BackendFigures, stall: Duration, anew: bool, now: Instant) {
        let heard = figures.silence().was_broken();
        let outrun = figures.outrun();
        if heard || anew {
            self.outrun = outrun;
        }
        let (asked, waiting) = (figures.asked(), figures.waiting() + outrun.saturating_sub(self.outrun));
        if heard {
            self.heard = Some(now);
            figures.silence().ends();
        }
        if heard || anew || waiting == 0 {
            self.since = None;
            self.asked.clear();
        }
        self.long = 0;
        if waiting == 0 {
            return;
        }
        self.since.get_or_insert(now);
        self.asked.push_back((now, asked));
        let is_old = |(at, _): &(Instant, u64)| *at + stall <= now;
        while self.asked.get(1).is_some_and(is_old) {
            self.asked.pop_front();
        }
        if let Some((_, before)) = self.asked.front().copied().filter(is_old) {
            // What is asked falls where one that was connecting has to send its body first.
            self.long = waiting.saturating_sub(asked.saturating_sub(before));
        }
    }
}

/// How many requests have waited in vain for this backend, if it has stalled.
pub(super) fn stalled(backends: &[Arc<Backend>], waits: &[Wait], index: usize) -> Option<u64> {
    let wait = waits.get(index).filter(|wait| wait.long > 0)?;
    let slow = |backend: &Backend| backend.figures.silence().slow_share();
    let others = backends.iter().zip(waits).filter(|(other, its)| other.index != index && its.heard > wait.since);
    let (sum, count) = others.fold((0.0, 0_u32), |(sum, count), (other, _)| (sum + slow(other), count + 1));
    let share = (sum / f64::from(count)).max(slow(backends.get(index)?));
    (count > 0 && wait.long as f64 >= enough(share)).then_some(wait.long)
}

/// How many slow requests at the same time are no chance any more, when this share of all is slow.
fn enough(slow: f64) -> f64 {
    if slow >= 1.0 { f64::INFINITY } else { (-CHANCE.ln() / slow.ln()).max(WAITING_LEAST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_slow_answers_are_usual_more_have_to_wait() {
        for (slow, least) in [(0.0, 2.0), (0.01, 2.0), (0.05, 3.1), (0.3, 7.6), (0.5, 13.3), (0.99, 916.4)] {
            assert!((enough(slow) - least).abs() < 0.1, "{slow}: {}", enough(slow));
        }
        assert_eq!(enough(1.0), f64::INFINITY);
    }
}
