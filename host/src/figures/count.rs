//! What only grows, counted by each worker on cache lines of its own and summed when somebody looks: nothing on a
//! request's way is shared for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread writes and any may read, so a load and a store do for an addition.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn up(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One set of counts for each worker.
#[derive(Debug, Default)]
pub struct PerWorker<T> {
    first: Own<T>,
    others: Box<[Own<T>]>,
}

/// Two cache lines at the least: neighbours' writes, and what the prefetcher pulls along, stay apart.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own<T>(T);

impl<T: Default> PerWorker<T> {
    /// All zero.
    pub fn new(workers: usize) -> PerWorker<T> {
        PerWorker { first: Own::default(), others: (1..workers).map(|_| Own::default()).collect() }
    }
}

impl<T> PerWorker<T> {
    /// What this worker writes, and no other thread does.
    pub fn of(&self, worker: usize) -> &T {
        let other = worker.checked_sub(1).and_then(|index| self.others.get(index));
        &other.unwrap_or(&self.first).0
    }

    /// The sum over all workers.
    pub fn sum(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.each().map(of).sum()
    }

    /// All workers' counts.
    pub fn each(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others).map(|own| &own.0)
    }
}

/// Answers by the first digit of their status.
#[derive(Debug, Default)]
pub struct Classes([Count; Classes::NAMES.len()]);

impl Classes {
    /// In the order of [`Classes::get`].
    pub const NAMES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

    /// One more with this status. What is none counts as the worst.
    pub fn up(&self, status: u16) {
        let [.., worst] = &self.0;
        let class = usize::from(status / 100).checked_sub(1).and_then(|class| self.0.get(class));
        class.unwrap_or(worst).up();
    }

    /// How many of this class.
    pub fn get(&self, class: usize) -> u64 {
        self.0.get(class).map_or(0, Count::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_apart_and_are_summed() {
        let counts: PerWorker<Count> = PerWorker::new(3);
        for (worker, times) in [(0, 1), (1, 10), (2, 100)] {
            counts.of(worker).add(times);
        }
        assert_eq!((counts.of(1).get(), counts.sum(Count::get)), (10, 111));
        assert!(std::ptr::from_ref(counts.of(1)).addr().abs_diff(std::ptr::from_ref(counts.of(2)).addr()) >= 128);
    }

    #[test]
    fn every_status_has_a_class() {
        let classes = Classes::default();
        for status in [101, 200, 204, 308, 404, 503, 599, 0, 999] {
            classes.up(status);
        }
        assert_eq!([0, 1, 2, 3, 4].map(|class| classes.get(class)), [1, 2, 1, 1, 4]);
    }
}
