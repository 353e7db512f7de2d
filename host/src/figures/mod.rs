//! Live figures of backends, and what is counted of pools and listeners: atomics, keyed by id or name, owned by the
//! process. They outlive reloads, membership changes and plugin swaps. So do the lines in which requests wait for figures
//! to fall.

mod backend;
mod count;
mod histogram;
mod listener;
mod pool;
mod queue;
mod silence;
mod standing;

pub use backend::{Attempt, BackendFigures, Outcome};
pub use count::{Classes, Count, PerWorker};
pub use histogram::{Durations, Histogram};
pub use listener::{ListenerCounts, ListenerFigures};
pub use pool::{Failure, PoolCounts, PoolFigures};
pub use queue::{Place, Queue};
pub use silence::{Silence, Told};
pub use standing::Standing;

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
    queues: Mutex<HashMap<String, Arc<Queue>>>,
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

    /// Where the requests of the pool of this name wait, from its first limit to the end of the process. Off the request
    /// path only.
    pub fn queue(&self, pool: &str) -> Arc<Queue> {
        let mut by_name = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(pool.into()).or_default().clone()
    }

    fn named<T: Default>(&self, all: &ByName<T>, name: &str) -> Arc<PerWorker<T>> {
        let mut by_name = all.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.entry(name.into()).or_insert_with(|| Arc::new(PerWorker::new(self.workers))).clone()
    }

    /// Lets go of the figures that nobody holds any more, so that names which come and go leave nothing behind.
    pub fn forget_unused(&self) {
        let mut by_id = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.retain(|_, figures| Arc::strong_count(figures) > 1);
    }
}
