//! Chance, and what was tried before, for one decision.

use crate::{Decision, Pool, Position, Turn, host::request};

/// The golden ratio in 64 bits: the step of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Turn {
    /// The `nth` of any number of independent draws out of this turn's one random number (splitmix64): the same `nth`
    /// gives the same bits again.
    pub fn draw(&self, nth: u64) -> u64 {
        mix(self.random.wrapping_add(nth.wrapping_mul(GOLDEN)))
    }

    /// The `nth` draw as a number below `bound`, all equally likely; 0 when `bound` is 0.
    pub fn below(&self, nth: u64, bound: u32) -> u32 {
        (((self.draw(nth) >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Chooses `at`; in a retry, if the request has been there, the next ready backend after it that takes new work and
    /// was not tried. Where everyone was tried it stays with `at`.
    pub fn untried(&self, at: Position, pool: &Pool) -> Decision {
        if self.attempt == 0 {
            return Decision::Choose(at);
        }
        let tried = request::tried();
        let free = |at: &Position| !tried.contains(at) && pool.get(*at).is_some_and(|backend| backend.weight > 0);
        if free(&at) {
            return Decision::Choose(at);
        }
        let round = (at + 1..pool.len()).chain(0..at.min(pool.len()));
        Decision::Choose(round.into_iter().find(free).unwrap_or(at))
    }
}

/// Scatters the bits of a number (the finisher of splitmix64): numbers that are near become as good as any.
pub fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::Bench};

    struct First;

    impl Balancer for First {
        type Settings = NoSettings;

        fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
            Ok(First)
        }

        fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
            turn.untried(0, pool)
        }
    }

    #[test]
    fn a_retry_goes_where_the_request_has_not_been() {
        let mut bench = Bench::<First>::new(&[1, 0, 1]);
        assert_eq!(bench.pick(), Decision::Choose(0));
        assert_eq!(bench.retry(&[1]), Decision::Choose(0));
        assert_eq!(bench.retry(&[0]), Decision::Choose(2), "weight 0 takes no new work");
        assert_eq!(bench.retry(&[2, 0]), Decision::Choose(0), "nobody is left");
    }

    #[test]
    fn draws_are_even_and_repeatable() {
        let turn = |random| Turn { now_us: 0, random, key: None, attempt: 0, explain: false };
        assert_eq!(turn(7).draw(3), turn(7).draw(3));
        assert_eq!(turn(7).below(0, 0), 0);
        let mut counts = [0_u32; 3];
        for random in 0..30_000 {
            counts[turn(random).below(1, 3) as usize] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
    }
}
