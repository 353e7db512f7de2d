//! What a backend's latency counts as.

use pointsman_sdk::prelude::*;
use std::collections::BTreeMap;

/// An average that did not move for so long is one of a backend that nobody asks.
const STALE_US: u64 = 1_000_000;
/// How much of what it lies above the usual is left with each tick; a third is after a second.
const LEFT: f64 = 0.9;

/// The latencies of the ready backends, by position.
#[derive(Default)]
pub(crate) struct Latencies {
    known: Vec<Known>,
    /// What half of those do not exceed that have answered.
    usual: f64,
    now_us: u64,
}

#[derive(Clone, Copy, Default)]
struct Known {
    id: u64,
    /// As the host's figures had it, and since when.
    figure: u32,
    since_us: u64,
    /// What it counts as.
    counted: f64,
}

impl Latencies {
    pub(crate) fn update(&mut self, pool: &Pool) {
        let before: BTreeMap<u64, Known> = self.known.drain(..).map(|known| (known.id, known)).collect();
        let of = |backend: &Backend| {
            before.get(&backend.id).copied().unwrap_or(Known { id: backend.id, ..Known::default() })
        };
        self.known = pool.ready().iter().map(of).collect();
        self.tick(self.now_us);
    }

    pub(crate) fn tick(&mut self, now_us: u64) {
        self.now_us = now_us;
        for (known, figure) in self.known.iter_mut().zip(figures::all_latency_us()) {
            if known.figure != figure {
                *known = Known { figure, since_us: now_us, counted: f64::from(figure), ..*known };
            } else if now_us.saturating_sub(known.since_us) > STALE_US && known.counted > self.usual {
                known.counted = self.usual + (known.counted - self.usual) * LEFT;
            }
        }
        self.usual = usual(self.known.iter().map(|known| known.counted).filter(|&counted| counted > 0.0).collect());
    }

    /// One that has not answered yet counts as usual: it is neither shunned nor flooded.
    pub(crate) fn all(&self) -> impl Iterator<Item = f64> + '_ {
        self.known.iter().map(|known| if known.counted > 0.0 { known.counted } else { self.usual })
    }
}

/// The one in the middle, the lower of two.
fn usual(mut counted: Vec<f64>) -> f64 {
    let Some(middle) = counted.len().checked_sub(1).map(|last| last / 2) else { return 1.0 };
    *counted.select_nth_unstable_by(middle, f64::total_cmp).1
}
