//! Least request: the backend with the fewest requests under way for its weight; among several such, one at random in
//! proportion to weight. Looks at every backend for each request.
//!
//! A backend in slow start takes part as often as its part of its weight says, and what it has under way weighs as much
//! more: so one that has nothing to do yet is not the least loaded every time.
//!
//! With the setting `bias` backends take turns instead, by Envoy's weights: `weight / (under way + 1)^bias`.

mod by_turns;
#[cfg(test)]
mod tests;

use by_turns::ByTurns;
use pointsman_sdk::{Cost, Costs, SlowStart, prelude::*};
use serde::Deserialize;

/// Beyond that the least loaded gets all of it anyway.
const BIAS_MAX: f64 = 2.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How much requests under way count against a backend: Envoy's `active_request_bias`.
    bias: Option<f64>,
}

struct LeastRequest {
    /// Requests under way for each unit of weight.
    costs: Costs,
    slow: SlowStart,
    by_turns: Option<ByTurns>,
}

impl Balancer for LeastRequest {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let by_turns = match settings.bias {
            Some(bias) if !(0.0..=BIAS_MAX).contains(&bias) => {
                return Err(format!("bias must be 0 to {BIAS_MAX}, not {bias}"));
            }
            bias => bias.map(ByTurns::new),
        };
        Ok(LeastRequest { costs: Costs::default(), slow: SlowStart::default(), by_turns })
    }

    fn update(&mut self, pool: &Pool) {
        let cost = |backend: &Backend| Cost { base: 0.0, each: 1.0 / backend.weight as f32, weight: backend.weight };
        self.costs = pool.ready().iter().map(cost).collect();
        self.slow = SlowStart::over(pool);
        if let Some(by_turns) = &mut self.by_turns {
            by_turns.update(pool);
        }
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if let Some(by_turns) = &mut self.by_turns {
            let next = by_turns.next(&mut self.slow);
            return next.map_or(Decision::Pass, |position| turn.untried(position, pool));
        }
        match self.least(turn) {
            Some(at) => {
                notes::explain(turn, || format!("{} has {} under way", pool.name(at), figures::in_flight(at)));
                Decision::Choose(at)
            }
            // Everyone was tried, or nobody takes new work.
            None if turn.attempt == 0 => Decision::Pass,
            None => turn.untried(0, pool),
        }
    }
}

impl LeastRequest {
    fn least(&mut self, turn: &Turn) -> Option<Position> {
        let under_way = figures::all_in_flight();
        let least = |costs: &mut Costs| costs.least(&under_way, Costs::EQUAL, turn.draw(0));
        if turn.attempt == 0 && self.slow.is_over() {
            return least(&mut self.costs);
        }
        let tried = if turn.attempt == 0 { Vec::new() } else { request::tried() };
        let mut left = self.costs.without(&tried);
        // Who should not take part serves all the same where there is nobody else.
        least(&mut left.slowly(turn, &mut self.slow)).or_else(|| least(&mut left))
    }
}

balancer!(LeastRequest: about);
