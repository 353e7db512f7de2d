//! One filter on one worker.

use super::Assignment;
use crate::{
    net::Head,
    plugin::{FilterInstance, FilterVerdict, Turn},
};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use tokio::time::Instant;

/// What becomes of the request.
#[derive(Debug)]
pub enum Verdict {
    /// On, with the edits made.
    Next,
    /// This is the answer.
    Respond(Response<Bytes>),
    /// The filter cannot say: a fault, a quarantine, or it never loaded.
    Unavailable,
}

/// One filter on one worker.
#[derive(Debug)]
pub struct Filter {
    assignment: Arc<Assignment>,
    worker: usize,
    /// The live instance; none after a fault, until its successor is built.
    live: Option<FilterInstance>,
}

impl Filter {
    /// The filter of this worker; its instance is taken at the first request.
    pub fn new(assignment: Arc<Assignment>, worker: usize) -> Filter {
        Filter { assignment, worker, live: None }
    }

    /// What it was made of.
    pub fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Goes on with another assignment that has the same instances.
    pub fn adopt(&mut self, assignment: Arc<Assignment>) {
        self.assignment = assignment;
    }

    /// Shows it a request. After [`Verdict::Unavailable`] the head is as it was before: nothing is left of the edits that
    /// the filter made before its fault.
    pub fn on_request(&mut self, head: &mut Head, turn: Turn) -> Verdict {
        let Some(serving) = &self.assignment.serving else { return Verdict::Unavailable };
        let Some(instances) = serving.current() else {
            self.live = None;
            serving.generation().costs().fell_back(self.worker);
            return Verdict::Unavailable;
        };
        let generation = instances.generation();
        if let Some(instance) = instances.take(self.worker) {
            self.live = Some(instance);
        }
        // That of a generation that was quarantined is not asked again.
        self.live.take_if(|live| !Arc::ptr_eq(live.generation(), generation));
        let Some(live) = &mut self.live else {
            generation.costs().fell_back(self.worker);
            instances.order(self.worker);
            return Verdict::Unavailable;
        };
        let begun = generation.costs().called(self.worker).then(Instant::now);
        let verdict = live.on_request(head, turn);
        if let Some(begun) = begun {
            generation.costs().took(self.worker, begun.elapsed(), live.host_calls());
        }
        match verdict {
            Ok(FilterVerdict::Next) => Verdict::Next,
            Ok(FilterVerdict::Respond(response)) => Verdict::Respond(response),
            Err(fault) => {
                self.live = None;
                generation.costs().fell_back(self.worker);
                generation.record(&fault);
                if let Some(instances) = serving.current().filter(|next| next.is_empty(self.worker)) {
                    instances.order(self.worker);
                }
                Verdict::Unavailable
            }
        }
    }
}

impl Drop for Filter {
    /// Its instance may be asked for again: a generation that follows may fail.
    fn drop(&mut self) {
        if let (Some(live), Some(serving)) = (self.live.take(), &self.assignment.serving) {
            let generation = live.generation().clone();
            serving.put_back(self.worker, &generation, live);
        }
    }
}
