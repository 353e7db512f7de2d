//! Turns in proportion to weights that may change at any moment.

use crate::Position;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Earliest deadline first: whoever is served comes again after its cost, and the one who comes first is next. With a cost of
/// `1 / weight` turns follow weights as evenly as can be, and the weight may be another one each time. Costs time with the
/// logarithm of the number of positions. Envoy's and gRPC's scheduler of weighted turns.
///
/// ```
/// # use pointsman_sdk::Deadlines;
/// let cost = |at: u32| 1.0 / [2.0, 1.0, 1.0][at as usize];
/// let mut deadlines = Deadlines::new(0..3, cost);
/// let turns: Vec<_> = (0..8).filter_map(|_| deadlines.next(cost)).collect();
/// assert_eq!(turns, [0, 1, 2, 0, 0, 1, 2, 0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    /// Bits of a float that is not negative are in the order of their numbers; among equals who was served longest ago.
    queue: BinaryHeap<Reverse<(u64, u64, Position)>>,
    served: u64,
    now: f64,
}

impl Deadlines {
    /// Of these positions, each with what its first turn costs: a number above 0.
    pub fn new(positions: impl IntoIterator<Item = Position>, cost: impl Fn(Position) -> f64) -> Deadlines {
        let mut deadlines = Deadlines::default();
        positions.into_iter().for_each(|at| deadlines.comes_again(at, cost(at)));
        deadlines
    }

    /// Whose turn it is, and what the turn costs; none where there is nobody.
    pub fn next(&mut self, cost: impl FnOnce(Position) -> f64) -> Option<Position> {
        let Reverse((deadline, _, at)) = self.queue.pop()?;
        self.now = f64::from_bits(deadline);
        self.comes_again(at, cost(at));
        Some(at)
    }

    /// How many take turns.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Nobody takes a turn.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn comes_again(&mut self, at: Position, cost: f64) {
        self.served += 1;
        self.queue.push(Reverse(((self.now + cost.max(0.0)).to_bits(), self.served, at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], turns: usize) -> Vec<u32> {
        let cost = |at: Position| 1.0 / f64::from(weights[at as usize]);
        let mut deadlines = Deadlines::new(0..weights.len() as Position, cost);
        let mut counts = vec![0; weights.len()];
        (0..turns).for_each(|_| counts[deadlines.next(cost).unwrap() as usize] += 1);
        counts
    }

    #[test]
    fn turns_follow_weights() {
        let counts = shares(&[4, 2, 1], 7_000);
        assert!(
            counts.iter().zip([4_000, 2_000, 1_000]).all(|(count, share)| count.abs_diff(share) <= 1),
            "{counts:?}"
        );
        let weights: Vec<u32> = (1..=1000).collect();
        let counts = shares(&weights, 500_500);
        assert!(counts.iter().zip(&weights).all(|(count, weight)| count.abs_diff(*weight) <= 1));
    }

    #[test]
    fn a_weight_may_change_with_each_turn() {
        let mut deadlines = Deadlines::new(0..2, |_| 1.0);
        (0..10).for_each(|_| _ = deadlines.next(|_| 1.0));
        let heavy = (0..40).filter(|_| deadlines.next(|at| if at == 0 { 1.0 } else { 3.0 }) == Some(0)).count();
        assert!(heavy.abs_diff(30) <= 1, "{heavy}");
        assert_eq!(Deadlines::default().next(|_| 1.0), None);
    }
}
