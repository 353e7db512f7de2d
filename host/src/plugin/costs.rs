//! What a generation did and what it cost: counters that each worker writes on cache lines of its own.

use super::FaultKind;
use crate::figures::{Count, Durations, Histogram, PerWorker};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// One call in so many is timed: reading the clock twice costs as much as a small pick.
const TIMED_ONE_IN: u64 = 64;

/// The counters of one generation.
#[derive(Debug)]
pub struct Costs {
    workers: PerWorker<Worker>,
    faults: [AtomicU64; FaultKind::ALL.len()],
    /// Bytes that the live instances have.
    memory: Arc<AtomicU64>,
}

/// One worker's share.
#[derive(Debug)]
struct Worker {
    calls: Count,
    fallbacks: Count,
    host_calls: Count,
    took: Histogram,
}

impl Default for Worker {
    fn default() -> Worker {
        Worker {
            calls: Count::default(),
            fallbacks: Count::default(),
            host_calls: Count::default(),
            took: Histogram::of_picks(),
        }
    }
}

/// All workers' shares together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Picks, or a filter's requests.
    pub calls: u64,
    /// Requests that the fallback, or nobody, decided in its place.
    pub fallbacks: u64,
    /// Calls of the host, as far as they were told: with each call that was timed.
    pub host_calls: u64,
    /// Bytes of memory that its instances have.
    pub memory: u64,
    /// By kind, in the order of [`FaultKind::ALL`].
    pub faults: [u64; FaultKind::ALL.len()],
}

impl Costs {
    pub(super) fn new(workers: usize) -> Costs {
        Costs { workers: PerWorker::new(workers), faults: Default::default(), memory: Arc::default() }
    }

    /// Counts one call, and says whether it is one to be timed. `worker` is the number of the calling thread's worker.
    pub fn called(&self, worker: usize) -> bool {
        let calls = &self.workers.of(worker).calls;
        calls.up();
        calls.get() % TIMED_ONE_IN == 1
    }

    /// A call that was to be timed took so long; since the one before that was, the host was called so often. `worker` is
    /// the number of the calling thread's worker.
    pub fn took(&self, worker: usize, time: Duration, host_calls: u64) {
        let worker = self.workers.of(worker);
        worker.took.took(time);
        worker.host_calls.add(host_calls);
    }

    /// Counts one request that was decided without this plugin. `worker` is the number of the calling thread's worker.
    pub fn fell_back(&self, worker: usize) {
        self.workers.of(worker).fallbacks.up();
    }

    /// What instances count their memory in.
    pub(super) fn memory(&self) -> &Arc<AtomicU64> {
        &self.memory
    }

    pub(super) fn faulted(&self, kind: FaultKind) {
        self.faults[kind as usize].fetch_add(1, Relaxed);
    }

    /// The sums as they stand now.
    pub fn totals(&self) -> Totals {
        Totals {
            calls: self.workers.sum(|w| w.calls.get()),
            fallbacks: self.workers.sum(|w| w.fallbacks.get()),
            host_calls: self.workers.sum(|w| w.host_calls.get()),
            memory: self.memory.load(Relaxed),
            faults: self.faults.each_ref().map(|n| n.load(Relaxed)),
        }
    }

    /// How long the calls took that were timed.
    pub fn durations(&self) -> Durations {
        Histogram::together(self.workers.each().map(|w| &w.took))
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
        assert_eq!([0, 1, 1].map(|worker| costs.called(worker)), [true, true, false], "one in many is timed");
        costs.took(1, Duration::from_micros(1), 3);
        costs.fell_back(1);
        costs.faulted(FaultKind::Deadline);
        let totals = costs.totals();
        assert_eq!((totals.calls, totals.fallbacks, totals.all_faults(), totals.host_calls), (3, 1, 1, 3));
        assert_eq!((totals.faults_of(FaultKind::Deadline), costs.durations().count()), (1, 1));
    }

    #[test]
    fn every_kind_of_fault_has_the_place_of_its_number() {
        for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{}", kind.as_str());
        }
    }
}
