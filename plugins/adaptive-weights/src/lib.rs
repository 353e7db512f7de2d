//! Adaptive weights: a backend drawn in proportion to weight, where the weight of one that fails more often than is usual
//! in its pool is halved again and again, down to a floor, and given back step by step when it answers as the others do.
//! It is compared with the others, so a failure that all share, such as that of a database behind them, moves no weight.
//!
//! Weights follow figures of the whole process, on a schedule; a pick is one draw. Slow start makes a weight smaller.

mod shares;
#[cfg(test)]
mod tests;

use pointsman_sdk::{SlowStart, Weighted, prelude::*};
use serde::Deserialize;
use shares::Shares;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The least part of its weight that a backend keeps, in per cent: how it is noticed that it has recovered.
    #[serde(default = "usual_floor")]
    floor: u32,
    /// By how many of a hundred requests more than usual a backend must fail.
    #[serde(default = "usual_tolerance")]
    tolerance: u32,
    /// How much of its weight one that fails no more gets back each time, in per cent.
    #[serde(default = "usual_recovery")]
    recovery: u32,
    /// How often weights are looked at, in milliseconds.
    #[serde(default = "usual_period")]
    period_ms: u32,
}

fn usual_floor() -> u32 {
    5
}

fn usual_tolerance() -> u32 {
    10
}

fn usual_recovery() -> u32 {
    5
}

fn usual_period() -> u32 {
    1_000
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("floor", self.floor, 1, 100),
            ("tolerance", self.tolerance, 1, 100),
            ("recovery", self.recovery, 1, 100),
            ("period_ms", self.period_ms, 100, 60_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} must be {least} to {most}, not {value}"));
            }
        }
        Ok(())
    }
}

struct AdaptiveWeights {
    period_ms: u32,
    shares: Shares,
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for AdaptiveWeights {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        settings.check()?;
        let (drawn, slow) = (Weighted::default(), SlowStart::default());
        Ok(AdaptiveWeights { period_ms: settings.period_ms, shares: Shares::new(&settings), drawn, slow })
    }

    fn update(&mut self, pool: &Pool) {
        self.shares.update(pool);
        self.slow = SlowStart::over(pool);
        self.drawn = self.shares.drawn(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match self.drawn.draw_in(turn, 0, &mut self.slow) {
            Some(position) => turn.untried(position, pool),
            None => Decision::Pass,
        }
    }
}

impl Ticker for AdaptiveWeights {
    fn period_ms(&self) -> u32 {
        self.period_ms
    }

    fn tick(&mut self, _now_us: u64, pool: &Pool) {
        if self.shares.tick(pool) {
            self.drawn = self.shares.drawn(pool);
        }
    }
}

balancer!(AdaptiveWeights: ticker, about);
