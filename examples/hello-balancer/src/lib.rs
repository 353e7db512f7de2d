//! hello-balancer: of two backends at random, the one with fewer requests under way serves.

use pointsman_sdk::prelude::*;

struct Mine;

impl Balancer for Mine {
    type Settings = NoSettings;

    fn new(_settings: NoSettings, _place: &Place) -> Result<Self, String> {
        Ok(Mine)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let (one, other) = (turn.below(0, pool.len()), turn.below(1, pool.len()));
        let busier = figures::in_flight(one) > figures::in_flight(other);
        turn.untried(if busier { other } else { one }, pool)
    }
}

balancer!(Mine);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench};

    #[test]
    fn a_busy_backend_gets_less() {
        let mut bench = Bench::<Mine>::new(&[1, 1, 1]);
        testing::host(|host| host.figures[0].in_flight = 9);
        let spread = bench.spread(900);
        assert!(spread[0] < spread[1] && spread[0] < spread[2], "{spread:?}");
    }
}
