//! Live figures of backends: atomics, keyed by the backend's id, owned by the process. They outlive reloads, membership
//! changes and plugin swaps.

mod backend;
mod standing;

pub use backend::{Attempt, BackendFigures, Outcome};
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

/// The figures of every backend this process has known.
#[derive(Debug, Default)]
pub struct Figures {
    by_id: Mutex<HashMap<u64, Arc<BackendFigures>>>,
}

impl Figures {
    /// The figures of this backend; new ones when the id was never seen. Off the request path only.
    pub fn of(&self, id: u64) -> Arc<BackendFigures> {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.entry(id).or_default().clone()
    }
}
