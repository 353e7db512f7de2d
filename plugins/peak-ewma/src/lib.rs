//! Peak EWMA: two backends are drawn in proportion to weight, and the one whose requests are likely to be answered sooner
//! serves: its latency, that jumps up at once and comes down slowly, times the requests that would be under way. Slow
//! start makes a weight smaller.
//!
//! A failure is quick, and who fails all the time would be the quickest of all: so each failure counts as a latency too, and so
//! does each answer that tells the client to come back later.

#[cfg(test)]
mod tests;

use pointsman_sdk::{Failing, SlowStart, Weighted, prelude::*};
use serde::Deserialize;

/// How often it is looked at who fails. Latencies and what is under way are looked at for each request.
const PERIOD_MS: u32 = 100;
/// A minute; no latency that is longer says more.
const PENALTY_MAX_MS: u32 = 60_000;
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
    failing: Failing,
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for PeakEwma {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.penalty_ms > PENALTY_MAX_MS {
            return Err(format!("penalty_ms must be 0 to {PENALTY_MAX_MS}, not {}", settings.penalty_ms));
        }
        let failing = Failing::new(u64::from(settings.penalty_ms) * 1_000);
        Ok(PeakEwma { failing, drawn: Weighted::default(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
        self.failing.update(pool);
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
        self.failing.look(now_us, pool);
    }
}

impl Feedback for PeakEwma {
    fn observe(&mut self, _now_us: u64, outcomes: &Outcomes, pool: &Pool) {
        self.failing.hear(outcomes, pool);
    }
}

impl PeakEwma {
    /// What one more request would wait for. A backend that nothing is known of is free until its first request is under
    /// way, and then dearer than any that has answered, so that it is tried once and not flooded (Finagle's penalty).
    fn cost(&self, at: Position) -> u64 {
        let penalty = self.failing.penalty_us(at);
        match figures::peak_wait_us(at) {
            0 if penalty == 0 => match u64::from(figures::in_flight(at)) {
                0 => 0,
                under_way => UNKNOWN_US + under_way,
            },
            wait if penalty == 0 => wait,
            wait => wait.saturating_add(penalty.saturating_mul(u64::from(figures::in_flight(at)) + 1)),
        }
    }
}

balancer!(PeakEwma: ticker, feedback, about);
