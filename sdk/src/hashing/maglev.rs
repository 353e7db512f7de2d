//! Maglev's table.

use crate::{Pool, Position, turn::mix};

/// A table that is looked up with `key % size`: Eisenbud and others, *Maglev: A Fast and Reliable Software Network Load
/// Balancer*, NSDI 2016, §3.4. Each backend walks the table in an order of its own and takes the next free entry when it
/// is its turn; one with half the weight of another takes half as many turns. Shares are even within a hundredth at a
/// hundred entries a backend, and a backend that leaves moves few keys beside its own.
#[derive(Clone, Debug, Default)]
pub struct Maglev {
    table: Vec<Position>,
}

/// A backend's walk through the table.
struct Walk {
    position: Position,
    id: u64,
    weight: u64,
    /// How many times its weight, as a power of two, is at most the greatest one: it is looked at in as many passes less.
    class: u32,
    next: u64,
    step: u64,
    /// A turn is taken whenever this reaches the greatest weight.
    credit: u64,
}

impl Maglev {
    /// Table size used where nothing is said: the paper's small one, prime, good for some hundred backends.
    pub const SIZE: u32 = 65_537;

    /// Whether a table may have this size: a prime, or walks would not reach every entry.
    pub fn is_size(size: u32) -> bool {
        size >= 2 && (2..).take_while(|d| d * d <= u64::from(size)).all(|d| u64::from(size) % d != 0)
    }

    /// Over the ready backends; empty when none of them takes new work. `size` is a prime.
    pub fn over(pool: &Pool, size: u32) -> Maglev {
        let backends = pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0);
        Maglev::new(backends.map(|(backend, at)| (at, backend.id, backend.weight)), size)
    }

    /// Over positions with id and weight.
    fn new(backends: impl Iterator<Item = (Position, u64, u32)>, size: u32) -> Maglev {
        let size = u64::from(size);
        let backends: Vec<_> = backends.collect();
        let Some(greatest) = backends.iter().map(|&(.., weight)| weight).max() else { return Maglev::default() };
        let walk = |(position, id, weight): (Position, u64, u32)| {
            let (next, step) = (mix(id) % size, mix(!id) % (size - 1) + 1);
            Walk { position, id, weight: weight.into(), class: (greatest / weight).ilog2(), next, step, credit: 0 }
        };
        let mut walks: Vec<Walk> = backends.into_iter().map(walk).collect();
        // Who takes its turn first must not depend on the order of the list.
        walks.sort_unstable_by_key(|walk| (walk.class, walk.id));

        const FREE: Position = Position::MAX;
        let mut table = vec![FREE; size as usize];
        let mut left = table.len();
        'passes: for pass in 0_u64.. {
            // Of a class come those passes whose number has as many zeros at its end: so of all looks at a walk half are
            // turns or more, however unlike the weights.
            let due = walks.partition_point(|walk| walk.class <= pass.trailing_zeros());
            for walk in &mut walks[..due] {
                walk.credit += walk.weight << walk.class;
                if walk.credit < greatest.into() {
                    continue;
                }
                walk.credit -= u64::from(greatest);
                while table[walk.next as usize] != FREE {
                    walk.next += walk.step;
                    walk.next -= if walk.next < size { 0 } else { size };
                }
                table[walk.next as usize] = walk.position;
                left -= 1;
                if left == 0 {
                    break 'passes;
                }
            }
        }
        Maglev { table }
    }

    /// Whose key this is; none when nobody takes new work.
    pub fn at(&self, key: u64) -> Option<Position> {
        let entry = key.checked_rem(self.table.len() as u64)?;
        self.table.get(entry as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(weights: &[u32]) -> Vec<Position> {
        let weighted = weights.iter().zip(0..).filter(|(weight, _)| **weight > 0);
        Maglev::new(weighted.map(|(&weight, at)| (at, mix(u64::from(at)), weight)), Maglev::SIZE).table
    }

    fn share(table: &[Position], of: Position) -> usize {
        table.iter().filter(|&&at| at == of).count()
    }

    #[test]
    fn shares_are_within_a_hundredth() {
        let even = table(&[1; 10]);
        assert!((0..10).all(|at| share(&even, at).abs_diff(6_553) < 66));
        let weighted = table(&[1, 2, 0, 5]);
        for (at, weight) in [(0, 1), (1, 2), (3, 5)] {
            let expected = 65_537 * weight / 8;
            assert!(share(&weighted, at).abs_diff(expected) <= expected / 100, "{at}");
        }
        assert_eq!(share(&weighted, 2), 0);
    }

    #[test]
    fn shares_follow_weights_however_unlike_they_are() {
        let mut weights = [1; 200];
        weights[7] = 1_000;
        let unlike = table(&weights);
        for (at, weight) in [(7, 1_000), (8, 1), (199, 1)] {
            let expected = 65_537 * weight / 1_199;
            assert!(share(&unlike, at).abs_diff(expected) <= 1 + expected / 100, "{at}: {}", share(&unlike, at));
        }
    }

    #[test]
    fn who_leaves_moves_few_keys_beside_its_own() {
        let (before, after) = (table(&[1; 10]), table(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 0]));
        let moved = before.iter().zip(&after).filter(|(before, after)| **before != 9 && before != after).count();
        // The least possible is 0; the paper's figure 12 shows some per cent.
        assert!(moved < 65_537 / 20, "{moved}");
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let backends = [(0, 70, 1), (1, 10, 3), (2, 40, 1)];
        let forth = Maglev::new(backends.into_iter(), 251).table;
        let back = Maglev::new(backends.into_iter().rev(), 251).table;
        assert_eq!(forth, back);
    }

    #[test]
    fn sizes_are_prime() {
        assert!([2, 3, 251, 65_537, 655_373, 4_294_967_291].into_iter().all(Maglev::is_size));
        assert!([0, 1, 4, 65_536, u32::MAX].into_iter().all(|size| !Maglev::is_size(size)));
    }

    #[test]
    fn nobody_has_a_key() {
        assert_eq!(Maglev::new([].into_iter(), 251).at(7), None);
        assert_eq!(Maglev::default().at(0), None);
    }
}
