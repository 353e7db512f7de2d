//! Power of two choices: two backends are drawn in proportion to weight, and the one with fewer requests under way serves.
//! Two draws avoid the worst nearly as well as looking at all, at a price that does not grow with the pool, and without
//! the herd that follows when every worker sends to one least busy backend. Slow start makes a weight smaller.

use pointsman_sdk::{SlowStart, Weighted, prelude::*};

struct PowerOfTwo {
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for PowerOfTwo {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(PowerOfTwo { drawn: Weighted::default(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let Some((one, other)) = self.drawn.draw_two(turn, &mut self.slow) else { return Decision::Pass };
        // Requests, not requests per weight: the draw has weighed already.
        let less_busy = if figures::in_flight(one) <= figures::in_flight(other) { one } else { other };
        turn.untried(less_busy, pool)
    }
}

balancer!(PowerOfTwo);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench};

    #[test]
    fn shares_follow_weights_while_all_are_idle() {
        let spread = Bench::<PowerOfTwo>::with("{}", &[3, 1, 0], 2).unwrap().spread(40_000);
        assert!(spread[0].abs_diff(30_000) < 600 && spread[2] == 0, "{spread:?}");
    }

    #[test]
    fn who_starts_slowly_is_drawn_by_a_smaller_weight() {
        let mut bench = Bench::<PowerOfTwo>::new(&[1; 3]);
        testing::host(|host| {
            host.figures[0].slow_start_permille = 100;
            (0..3).for_each(|at| host.figures[at].in_flight = 1);
        });
        bench.update(3, Standing::Ready);
        let spread = bench.spread(42_000);
        assert!(spread[0].abs_diff(2_000) < 400 && spread[1].abs_diff(spread[2]) < 900, "{spread:?}");
    }

    #[test]
    fn a_busy_backend_gets_what_only_it_was_drawn_for() {
        let mut bench = Bench::<PowerOfTwo>::new(&[1; 4]);
        testing::host(|host| host.figures[0].in_flight = 9);
        // Drawn in all of up to three draws: 1/4 * 1/4 * 1/4.
        let spread = bench.spread(64_000);
        assert!(spread[0].abs_diff(1_000) < 200, "{spread:?}");
    }

    #[test]
    fn one_backend_serves_alone() {
        assert_eq!(Bench::<PowerOfTwo>::new(&[1]).spread(10), [10]);
        assert_eq!(Bench::<PowerOfTwo>::new(&[0]).pick(), Decision::Pass);
    }

    #[test]
    fn a_retry_goes_elsewhere() {
        let mut bench = Bench::<PowerOfTwo>::new(&[1, 1, 1]);
        assert!((0..100).all(|_| bench.retry(&[0, 2]) == Decision::Choose(1)));
    }
}
