//! Rendezvous hashing.

use crate::{Pool, Position, turn::mix};

/// Each backend has a score for each key, and the highest wins: Thaler and Ravishankar 1998, with the weights of Schindelhauer
/// and Schomaker 2005 (`-weight / ln(score)`). The least disruption there can be: a backend that leaves moves its own keys
/// and no other, and they spread over all that stay. Every backend is looked at for each key.
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    entrants: Vec<Entrant>,
}

#[derive(Clone, Copy, Debug)]
struct Entrant {
    position: Position,
    /// Scattered, so that ids that are near are as good as any.
    id: u64,
    /// 1 / weight.
    each: f64,
}

impl Rendezvous {
    /// Over the ready backends that take new work.
    pub fn over(pool: &Pool) -> Rendezvous {
        let backends = pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0);
        let entrant = |(backend, position): (&crate::Backend, Position)| Entrant {
            position,
            id: mix(backend.id),
            each: 1.0 / f64::from(backend.weight),
        };
        Rendezvous { entrants: backends.map(entrant).collect() }
    }

    /// The best for this key that `may` serve it; none when nobody may.
    pub fn best(&self, key: u64, may: impl Fn(Position) -> bool) -> Option<Position> {
        let mut best = None;
        let mut least = f64::INFINITY;
        for entrant in self.entrants.iter().filter(|entrant| may(entrant.position)) {
            // An exponential variate with rate `weight`: the least of them belongs to each entrant in proportion to weight.
            // It is never below this, which costs no logarithm: `1 - x <= -ln x`. So only few need one.
            let bits = mix(key ^ entrant.id);
            if rest(bits) * entrant.each >= least {
                continue;
            }
            let wait = -unit(bits).ln() * entrant.each;
            if wait < least {
                (least, best) = (wait, Some(entrant.position));
            }
        }
        best
    }
}

/// 2^53: what a float counts exactly.
const ALL: f64 = (1_u64 << 53) as f64;

/// Bits as a number above 0 and not above 1. By way of a signed number, which is converted in one step.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as i64 as f64 / ALL
}

/// What is left of 1 beside it.
fn rest(bits: u64) -> f64 {
    (!bits >> 11) as i64 as f64 * (1.0 / ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(weights: &[u32]) -> Rendezvous {
        let entrant = |(&weight, position): (&u32, Position)| Entrant {
            position,
            id: mix(mix(u64::from(position))),
            each: 1.0 / f64::from(weight),
        };
        Rendezvous { entrants: weights.iter().zip(0..).map(entrant).collect() }
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..30_000).map(mix)
    }

    #[test]
    fn shares_follow_weights() {
        let all = of(&[1, 2, 3]);
        let mut counts = [0_u32; 3];
        keys().for_each(|key| counts[all.best(key, |_| true).unwrap() as usize] += 1);
        assert!(
            counts.iter().zip([5_000, 10_000, 15_000]).all(|(count, expected)| count.abs_diff(expected) < 400),
            "{counts:?}"
        );
    }

    #[test]
    fn the_least_wait_wins_though_few_are_worked_out() {
        let all = of(&(0..100).map(|at| 1 + at % 7).collect::<Vec<_>>());
        for key in keys().take(3_000) {
            let wait = |entrant: &Entrant| -unit(mix(key ^ entrant.id)).ln() * entrant.each;
            let least = all.entrants.iter().min_by(|one, other| wait(one).total_cmp(&wait(other))).unwrap();
            assert_eq!(all.best(key, |_| true), Some(least.position));
        }
        assert_eq!([0, 1 << 11, !0].map(|bits| unit(bits) + rest(bits)), [1.0; 3]);
    }

    #[test]
    fn only_the_keys_of_who_leaves_move() {
        let all = of(&[1, 2, 3]);
        for key in keys() {
            let before = all.best(key, |_| true).unwrap();
            let after = all.best(key, |at| at != 1).unwrap();
            assert!(before == after || before == 1);
        }
    }

    #[test]
    fn nobody_may() {
        assert_eq!(of(&[1]).best(1, |_| false), None);
        assert_eq!(Rendezvous::default().best(1, |_| true), None);
    }
}
