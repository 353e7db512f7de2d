//! What becomes known of a request on its way; counted when it is answered, or when its client left before.

use super::{Policy, Worker};
use crate::{figures::ListenerCounts, upstream::Pool};
use http::StatusCode;
use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};
use tokio::time::Instant;

/// One request's facts.
#[derive(Debug)]
pub(super) struct Context<'a> {
    worker: &'a Worker,
    policy: &'a Policy,
    /// When its head was there.
    pub(super) began: Instant,
    pool: OnceCell<Arc<Pool>>,
    is_answered: Cell<bool>,
}

impl<'a> Context<'a> {
    pub(super) fn new(worker: &'a Worker, policy: &'a Policy) -> Context<'a> {
        let began = Instant::now();
        Context { worker, policy, began, pool: OnceCell::new(), is_answered: Cell::new(false) }
    }

    /// A route has said which pool it is for.
    pub(super) fn goes_to(&self, pool: Arc<Pool>) -> &Arc<Pool> {
        self.pool.get_or_init(|| pool)
    }

    /// Its answer's head is there.
    pub(super) fn answered(&self, status: StatusCode) {
        self.is_answered.set(true);
        self.counts().answers.up(status.as_u16());
        if let Some(pool) = self.pool.get() {
            let counts = pool.figures.of(self.worker.index());
            counts.answers.up(status.as_u16());
            counts.took.took(self.began.elapsed());
        }
    }

    fn counts(&self) -> &ListenerCounts {
        self.policy.figures.of(self.worker.index())
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if !self.is_answered.get() {
            self.counts().left.up();
        }
    }
}
