//! Least time: the backend on which one more request would take the least time for its weight: its latency times the
//! requests that would be under way. Looks at every backend for each request.
//!
//! Averages of equal servers are never equal, and who always takes the least of them starves the rest. So all that are
//! nearly as good as the best are taken as equals, and share by weight.

use pointsman_sdk::prelude::*;

/// How much worse than the best is still as good: by a quarter.
const NEARLY: f64 = 1.25;

struct LeastTime {
    /// Of the ready backends, by position.
    weights: Vec<f64>,
}

impl Balancer for LeastTime {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(LeastTime { weights: Vec::new() })
    }

    fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| f64::from(backend.weight)).collect();
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let costs = costs(&self.weights, &figures::all_latency_us(), &figures::all_in_flight(), &tried);
        match drawn(&self.weights, &costs, turn.draw(0)) {
            Some(position) => Decision::Choose(position),
            None if turn.attempt == 0 => Decision::Pass,
            // Everyone was tried.
            None => turn.untried(0, pool),
        }
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
        latency * f64::from(under_way[at] + 1) / weight
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
    fn a_retry_takes_the_best_of_the_rest() {
        let mut bench = Bench::<LeastTime>::new(&[1, 1, 1]);
        known(&[(1_000, 0), (5_000, 0), (2_000, 0)]);
        assert_eq!(bench.retry(&[0]), Decision::Choose(2));
        assert!(matches!(bench.retry(&[0, 2, 1]), Decision::Choose(_)), "nobody is left: the host decides");
        assert_eq!(Bench::<LeastTime>::new(&[0]).pick(), Decision::Pass);
    }
}
