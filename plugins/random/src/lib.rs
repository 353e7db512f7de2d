//! Random: a backend drawn in proportion to weight. Needs to know nothing of the others, so nothing is shared and nothing
//! can lag behind; the spread is even in the long run only.

use pointsman_sdk::{Weighted, prelude::*};

struct Random {
    drawn: Weighted,
}

impl Balancer for Random {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Random { drawn: Weighted::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.drawn = Weighted::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match self.drawn.draw(turn.draw(0)) {
            Some(position) => turn.untried(position, pool),
            None => Decision::Pass,
        }
    }
}

balancer!(Random);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::Bench;

    #[test]
    fn shares_follow_weights() {
        let spread = Bench::<Random>::with("{}", &[3, 1, 0], 2).unwrap().spread(40_000);
        assert!(spread[0].abs_diff(30_000) < 600 && spread[2] == 0, "{spread:?}");
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
}
