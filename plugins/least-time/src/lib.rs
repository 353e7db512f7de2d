//! Least time: the backend on which one more request would take the least time for its weight: its latency times the
//! requests that would be under way. Looks at every backend for each request.
//!
//! Averages of equal servers are never equal, and who always takes the least of them starves the rest. So all that are
//! nearly as good as the best are taken as equals, and share by weight.
//!
//! A backend in slow start takes part as often as its part of its weight says, and what it has under way weighs as much
//! more: so one that is quick because nobody asks it is not the best every time.

use pointsman_sdk::{SlowStart, prelude::*};

/// How much worse than the best is still as good: by a quarter.
const NEARLY: f64 = 1.25;

struct LeastTime {
    /// Of the ready backends, by position.
    weights: Vec<f64>,
    slow: SlowStart,
}

impl Balancer for LeastTime {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(LeastTime { weights: Vec::new(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| f64::from(backend.weight)).collect();
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let (latencies, mut under_way) = (figures::all_latency_us(), figures::all_in_flight());
        let resting = self.resting(turn, &mut under_way);
        let best = |without: &[Position]| {
            drawn(&self.weights, &costs(&self.weights, &latencies, &under_way, without), turn.draw(0))
        };
        // Who should not take part serves all the same where there is nobody else.
        match best(&[&tried[..], &resting].concat()).or_else(|| best(&tried)) {
            Some(position) => Decision::Choose(position),
            None if turn.attempt == 0 => Decision::Pass,
            // Everyone was tried.
            None => turn.untried(0, pool),
        }
    }
}

impl LeastTime {
    /// Those in slow start that do not take part this time; what the others of them have under way weighs more.
    fn resting(&mut self, turn: &Turn, under_way: &mut [u32]) -> Vec<Position> {
        let mut resting = Vec::new();
        if self.slow.is_over() {
            return resting;
        }
        for (at, load) in (0..).zip(under_way) {
            if !self.slow.admits(at, turn.draw(u64::from(at) + 1)) {
                resting.push(at);
            }
            let scaled = u64::from(*load) * 1000 / u64::from(self.slow.permille(at).max(1));
            *load = u32::try_from(scaled).unwrap_or(u32::MAX);
        }
        resting
    }
}

balancer!(LeastTime);

/// What one more request would take on each, for its weight; infinite for those that take none. A backend that has not
/// answered yet counts as the average of those that have: it is neither shunned nor flooded.
fn costs(weights: &[f64], latencies: &[u32], under_way: &[u32], tried: &[Position]) -> Vec<f64> {
    let latencies = latencies.get(..weights.len()).unwrap_or_default();
    let known = latencies.iter().filter(|&&latency| latency > 0);
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), &latency| (sum + f64::from(latency), count + 1.0));
    let usual = if count > 0.0 { sum / count } else { 1.0 };
    let cost = |at: usize| {
        let weight = weights[at];
        if weight == 0.0 || tried.contains(&(at as Position)) {
            return f64::INFINITY;
        }
        let latency = if latencies[at] > 0 { f64::from(latencies[at]) } else { usual };
        latency * (f64::from(under_way[at]) + 1.0) / weight
    };
    (0..weights.len()).map(cost).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench};

    fn known(figures: &[(u32, u32)]) {
        testing::host(|host| {
            for (of, &(latency, under_way)) in host.figures.iter_mut().zip(figures) {
                (of.latency_us, of.in_flight) = (latency, under_way);
            }
        });
    }

    #[test]
    fn five_servers_that_are_nearly_equal_share_alike() {
        let mut bench = Bench::<LeastTime>::new(&[1; 5]);
        known(&[(10_000, 0), (10_400, 0), (11_000, 0), (10_100, 0), (12_000, 0)]);
        let spread = bench.spread(50_000);
        assert!(spread.iter().all(|share| share.abs_diff(10_000) < 1_000), "{spread:?}");
    }

    #[test]
    fn the_quicker_for_its_weight_serves() {
        let mut bench = Bench::<LeastTime>::new(&[1, 1, 4, 0]);
        known(&[(1_000, 2), (2_000, 0), (5_000, 0), (1, 0)]);
        assert_eq!(bench.pick(), Decision::Choose(2), "5 ms for weight 4 is less than 2 ms and than three times 1 ms");
        known(&[(1_000, 0), (2_000, 0), (5_000, 3), (1, 0)]);
        assert_eq!(bench.pick(), Decision::Choose(0));
    }

    #[test]
    fn a_new_backend_is_one_like_the_others() {
        let mut bench = Bench::<LeastTime>::new(&[1, 1, 1]);
        known(&[(1_000, 0), (1_000, 0), (0, 0)]);
        assert!(bench.spread(9_000)[2].abs_diff(3_000) < 300);
        known(&[(1_000, 0), (1_000, 0), (0, 4)]);
        assert_eq!(bench.spread(1_000)[2], 0, "it has enough until it answered");
    }

    #[test]
    fn who_starts_slowly_takes_part_now_and_then_and_weighs_more() {
        let mut bench = Bench::<LeastTime>::new(&[1; 3]);
        testing::host(|host| host.figures[0].slow_start_permille = 200);
        bench.update(3, Standing::Ready);
        known(&[(1_000, 0), (1_000, 0), (1_000, 0)]);
        let spread = bench.spread(30_000);
        assert!(spread[0].abs_diff(2_000) < 300, "a fifth of its share while all are alike: {spread:?}");
        known(&[(100, 0), (1_000, 9), (1_000, 9)]);
        let spread = bench.spread(10_000);
        assert!(spread[0].abs_diff(2_000) < 300, "the best by far, it does not take all: {spread:?}");
        known(&[(1_000, 1), (1_000, 3), (1_000, 3)]);
        assert_eq!(bench.spread(1_000)[0], 0, "one of its requests is as much as five");
        assert_eq!(bench.retry(&[1, 2]), Decision::Choose(0), "there is nobody else");
    }

    #[test]
    fn a_retry_takes_the_best_of_the_rest() {
        let mut bench = Bench::<LeastTime>::new(&[1, 1, 1]);
        known(&[(1_000, 0), (5_000, 0), (2_000, 0)]);
        assert_eq!(bench.retry(&[0]), Decision::Choose(2));
        assert!(matches!(bench.retry(&[0, 2, 1]), Decision::Choose(_)), "nobody is left: the host decides");
        assert_eq!(Bench::<LeastTime>::new(&[0]).pick(), Decision::Pass);
    }
}
