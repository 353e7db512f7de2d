//! Live figures of backends, and what is counted of pools and listeners: atomics, keyed by id or name, owned by the
//! process. They outlive reloads, membership changes and plugin swaps. So do the lines in which requests wait for figures
//! to fall.

mod backend;
mod connections;
mod count;
mod feedback;
mod histogram;
mod listener;
mod pool;
mod probes;
mod queue;
mod reports;
mod reserve;
mod silence;
mod standing;
mod tap;

pub use backend::{Attempt, BackendFigures, Outcome, Unasked};
pub use connections::{Connections, Opened, Waiting};
pub use count::{Classes, Count, PerWorker};
pub use feedback::{Ledger, Line, Loss, Outbox, Picker, Row, Slip, Tallies, Tally, Undelivered};
pub use histogram::{Durations, Histogram};
pub use listener::{ListenerCounts, ListenerFigures};
pub use pool::{Failure, PoolCounts, PoolFigures};
pub use probes::{Budget, Load, Probe, ProbeCounts, Probed, Probes};
pub use queue::{Place, Queue};
pub use reports::{REPORTED_MOST, Reports};
pub use reserve::Reservation;
pub use silence::{Silence, Told};
pub use standing::Standing;
pub use tap::{Candidate, Look, Opinion, Seen, Tap};

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Microseconds, as figures and plugins count time.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The figures of everything this process has known.
#[derive(Debug, Default)]
pub struct Figures {
    workers: usize,
    backends: Mutex<HashMap<u64, Arc<BackendFigures>>>,
    pools: ByName<PoolCounts>,
    listeners: ByName<ListenerCounts>,
    /// By pool.
    taps: Mutex<HashMap<String, Arc<Tap>>>,
    /// By pool.
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    /// By pool.
    reports: Mutex<HashMap<String, Arc<Reports>>>,
    /// By pool.
    probes: Mutex<HashMap<String, Arc<Probes>>>,
}

type ByName<T> = Mutex<HashMap<String, Arc<PerWorker<T>>>>;

impl Figures {
    /// None yet, for so many workers.
    pub fn new(workers: usize) -> Figures {
        Figures { workers, ..Figures::default() }
    }

    /// For how many workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The figures of this backend; new ones when the id was never seen. Off the request path only.
    pub fn of(&self, id: u64) -> Arc<BackendFigures> {
        let mut by_id = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.entry(id).or_default().clone()
    }

    /// The counts of the pool of this name; new ones when it was never seen. Off the request path only.
    pub fn pool(&self, name: &str) -> Arc<PoolFigures> {
        self.named(&self.pools, name)
    }

    /// The counts of the listener of this name; new ones when it was never seen. Off the request path only.
    pub fn listener(&self, name: &str) -> Arc<ListenerFigures> {
        self.named(&self.listeners, name)
    }

    /// Where the requests of the pool of this name wait, the same for all who hold it at a time. Off the request path only.
    pub fn queue(&self, pool: &str) -> Arc<Queue> {
        let mut by_name = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(pool.into()).or_default().clone()
    }

    /// Where the decisions for the pool of this name are seen. Off the request path only.
    pub fn tap(&self, pool: &str) -> Arc<Tap> {
        let mut by_name = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(pool.into()).or_default().clone()
    }

    /// Which of the numbers are kept that the backends of the pool of this name report. Off the request path only.
    pub fn reports(&self, pool: &str) -> Arc<Reports> {
        let mut by_name = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(pool.into()).or_default().clone()
    }

    /// The probes of the pool of this name. Off the request path only.
    pub fn probes(&self, pool: &str) -> Arc<Probes> {
        let mut by_name = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(pool.into()).or_insert_with(|| Arc::new(Probes::new(self.workers))).clone()
    }

    fn named<T: Default>(&self, all: &ByName<T>, name: &str) -> Arc<PerWorker<T>> {
        let mut by_name = all.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(name.into()).or_insert_with(|| Arc::new(PerWorker::new(self.workers))).clone()
    }

    /// Lets go of the figures that nobody holds any more, so that names which come and go leave nothing behind; who comes
    /// back later begins at zero.
    pub fn forget_unused(&self) {
        forget_unused(&self.backends);
        forget_unused(&self.pools);
        forget_unused(&self.listeners);
        forget_unused(&self.queues);
        forget_unused(&self.taps);
        forget_unused(&self.reports);
        forget_unused(&self.probes);
    }
}

fn forget_unused<K, V>(all: &Mutex<HashMap<K, Arc<V>>>) {
    all.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, figures| Arc::strong_count(figures) > 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_forgotten_and_what_somebody_does_goes_on() {
        let figures = Figures::new(2);
        let (held, backend, listener) = (figures.pool("held"), figures.of(1), figures.listener("held"));
        for other in ["gone", "too"] {
            figures.pool(other);
            figures.listener(other);
            figures.queue(other);
        }
        figures.of(2);
        figures.forget_unused();
        let left = [figures.pools.lock().unwrap().len(), figures.listeners.lock().unwrap().len()];
        assert_eq!((left, figures.backends.lock().unwrap().len()), ([1, 1], 1));
        assert!(figures.queues.lock().unwrap().is_empty());
        assert!(Arc::ptr_eq(&held, &figures.pool("held")) && Arc::ptr_eq(&backend, &figures.of(1)));
        assert!(Arc::ptr_eq(&listener, &figures.listener("held")));
    }
}
