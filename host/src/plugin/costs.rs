//! What a generation did and what it cost: counters that each worker writes on cache lines of its own.

use super::FaultKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counters of one generation.
#[derive(Debug)]
pub struct Costs {
    workers: Box<[Worker]>,
    faults: [AtomicU64; FaultKind::ALL.len()],
}

/// One worker's share. Only that worker writes it, so a load and a store do for an addition.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Worker {
    calls: AtomicU64,
    fallbacks: AtomicU64,
}

/// All workers' shares together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Picks, or a filter's requests.
    pub calls: u64,
    /// Requests that the fallback, or nobody, decided in its place.
    pub fallbacks: u64,
    /// By kind, in the order of [`FaultKind::ALL`].
    pub faults: [u64; FaultKind::ALL.len()],
}

impl Costs {
    pub(super) fn new(workers: usize) -> Costs {
        Costs { workers: (0..workers).map(|_| Worker::default()).collect(), faults: Default::default() }
    }

    /// Counts one call. `worker` is the number of the calling thread's worker.
    pub fn called(&self, worker: usize) {
        if let Some(worker) = self.workers.get(worker) {
            worker.calls.store(worker.calls.load(Relaxed) + 1, Relaxed);
        }
    }

    /// Counts one request that was decided without this plugin. `worker` is the number of the calling thread's worker.
    pub fn fell_back(&self, worker: usize) {
        if let Some(worker) = self.workers.get(worker) {
            worker.fallbacks.store(worker.fallbacks.load(Relaxed) + 1, Relaxed);
        }
    }

    pub(super) fn faulted(&self, kind: FaultKind) {
        self.faults[kind as usize].fetch_add(1, Relaxed);
    }

    /// The sums as they stand now.
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Worker) -> &AtomicU64| self.workers.iter().map(|w| of(w).load(Relaxed)).sum();
        Totals {
            calls: sum(|w| &w.calls),
            fallbacks: sum(|w| &w.fallbacks),
            faults: self.faults.each_ref().map(|n| n.load(Relaxed)),
        }
    }
}

impl Totals {
    /// Faults of one kind.
    pub fn faults_of(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize]
    }

    /// Faults of all kinds.
    pub fn all_faults(&self) -> u64 {
        self.faults.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_count_apart_and_are_summed() {
        let costs = Costs::new(2);
        costs.called(0);
        costs.called(1);
        costs.called(1);
        costs.fell_back(1);
        costs.called(7); // no such worker: nothing to count on
        costs.faulted(FaultKind::Deadline);
        let totals = costs.totals();
        assert_eq!((totals.calls, totals.fallbacks, totals.all_faults()), (3, 1, 1));
        assert_eq!(totals.faults_of(FaultKind::Deadline), 1);
    }

    #[test]
    fn every_kind_of_fault_has_the_place_of_its_number() {
        for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{}", kind.as_str());
        }
    }
}
