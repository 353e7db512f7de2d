//! How many requests a pool has at the same time. What is beyond waits in its [`Queue`].

use super::Queue;
use crate::{config::model::PoolLimit, figures::Freed};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

/// One pool's limits, where any is configured.
#[derive(Debug)]
pub struct Bounds {
    /// Where its requests wait.
    pub queue: Arc<Queue>,
    /// How long one waits.
    pub wait: Duration,
    requests: Arc<Requests>,
}

#[derive(Debug)]
struct Requests {
    most: u32,
    under_way: AtomicU32,
    queue: Arc<Queue>,
}

/// The right to be one of the pool's requests, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Requests>);

impl Bounds {
    pub(super) fn new(limit: &PoolLimit) -> Bounds {
        let queue = Queue::new(limit.queue as usize);
        let most = limit.requests.unwrap_or(u32::MAX);
        let requests = Arc::new(Requests { most, under_way: AtomicU32::new(0), queue: queue.clone() });
        Bounds { queue, wait: limit.wait, requests }
    }

    /// One more, if there may be one.
    pub fn admit(&self) -> Option<Permit> {
        let one_more = |under_way| (under_way < self.requests.most).then_some(under_way + 1);
        self.requests.under_way.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Permit(self.requests.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // In one order with the length of the line: see `Queue`.
        self.0.under_way.fetch_sub(1, SeqCst);
        self.0.queue.freed();
    }
}
