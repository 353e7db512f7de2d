//! Random: a backend drawn in proportion to weight. Needs to know nothing of the others, so nothing is shared and nothing
//! can lag behind; the spread is even in the long run only. Slow start makes a weight smaller.

use pointsman_sdk::{SlowStart, Weighted, prelude::*};

struct Random {
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for Random {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Random { drawn: Weighted::default(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match self.drawn.draw_in(turn, 0, &mut self.slow) {
            Some(position) => turn.untried(position, pool),
            None => Decision::Pass,
        }
    }
}

balancer!(Random: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Bench, assert_shares};

    behaves!(Random);

    #[test]
    fn shares_follow_weights() {
        let spread = Bench::<Random>::with("{}", &[3, 1, 0], 2).unwrap().spread(40_000);
        assert!(spread[0].abs_diff(30_000) < 600 && spread[2] == 0, "{spread:?}");
    }

    #[test]
    fn who_starts_slowly_is_drawn_by_a_smaller_weight() {
        let mut bench = Bench::<Random>::new(&[2, 1, 1]);
        testing::host(|host| host.figures[0].slow_start_permille = 250);
        bench.update(3, Standing::Ready);
        let spread = bench.spread(50_000);
        assert!(spread.iter().zip([10_000, 20_000, 20_000]).all(|(n, m)| n.abs_diff(m) < 600), "{spread:?}");
    }

    #[test]
    fn nobody_is_drawn_with_weight_0_alone() {
        assert_eq!(Bench::<Random>::new(&[0]).pick(), Decision::Pass);
    }

    #[test]
    fn a_retry_goes_elsewhere() {
        let mut bench = Bench::<Random>::new(&[1, 1, 1]);
        assert!((0..100).all(|_| bench.retry(&[0, 2]) == Decision::Choose(1)));
    }

    #[test]
    fn shares_are_those_of_fair_draws() {
        for weights in [vec![1; 10], vec![1000, 1, 0, 500], (0..200).collect(), vec![1; 1000]] {
            let spread = Bench::<Random>::with("{}", &weights, 3).unwrap().spread(200_000);
            assert_shares(&spread, &weights);
        }
    }
}
