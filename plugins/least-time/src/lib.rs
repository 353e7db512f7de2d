//! Least time: the backend on which one more request would take the least time for its weight: its latency times the
//! requests that would be under way. Looks at every backend for each request.
//!
//! Averages of equal servers are never equal, and who always takes the least of them starves the rest. So all that are
//! nearly as good as the best are taken as equals, and share by weight. And who had a bad moment is asked no more, so its
//! average would never get better: one that no answer confirms comes back to what is usual within seconds.
//!
//! A failure is quick, and who fails all the time would be the quickest of all: so failures count as a latency too.
//!
//! A backend in slow start takes part as often as its part of its weight says, and what it has under way weighs as much
//! more: so one that is quick because nobody asks it is not the best every time.

mod latencies;
#[cfg(test)]
mod tests;

use latencies::Latencies;
use pointsman_sdk::{Cost, Costs, Failing, SlowStart, prelude::*};
use serde::Deserialize;

/// How much worse than the best is still as good: by a quarter.
const NEARLY: f32 = 1.25;
/// How often latencies are looked at. What is under way is looked at for each request.
const PERIOD_MS: u32 = 100;
/// A minute; no latency that is longer says more.
const PENALTY_MAX_MS: u32 = 60_000;

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

struct LeastTime {
    latencies: Latencies,
    failing: Failing,
    /// What one more request takes on each, for its weight.
    costs: Costs,
    slow: SlowStart,
}

impl Balancer for LeastTime {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.penalty_ms > PENALTY_MAX_MS {
            return Err(format!("penalty_ms must be 0 to {PENALTY_MAX_MS}, not {}", settings.penalty_ms));
        }
        let failing = Failing::new(u64::from(settings.penalty_ms) * 1_000);
        let (latencies, costs) = (Latencies::default(), Costs::default());
        Ok(LeastTime { latencies, failing, costs, slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.slow = SlowStart::over(pool);
        self.latencies.update(pool);
        self.failing.update(pool);
        self.weigh(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match self.least(turn) {
            Some(at) => {
                notes::explain(turn, || {
                    let known = (figures::latency_us(at), figures::in_flight(at));
                    format!("{} takes {} µs and has {} under way", pool.name(at), known.0, known.1)
                });
                Decision::Choose(at)
            }
            None if turn.attempt == 0 => Decision::Pass,
            // Everyone was tried.
            None => turn.untried(0, pool),
        }
    }
}

impl Ticker for LeastTime {
    fn period_ms(&self) -> u32 {
        PERIOD_MS
    }

    fn tick(&mut self, now_us: u64, pool: &Pool) {
        self.latencies.tick(now_us);
        self.failing.look(now_us, pool);
        self.weigh(pool);
    }
}

impl LeastTime {
    fn weigh(&mut self, pool: &Pool) {
        let cost = |((latency, backend), at): ((f64, &Backend), Position)| {
            let one = (latency + self.failing.penalty_us(at) as f64) as f32 / backend.weight as f32;
            Cost { base: one, each: one, weight: backend.weight }
        };
        self.costs = self.latencies.all().zip(pool.ready()).zip(0..).map(cost).collect();
    }

    fn least(&mut self, turn: &Turn) -> Option<Position> {
        let under_way = figures::all_in_flight();
        let least = |costs: &mut Costs| costs.least(&under_way, NEARLY, turn.draw(0));
        if turn.attempt == 0 && self.slow.is_over() {
            return least(&mut self.costs);
        }
        let tried = if turn.attempt == 0 { Vec::new() } else { request::tried() };
        let mut left = self.costs.without(&tried);
        // Who should not take part serves all the same where there is nobody else.
        least(&mut left.slowly(turn, &mut self.slow)).or_else(|| least(&mut left))
    }
}

balancer!(LeastTime: ticker, about);
