//! Power of two choices: two backends, or more, are drawn in proportion to weight, and the one with the fewest requests
//! under way serves. Two draws avoid the worst nearly as well as looking at all, at a price that does not grow with the
//! pool, and without the herd that follows when every worker sends to one least busy backend. Slow start makes a weight
//! smaller.

#[cfg(test)]
mod tests;

use pointsman_sdk::{SlowStart, Weighted, prelude::*};
use serde::Deserialize;

/// More draws than that are better done by looking at all.
const CHOICES_MAX: u64 = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How many backends are drawn for a request.
    #[serde(default = "two")]
    choices: u64,
}

fn two() -> u64 {
    2
}

struct PowerOfTwo {
    choices: u64,
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for PowerOfTwo {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        match settings.choices {
            choices @ 2..=CHOICES_MAX => {
                Ok(PowerOfTwo { choices, drawn: Weighted::default(), slow: SlowStart::default() })
            }
            choices => Err(format!("choices must be 2 to {CHOICES_MAX}, not {choices}")),
        }
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let mut draw = |nth| self.drawn.draw_in(turn, nth, &mut self.slow);
        let Some(mut best) = draw(0) else { return Decision::Pass };
        // Requests, not requests per weight: the draw has weighed already.
        let mut least = figures::in_flight(best);
        for nth in 1..self.choices {
            let mut other = draw(nth);
            if other == Some(best) {
                other = draw(self.choices + nth - 1);
            }
            let Some(other) = other.filter(|&other| other != best) else { continue };
            let load = figures::in_flight(other);
            if load < least {
                (best, least) = (other, load);
            }
        }
        notes::explain(turn, || format!("{} has {least} under way, the least of {}", pool.name(best), self.choices));
        turn.untried(best, pool)
    }
}

balancer!(PowerOfTwo: about);
