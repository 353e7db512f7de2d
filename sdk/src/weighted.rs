//! Draws in proportion to weight.

use crate::{Pool, Position, SlowStart, Turn};

/// How often one draw is made anew for backends that start slowly; then it holds.
const DRAWS_MOST: u64 = 16;

/// Draws positions in proportion to weight in constant time: the alias method (Walker 1977, built as Vose 1991 does).
/// The line of all weights is cut into equal pieces, one per position; each piece belongs to its position up to a point,
/// and to one other position, its alias, from there on.
///
/// ```
/// # use pointsman_sdk::Weighted;
/// let drawn = Weighted::new([3, 0, 1]);
/// assert_eq!(drawn.draw(0), Some(0));
/// assert!((0..1_000_u64).all(|n| drawn.draw(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) != Some(1)));
/// assert_eq!(Weighted::new([0, 0]).draw(5), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Weighted {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Of the 2^32 points of the piece, how many are its own.
    own: u64,
    alias: Position,
}

impl Weighted {
    /// Over these weights, by position. In exact whole numbers, so every build of every worker draws alike.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Weighted {
        let weights: Vec<u32> = weights.into_iter().collect();
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total == 0 {
            return Weighted::default();
        }

        // What each position has to give, in units of which a piece holds `total`.
        let mut left: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * weights.len() as u64).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) = (0..left.len()).partition(|&at| left[at] < total);
        let mut pieces: Vec<Piece> = (0..left.len()).map(|at| Piece { own: 1 << 32, alias: at as Position }).collect();
        while let (Some(at), Some(&giver)) = (poor.pop(), rich.last()) {
            let own = (u128::from(left[at]) << 32) / u128::from(total);
            pieces[at] = Piece { own: own as u64, alias: giver as Position };
            left[giver] -= total - left[at];
            if left[giver] < total {
                rich.pop();
                poor.push(giver);
            }
        }
        Weighted { pieces }
    }

    /// Over the ready backends of a pool.
    pub fn over(pool: &Pool) -> Weighted {
        Weighted::new(pool.ready().iter().map(|backend| backend.weight))
    }

    /// The position that these random bits draw; none when every weight is 0.
    pub fn draw(&self, random: u64) -> Option<Position> {
        let at = ((random >> 32) * self.pieces.len() as u64) >> 32;
        let piece = self.pieces.get(at as usize)?;
        let point = random & 0xffff_ffff;
        Some(if point < piece.own { at as Position } else { piece.alias })
    }

    /// The `nth` draw of a turn; a backend that starts slowly counts with its part of its weight only. Costs what
    /// [`draw`](Self::draw) does while nobody starts slowly.
    pub fn draw_in(&self, turn: &Turn, nth: u64, slow: &mut SlowStart) -> Option<Position> {
        let mut drawn = self.draw(turn.draw(nth))?;
        if slow.is_over() {
            return Some(drawn);
        }
        // What is drawn and not admitted is drawn anew: so shares are as the weights times their parts.
        let mut bits = (1..).map(|more| turn.draw(nth + (more << 32)));
        for _ in 1..DRAWS_MOST {
            if slow.admits(drawn, bits.next()?) {
                break;
            }
            drawn = self.draw(bits.next()?)?;
        }
        Some(drawn)
    }

    /// Two draws of a turn by weight, for whoever chooses between two; where they fall on one position the second is
    /// made once more, and may fall there again. None when every weight is 0.
    pub fn draw_two(&self, turn: &Turn, slow: &mut SlowStart) -> Option<(Position, Position)> {
        let mut draw = |nth| self.draw_in(turn, nth, slow);
        let (one, other) = (draw(0)?, draw(1)?);
        let other = if one == other { draw(2).unwrap_or(one) } else { other };
        Some((one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::mix;

    #[test]
    fn shares_follow_weights() {
        for weights in [&[1, 1, 1][..], &[5, 1, 1], &[1000, 0, 1, 499], &[7]] {
            let drawn = Weighted::new(weights.iter().copied());
            let mut counts = vec![0_u32; weights.len()];
            for seed in 0..100_000 {
                counts[drawn.draw(mix(seed)).unwrap() as usize] += 1;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let expected = f64::from(*weight) / f64::from(total) * 100_000.0;
                let spread = expected.sqrt().max(1.0);
                assert!((f64::from(*count) - expected).abs() < 5.0 * spread, "{weights:?}: {counts:?}");
            }
            assert!(counts.iter().zip(weights).all(|(count, weight)| *weight > 0 || *count == 0), "{counts:?}");
        }
    }

    #[test]
    fn the_largest_weights_overflow_nothing() {
        let drawn = Weighted::new(vec![u32::MAX; 4096]);
        assert!((0..10_000).all(|seed| drawn.draw(mix(seed)).is_some()));
        assert_eq!(Weighted::new([]).draw(0), None);
    }
}
