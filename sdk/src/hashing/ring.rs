//! A hash ring.

use crate::Position;

/// Points on a circle, each of which belongs to a backend; a key belongs to the next point: Karger and others, *Consistent
/// Hashing and Random Trees*, 1997. Where the points come from is the algorithm's affair.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Sorted, each once.
    points: Vec<u32>,
    /// By point.
    owners: Vec<Position>,
}

impl Ring {
    /// Of points with their owners. Where two backends have the same point it stays with the one that comes first.
    pub fn new(points: impl IntoIterator<Item = (u32, Position)>) -> Ring {
        let mut all: Vec<(u32, Position)> = points.into_iter().collect();
        all.sort_by_key(|&(point, _)| point);
        all.dedup_by_key(|&mut (point, _)| point);
        let (points, owners) = all.into_iter().unzip();
        Ring { points, owners }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// There are no points.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Whose key this is; none on an empty ring.
    pub fn at(&self, key: u32) -> Option<Position> {
        self.owners.get(self.first(key)).copied()
    }

    /// The point that the key belongs to; none on an empty ring.
    pub fn point(&self, key: u32) -> Option<u32> {
        self.points.get(self.first(key)).copied()
    }

    /// The owners of all points from the key's on, once round; neighbouring points may have the same owner.
    pub fn from(&self, key: u32) -> impl Iterator<Item = Position> + '_ {
        let (before, behind) = self.owners.split_at(self.first(key).min(self.owners.len()));
        behind.iter().chain(before).copied()
    }

    /// Index of the key's point: the first one that is not before it, round the end of the circle.
    fn first(&self, key: u32) -> usize {
        let at = self.points.partition_point(|&point| point < key);
        if at == self.points.len() { 0 } else { at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_the_next_point() {
        let ring = Ring::new([(30, 0), (10, 1), (20, 2), (20, 3)]);
        assert_eq!(ring.len(), 3, "a point is had once");
        assert_eq!([0, 10, 11, 20, 21, 30, 31, u32::MAX].map(|key| ring.at(key).unwrap()), [1, 1, 2, 2, 0, 0, 1, 1]);
        assert_eq!([ring.point(11), ring.point(31)], [Some(20), Some(10)]);
        assert_eq!(ring.from(15).collect::<Vec<_>>(), [2, 0, 1]);
    }

    #[test]
    fn an_empty_ring_has_nobody() {
        let ring = Ring::default();
        assert!(ring.is_empty() && ring.at(5).is_none() && ring.from(5).next().is_none());
    }
}
