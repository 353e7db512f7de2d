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
use pointsman_sdk::{SlowStart, prelude::*};
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
    /// Of the ready backends, by position.
    weights: Vec<u32>,
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
        Ok(LeastRequest { weights: Vec::new(), slow: SlowStart::default(), by_turns })
    }

    fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| backend.weight).collect();
        self.slow = SlowStart::over(pool);
        if let Some(by_turns) = &mut self.by_turns {
            by_turns.update(&self.weights, pool.place().seed);
        }
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if let Some(by_turns) = &mut self.by_turns {
            let next = by_turns.next(&self.weights, &mut self.slow);
            return next.map_or(Decision::Pass, |position| turn.untried(position, pool));
        }
        let mut loads = figures::all_in_flight();
        let chosen = if turn.attempt == 0 && self.slow.is_over() {
            least(&self.weights, &loads, turn.draw(0))
        } else {
            let tried = if turn.attempt == 0 { Vec::new() } else { request::tried() };
            let weights = without(&self.weights, &tried);
            let calm = self.calm(turn, &weights, &mut loads);
            // Who should not take part serves all the same where there is nobody else.
            least(&calm, &loads, turn.draw(0)).or_else(|| least(&weights, &loads, turn.draw(0)))
        };
        match chosen {
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
    /// The weights, with 0 for those in slow start that do not take part this time; what the others of them have under
    /// way weighs more.
    fn calm(&mut self, turn: &Turn, weights: &[u32], loads: &mut [u32]) -> Vec<u32> {
        let mut calm = weights.to_vec();
        if self.slow.is_over() {
            return calm;
        }
        for ((at, weight), load) in (0..).zip(&mut calm).zip(loads) {
            if !self.slow.admits(at, turn.draw(u64::from(at) + 1)) {
                *weight = 0;
            }
            let scaled = u64::from(*load) * 1000 / u64::from(self.slow.permille(at).max(1));
            *load = u32::try_from(scaled).unwrap_or(u32::MAX);
        }
        calm
    }
}

balancer!(LeastRequest: about);

/// The least loaded position for its weight; `random` chooses among equals. Weight 0 is never chosen.
fn least(weights: &[u32], loads: &[u32], random: u64) -> Option<Position> {
    // The first of the least loaded so far, and the sum of the weights of all that are as little loaded as it is.
    let (mut first, mut equals) = (None, 0);
    let (mut least_load, mut least_weight) = (0, 1);
    for (at, (&weight, &load)) in weights.iter().zip(loads).enumerate() {
        // load / weight against least_load / least_weight, without dividing.
        let (this, least) = (u64::from(load) * least_weight, least_load * u64::from(weight));
        if weight == 0 || first.is_some() && this > least {
            continue;
        }
        if first.is_none() || this < least {
            (first, equals) = (Some(at), 0);
            (least_load, least_weight) = (u64::from(load), u64::from(weight));
        }
        equals += u64::from(weight);
    }

    let first = first?;
    let mut drawn = ((u128::from(random) * u128::from(equals)) >> 64) as u64;
    for (at, (&weight, &load)) in weights.iter().zip(loads).enumerate().skip(first) {
        if weight == 0 || u64::from(load) * least_weight != least_load * u64::from(weight) {
            continue;
        }
        if drawn < u64::from(weight) {
            return Some(at as Position);
        }
        drawn -= u64::from(weight);
    }
    Some(first as Position)
}

/// The weights, with 0 for those that were tried.
fn without(weights: &[u32], tried: &[Position]) -> Vec<u32> {
    let mut weights = weights.to_vec();
    for &at in tried {
        if let Some(weight) = weights.get_mut(at as usize) {
            *weight = 0;
        }
    }
    weights
}
