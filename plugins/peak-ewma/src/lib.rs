//! Peak EWMA: two backends are drawn in proportion to weight, and the one whose requests are likely to be answered sooner
//! serves: its latency, that jumps up at once and comes down slowly, times the requests that would be under way. Slow
//! start makes a weight smaller.

use pointsman_sdk::{SlowStart, Weighted, prelude::*};

struct PeakEwma {
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for PeakEwma {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(PeakEwma { drawn: Weighted::default(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let Some((one, other)) = self.drawn.draw_two(turn, &mut self.slow) else { return Decision::Pass };
        notes::explain(turn, || {
            let costs = |at| format!("{} costs {} µs", pool.name(at), cost(at));
            format!("{}, {}", costs(one), costs(other))
        });
        turn.untried(if cost(one) <= cost(other) { one } else { other }, pool)
    }
}

balancer!(PeakEwma: about);

/// What one more request would wait for. A backend that nothing is known of is free until its first request is under way,
/// and then dearer than any that has answered, so that it is tried once and not flooded (Finagle's penalty).
fn cost(at: Position) -> u64 {
    let under_way = u64::from(figures::in_flight(at));
    match u64::from(figures::peak_latency_us(at)) {
        0 if under_way == 0 => 0,
        0 => PENALTY_US + under_way,
        latency => latency * (under_way + 1),
    }
}

/// Longer than anything waits.
const PENALTY_US: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Bench, Simulation};

    behaves!(PeakEwma);

    fn known(figures: &[(u32, u32)]) {
        testing::host(|host| {
            for (of, &(latency, under_way)) in host.figures.iter_mut().zip(figures) {
                (of.peak_latency_us, of.in_flight) = (latency, under_way);
            }
        });
    }

    #[test]
    fn the_slower_serves_only_where_every_draw_meant_it() {
        let mut bench = Bench::<PeakEwma>::new(&[1, 1]);
        known(&[(9_000, 0), (1_000, 3)]);
        let spread = bench.spread(8_000);
        assert!(spread[0].abs_diff(1_000) < 200, "{spread:?}");
        known(&[(9_000, 0), (1_000, 9)]);
        let spread = bench.spread(8_000);
        assert!(spread[1].abs_diff(1_000) < 200, "ten times 1 ms is more than 9 ms: {spread:?}");
    }

    #[test]
    fn a_new_backend_is_tried_and_not_flooded() {
        let mut bench = Bench::<PeakEwma>::new(&[1, 1]);
        known(&[(0, 0), (1_000, 5)]);
        assert!(bench.spread(8_000)[0] > 6_000);
        known(&[(0, 1), (1_000, 5)]);
        assert!(bench.spread(8_000)[0] < 2_000);
    }

    #[test]
    fn weights_share_while_all_are_alike() {
        let mut bench = Bench::<PeakEwma>::with("{}", &[3, 1, 0], 2).unwrap();
        known(&[(1_000, 0); 3]);
        let spread = bench.spread(40_000);
        assert!(spread[0] > spread[1] && spread[1] > 5_000 && spread[2] == 0, "{spread:?}");
        assert_eq!(Bench::<PeakEwma>::new(&[0]).pick(), Decision::Pass);
    }

    #[test]
    fn who_starts_slowly_is_drawn_by_a_smaller_weight_however_quick() {
        let mut bench = Bench::<PeakEwma>::new(&[1; 3]);
        testing::host(|host| host.figures[0].slow_start_permille = 100);
        bench.update(3, Standing::Ready);
        known(&[(0, 0), (1_000, 0), (1_000, 0)]);
        // Free, it serves wherever it is drawn: in two draws, and a third where these were one.
        let spread = bench.spread(42_000);
        assert!((4_300..5_300).contains(&spread[0]), "{spread:?}");
    }

    #[test]
    fn a_retry_goes_elsewhere() {
        let mut bench = Bench::<PeakEwma>::new(&[1, 1, 1]);
        assert!((0..100).all(|_| bench.retry(&[0, 2]) == Decision::Choose(1)));
    }

    #[test]
    fn a_slow_server_is_left_alone_and_comes_back() {
        let mut simulation = Simulation::new(Bench::<PeakEwma>::with("{}", &[1; 5], 2).unwrap());
        let run = simulation.run(20_000, 1_000);
        assert!(run.shares().iter().all(|share| (15.0..=25.0).contains(share)), "{:?}", run.shares());
        simulation.server(0).service_us = 500_000;
        simulation.run(2_000, 1_000);
        // Drawn in both draws it serves all the same.
        let run = simulation.run(20_000, 1_000);
        assert!(run.shares()[0] < 5.0, "{:?}", run.shares());
        simulation.server(0).service_us = 10_000;
        simulation.run(60_000, 1_000);
        let run = simulation.run(20_000, 1_000);
        assert!(run.shares()[0] > 15.0, "{:?}", run.shares());
    }
}
