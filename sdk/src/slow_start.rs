//! Backends that became ready lately, and get a growing share.

use crate::{Pool, Position, host::figures};

/// Which ready backends are in the pool's `slow_start`. Make it in `update`, ask it in `pick`: as long as nobody is, which
/// is nearly always, it knows so without asking the host.
///
/// ```
/// use pointsman_sdk::{SlowStart, prelude::*, testing::{self, Bench}};
///
/// /// Each request to any backend, all alike; to one that starts slowly as often as it should.
/// struct Any {
///     slow: SlowStart,
/// }
///
/// impl Balancer for Any {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Any { slow: SlowStart::default() })
///     }
///
///     fn update(&mut self, pool: &Pool) {
///         self.slow = SlowStart::over(pool);
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         let mut at = turn.below(0, pool.len());
///         if !self.slow.admits(at, turn.draw(1)) {
///             at = turn.below(2, pool.len());
///         }
///         turn.untried(at, pool)
///     }
/// }
///
/// # let mut bench = Bench::<Any>::new(&[1, 1]);
/// testing::host(|host| host.figures[1].slow_start_permille = 100);
/// # bench.update(2, Standing::Ready);
/// let spread = bench.spread(1_000);
/// assert!(spread[1] < spread[0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SlowStart {
    /// In order.
    starting: Vec<Position>,
}

impl SlowStart {
    /// Of the pool as it is now.
    pub fn over(pool: &Pool) -> SlowStart {
        let mut all = SlowStart { starting: (0..pool.len()).collect() };
        all.starting();
        all
    }

    /// Nobody starts slowly.
    pub fn is_over(&self) -> bool {
        self.starting.is_empty()
    }

    /// Those that start slowly, with the part of their weight that they should count with now, in thousandths. One call of
    /// the host for all of them, and none while there is nobody.
    pub fn starting(&mut self) -> Vec<(Position, u32)> {
        if self.is_over() {
            return Vec::new();
        }
        let permille = figures::all_slow_start_permille();
        let part = |&at: &Position| Some((at, *permille.get(at as usize).filter(|&&permille| permille < 1000)?));
        let starting: Vec<_> = self.starting.iter().filter_map(part).collect();
        self.starting = starting.iter().map(|&(at, _)| at).collect();
        starting
    }

    /// Which part of its weight the backend at a position should count with now, in thousandths. Asks the host only about
    /// those that start slowly.
    pub fn permille(&mut self, at: Position) -> u32 {
        let Ok(index) = self.starting.binary_search(&at) else { return 1000 };
        let permille = figures::slow_start_permille(at);
        if permille >= 1000 {
            self.starting.remove(index);
        }
        permille
    }

    /// Whether the backend at a position takes the request that was meant for it: as often as its part of its weight
    /// says, by these random bits. One that does not leaves it to whoever would be chosen next.
    pub fn admits(&mut self, at: Position, random: u64) -> bool {
        if self.is_over() {
            return true;
        }
        let permille = self.permille(at);
        permille >= 1000 || ((random >> 32) * 1000) >> 32 < u64::from(permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        prelude::*,
        testing::{Bench, host},
    };

    struct Asks(SlowStart);

    impl Balancer for Asks {
        type Settings = NoSettings;

        fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
            Ok(Asks(SlowStart::default()))
        }

        fn update(&mut self, pool: &Pool) {
            self.0 = SlowStart::over(pool);
        }

        /// Refuses where the second does not take it.
        fn pick(&mut self, turn: &Turn, _: &Pool) -> Decision {
            if self.0.admits(1, turn.draw(0)) { Decision::Choose(1) } else { Decision::Pass }
        }
    }

    #[test]
    fn who_starts_slowly_takes_its_part_until_that_is_all() {
        let mut bench = Bench::<Asks>::new(&[1, 1]);
        let mut taken = |picks: u32| {
            (0..picks).filter(|_| bench.pick() == Decision::Choose(1)).count().abs_diff(picks as usize / 4)
        };
        host(|host| host.figures[1].slow_start_permille = 250);
        assert_eq!(taken(1000), 750, "it is not asked between two updates");
        bench.update(2, Standing::Ready);
        let mut taken = |picks: u32| {
            (0..picks).filter(|_| bench.pick() == Decision::Choose(1)).count().abs_diff(picks as usize / 4)
        };
        assert!(taken(10_000) < 200);
        host(|host| host.figures[1].slow_start_permille = 1000);
        assert_eq!(taken(1000), 750, "all of it");
        host(|host| host.figures.clear());
        assert_eq!(taken(1000), 750, "and the host is asked no more");
    }
}
