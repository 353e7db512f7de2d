//! Least request: the backend with the fewest requests under way for its weight; among several such, one at random in
//! proportion to weight. Looks at every backend for each request.
//!
//! A backend in slow start takes part as often as its part of its weight says, and what it has under way weighs as much
//! more: so one that has nothing to do yet is not the least loaded every time.

use pointsman_sdk::{SlowStart, prelude::*};

struct LeastRequest {
    /// Of the ready backends, by position.
    weights: Vec<u32>,
    slow: SlowStart,
}

impl Balancer for LeastRequest {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(LeastRequest { weights: Vec::new(), slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| backend.weight).collect();
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let mut loads = figures::all_in_flight();
        let chosen = if turn.attempt == 0 && self.slow.is_over() {
            least(&self.weights, &loads, turn.draw(0))
        } else {
            let tried = if turn.attempt == 0 { Vec::new() } else { request::tried() };
            let weights = without(&self.weights, &tried);
            let calm = self.calm(turn, &weights, &mut loads);
            // Who should not take part serves all the same where there is nobody else.
            least(&calm, &loads, turn.draw(0)).or_else(|| least(&weights, &loads, turn.draw(0)))
        };
        match chosen {
            Some(position) => Decision::Choose(position),
            // Everyone was tried, or nobody takes new work.
            None if turn.attempt == 0 => Decision::Pass,
            None => turn.untried(0, pool),
        }
    }
}

impl LeastRequest {
    /// The weights, with 0 for those in slow start that do not take part this time; what the others of them have under
    /// way weighs more.
    fn calm(&mut self, turn: &Turn, weights: &[u32], loads: &mut [u32]) -> Vec<u32> {
        let mut calm = weights.to_vec();
        if self.slow.is_over() {
            return calm;
        }
        for ((at, weight), load) in (0..).zip(&mut calm).zip(loads) {
            if !self.slow.admits(at, turn.draw(u64::from(at) + 1)) {
                *weight = 0;
            }
            let scaled = u64::from(*load) * 1000 / u64::from(self.slow.permille(at).max(1));
            *load = u32::try_from(scaled).unwrap_or(u32::MAX);
        }
        calm
    }
}

balancer!(LeastRequest);

/// The least loaded position for its weight; `random` chooses among equals. Weight 0 is never chosen.
fn least(weights: &[u32], loads: &[u32], random: u64) -> Option<Position> {
    // The first of the least loaded so far, and the sum of the weights of all that are as little loaded as it is.
    let (mut first, mut equals) = (None, 0);
    let (mut least_load, mut least_weight) = (0, 1);
    for (at, (&weight, &load)) in weights.iter().zip(loads).enumerate() {
        // load / weight against least_load / least_weight, without dividing.
        let (this, least) = (u64::from(load) * least_weight, least_load * u64::from(weight));
        if weight == 0 || first.is_some() && this > least {
            continue;
        }
        if first.is_none() || this < least {
            (first, equals) = (Some(at), 0);
            (least_load, least_weight) = (u64::from(load), u64::from(weight));
        }
        equals += u64::from(weight);
    }

    let first = first?;
    let mut drawn = ((u128::from(random) * u128::from(equals)) >> 64) as u64;
    for (at, (&weight, &load)) in weights.iter().zip(loads).enumerate().skip(first) {
        if weight == 0 || u64::from(load) * least_weight != least_load * u64::from(weight) {
            continue;
        }
        if drawn < u64::from(weight) {
            return Some(at as Position);
        }
        drawn -= u64::from(weight);
    }
    Some(first as Position)
}

/// The weights, with 0 for those that were tried.
fn without(weights: &[u32], tried: &[Position]) -> Vec<u32> {
    let mut weights = weights.to_vec();
    for &at in tried {
        if let Some(weight) = weights.get_mut(at as usize) {
            *weight = 0;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench};

    fn busy(loads: &[u32]) {
        testing::host(|host| {
            for (figures, load) in host.figures.iter_mut().zip(loads) {
                figures.in_flight = *load;
            }
        });
    }

    #[test]
    fn the_least_loaded_for_its_weight_serves() {
        let mut bench = Bench::<LeastRequest>::new(&[1, 1, 4, 0]);
        busy(&[2, 1, 3, 0]);
        assert_eq!(
            bench.pick(),
            Decision::Choose(2),
            "3 of weight 4 is less than 1 of weight 1; weight 0 is never chosen"
        );
        busy(&[2, 1, 5, 0]);
        assert_eq!(bench.pick(), Decision::Choose(1));
    }

    #[test]
    fn equals_share_by_weight() {
        let mut bench = Bench::<LeastRequest>::with("{}", &[3, 1, 1, 0], 2).unwrap();
        busy(&[3, 1, 2, 0]);
        let spread = bench.spread(40_000);
        assert!(spread[0].abs_diff(30_000) < 600 && spread[1].abs_diff(10_000) < 600, "{spread:?}");
        assert_eq!(spread[2..], [0, 0]);
    }

    #[test]
    fn a_retry_takes_the_least_loaded_of_the_rest() {
        let mut bench = Bench::<LeastRequest>::new(&[1, 1, 1]);
        busy(&[1, 5, 3]);
        assert_eq!(bench.retry(&[0]), Decision::Choose(2));
        assert_eq!(bench.retry(&[0, 2]), Decision::Choose(1));
        assert!(matches!(bench.retry(&[0, 2, 1]), Decision::Choose(_)), "nobody is left: the host decides");
    }

    #[test]
    fn who_starts_slowly_takes_part_now_and_then_and_weighs_more() {
        let mut bench = Bench::<LeastRequest>::new(&[1; 3]);
        testing::host(|host| host.figures[0].slow_start_permille = 200);
        bench.update(3, Standing::Ready);
        let spread = bench.spread(30_000);
        assert!(spread[0].abs_diff(2_000) < 300, "a fifth of its share while all are idle: {spread:?}");
        busy(&[1, 4, 4]);
        assert_eq!(bench.spread(1_000)[0], 0, "one of its requests is as much as five");
        busy(&[0, 9, 9]);
        let spread = bench.spread(10_000);
        assert!(spread[0].abs_diff(2_000) < 300, "least loaded, it does not take all: {spread:?}");
        assert_eq!(bench.retry(&[1, 2]), Decision::Choose(0), "there is nobody else");
    }

    #[test]
    fn nobody_serves_with_weight_0_alone() {
        assert_eq!(Bench::<LeastRequest>::new(&[0, 0]).pick(), Decision::Pass);
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        assert_eq!(least(&[u32::MAX; 3], &[u32::MAX, u32::MAX, 0], u64::MAX), Some(2));
    }
}
