//! Peak EWMA: two backends are drawn in proportion to weight, and the one whose requests are likely to be answered sooner
//! serves: its latency, that jumps up at once and comes down slowly, times the requests that would be under way. Slow
//! start makes a weight smaller.
//!
//! A failure is quick, and who fails all the time would be the quickest of all: so each failure counts as a latency too.

#[cfg(test)]
mod tests;

use pointsman_sdk::{SlowStart, Weighted, prelude::*};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How often it is looked at who fails. Latencies and what is under way are looked at for each request.
const PERIOD_MS: u32 = 100;
/// A minute; no latency that is longer says more.
const PENALTY_MAX_MS: u32 = 60_000;
/// A failure that no other one follows counts half as much after so long: who is never asked could not show that it is
/// well again.
const FADES_US: u64 = 5_000_000;
/// Longer than anything waits.
const UNKNOWN_US: u64 = 1 << 62;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What a failed request counts as, in milliseconds.
    #[serde(default = "a_second")]
    penalty_ms: u32,
}

fn a_second() -> u32 {
    1_000
}

struct PeakEwma {
    penalty_us: u64,
    /// At the last tick.
    now_us: u64,
    /// What one request costs for the failures among them, in microseconds, by position; empty while nobody fails.
    penalties: Vec<u64>,
    /// Failures in a row, and when the last one was seen, by backend.
    failing: BTreeMap<u64, (u32, u64)>,
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for PeakEwma {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.penalty_ms > PENALTY_MAX_MS {
            return Err(format!("penalty_ms must be 0 to {PENALTY_MAX_MS}, not {}", settings.penalty_ms));
        }
        let penalty_us = u64::from(settings.penalty_ms) * 1_000;
        let (drawn, slow) = (Weighted::default(), SlowStart::default());
        Ok(PeakEwma { penalty_us, now_us: 0, penalties: Vec::new(), failing: BTreeMap::new(), drawn, slow })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
        self.look(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let Some((one, other)) = self.drawn.draw_two(turn, &mut self.slow) else { return Decision::Pass };
        notes::explain(turn, || {
            let costs = |at| format!("{} costs {} µs", pool.name(at), self.cost(at));
            format!("{}, {}", costs(one), costs(other))
        });
        turn.untried(if self.cost(one) <= self.cost(other) { one } else { other }, pool)
    }
}

impl Ticker for PeakEwma {
    fn period_ms(&self) -> u32 {
        PERIOD_MS
    }

    fn tick(&mut self, now_us: u64, pool: &Pool) {
        self.now_us = now_us;
        self.look(pool);
    }
}

impl PeakEwma {
    fn look(&mut self, pool: &Pool) {
        let answered = figures::all_success_permille();
        self.penalties.clear();
        if answered.iter().all(|&permille| permille >= 1000) {
            return self.failing.clear();
        }
        let before = std::mem::take(&mut self.failing);
        for (at, (backend, &permille)) in (0..).zip(pool.ready().iter().zip(&answered)) {
            if permille >= 1000 {
                self.penalties.push(0);
                continue;
            }
            let failures = figures::consecutive_failures(at);
            let known = before.get(&backend.id).filter(|(then, _)| failures == 0 || failures == *then);
            let since = known.map_or(self.now_us, |(_, since)| *since);
            self.failing.insert(backend.id, (failures, since));
            let penalty = u64::from(1000 - permille) * self.penalty_us / 1000;
            let halvings = (self.now_us.saturating_sub(since) / FADES_US).min(63);
            self.penalties.push(penalty >> halvings);
        }
    }

    /// What one more request would wait for. A backend that nothing is known of is free until its first request is under
    /// way, and then dearer than any that has answered, so that it is tried once and not flooded (Finagle's penalty).
    fn cost(&self, at: Position) -> u64 {
        let under_way = u64::from(figures::in_flight(at));
        let penalty = self.penalties.get(at as usize).copied().unwrap_or(0);
        match u64::from(figures::peak_latency_us(at)) + penalty {
            0 if under_way == 0 => 0,
            0 => UNKNOWN_US + under_way,
            latency => latency.saturating_mul(under_way + 1),
        }
    }
}

balancer!(PeakEwma: ticker, about);
