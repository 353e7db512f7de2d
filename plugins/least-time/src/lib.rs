//! Least time: the backend on which one more request would take the least time for its weight: its latency times the
//! requests that would be under way. Looks at every backend for each request.
//!
//! Averages of equal servers are never equal, and who always takes the least of them starves the rest. So all that are
//! nearly as good as the best are taken as equals, and share by weight. And who had a bad moment is asked no more, so its
//! average would never get better: one that no answer confirms comes back to what is usual within seconds.
//!
//! A backend in slow start takes part as often as its part of its weight says, and what it has under way weighs as much
//! more: so one that is quick because nobody asks it is not the best every time.

mod latencies;
#[cfg(test)]
mod tests;

use latencies::Latencies;
use pointsman_sdk::{SlowStart, prelude::*};

/// How much worse than the best is still as good: by a quarter.
const NEARLY: f64 = 1.25;
/// How often latencies are looked at. What is under way is looked at for each request.
const PERIOD_MS: u32 = 100;

struct LeastTime {
    latencies: Latencies,
    /// Of the ready backends, by position.
    weights: Vec<f64>,
    /// What one request alone takes there, for its weight; infinite for those that take none.
    times: Vec<f64>,
    slow: SlowStart,
}

impl Balancer for LeastTime {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        let (weights, times) = (Vec::new(), Vec::new());
        Ok(LeastTime { latencies: Latencies::default(), weights, times, slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| f64::from(backend.weight)).collect();
        self.slow = SlowStart::over(pool);
        self.latencies.update(pool);
        self.weigh();
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let mut under_way = figures::all_in_flight();
        let resting = self.resting(turn, &mut under_way);
        let best = |without: &[Position]| drawn(&self.weights, &self.costs(&under_way, without), turn.draw(0));
        // Who should not take part serves all the same where there is nobody else.
        match best(&[&tried[..], &resting].concat()).or_else(|| best(&tried)) {
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

    fn tick(&mut self, now_us: u64, _: &Pool) {
        self.latencies.tick(now_us);
        self.weigh();
    }
}

impl LeastTime {
    fn weigh(&mut self) {
        let time = |(latency, &weight): (f64, &f64)| if weight > 0.0 { latency / weight } else { f64::INFINITY };
        self.times = self.latencies.all().zip(&self.weights).map(time).collect();
    }

    /// What one more request would take on each, for its weight; infinite for those that take none.
    fn costs(&self, under_way: &[u32], without: &[Position]) -> Vec<f64> {
        let cost = |(time, &load): (&f64, &u32)| time * (f64::from(load) + 1.0);
        let mut costs: Vec<f64> = self.times.iter().zip(under_way).map(cost).collect();
        for &at in without {
            if let Some(cost) = costs.get_mut(at as usize) {
                *cost = f64::INFINITY;
            }
        }
        costs
    }

    /// Those in slow start that do not take part this time; what the others of them have under way weighs more.
    fn resting(&mut self, turn: &Turn, under_way: &mut [u32]) -> Vec<Position> {
        let mut resting = Vec::new();
        if self.slow.is_over() {
            return resting;
        }
        for (at, load) in (0..).zip(under_way.iter_mut().take(self.weights.len())) {
            if !self.slow.admits(at, turn.draw(u64::from(at) + 1)) {
                resting.push(at);
            }
            let scaled = u64::from(*load) * 1000 / u64::from(self.slow.permille(at).max(1));
            *load = u32::try_from(scaled).unwrap_or(u32::MAX);
        }
        resting
    }
}

balancer!(LeastTime: ticker, about);

/// One of those that cost nearly the least, by weight.
fn drawn(weights: &[f64], costs: &[f64], random: u64) -> Option<Position> {
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    if least.is_infinite() {
        return None;
    }
    let good = || costs.iter().zip(weights).zip(0..).filter(|((cost, _), _)| **cost <= least * NEARLY);
    let all: f64 = good().map(|((_, weight), _)| weight).sum();
    let mut point = (random >> 11) as f64 / (1_u64 << 53) as f64 * all;
    let mut last = None;
    for ((_, weight), position) in good() {
        last = Some(position);
        if point < *weight {
            break;
        }
        point -= weight;
    }
    last
}
