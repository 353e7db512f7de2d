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

    /// Shows it a request. After [`Verdict::Unavailable`] the head is as it was before: nothing is left of the edits that
    /// the filter made before its fault.
    pub fn on_request(&mut self, head: &mut Head, turn: Turn) -> Verdict {
        let Some(instances) = &self.assignment.instances else { return Verdict::Unavailable };
        if let Some(instance) = instances.take(self.worker) {
            self.live = Some(instance);
        }
        let generation = instances.generation();
        let Some(live) = &mut self.live else {
            generation.costs().fell_back(self.worker);
            instances.order(self.worker);
            return Verdict::Unavailable;
        };
        if generation.is_quarantined() {
            generation.costs().fell_back(self.worker);
            return Verdict::Unavailable;
        }
        let begun = generation.costs().called(self.worker).then(Instant::now);
        let verdict = live.on_request(head, turn);
        if let Some(begun) = begun {
            generation.costs().took(self.worker, begun.elapsed());
        }
        match verdict {
            Ok(FilterVerdict::Next) => Verdict::Next,
            Ok(FilterVerdict::Respond(response)) => Verdict::Respond(response),
            Err(fault) => {
                self.live = None;
                generation.costs().fell_back(self.worker);
                generation.record(&fault);
                instances.order(self.worker);
                Verdict::Unavailable
            }
        }
    }
}
