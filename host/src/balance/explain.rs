//! Decisions for people who look: what was known of the candidates, what the plugin said, what came of it. Nothing of this
//! runs while nobody does.

use super::{Balancer, Pick, Question};
use crate::{
    figures::{Candidate, Seen},
    plugin::BalancerInstance,
    upstream::Pool,
};
use std::sync::Arc;
use tokio::time::Instant;

/// Candidates that are told of; of more, only how many.
const CANDIDATES_MOST: usize = 32;
/// Bytes of a request's line.
const REQUEST_MAX: usize = 256;

/// What becomes known on a decision's way.
#[derive(Debug, Default)]
pub(super) struct Looked {
    by: Option<(Arc<str>, u64)>,
    note: Option<Box<str>>,
    fell_back: bool,
}

impl Looked {
    /// The plugin was asked.
    pub(super) fn asked(&mut self, instance: &mut BalancerInstance) {
        let generation = instance.generation();
        self.by = Some((generation.name().clone(), generation.number()));
        self.note = instance.explanation();
    }

    /// The fallback is asked.
    pub(super) fn fell_back(&mut self) {
        self.fell_back = true;
    }
}

impl Balancer {
    /// As [`Balancer::pick`], with all that there is to say of it.
    pub fn explained(&mut self, question: Question<'_>) -> (Pick, Arc<Seen>) {
        let (attempt, now, head) = (question.attempt, question.now, &question.head);
        let mut request = format!("{} {}", head.method, head.target.path());
        request.truncate(request.floor_char_boundary(REQUEST_MAX));
        let pool = self.assignment().pool.clone();
        let (candidates, left_out) = candidates(&pool);
        self.looked = Some(Looked::default());
        let begun = Instant::now();
        let pick = self.decide(question);
        let took = begun.elapsed();
        let Looked { by, note, fell_back } = self.looked.take().unwrap_or_default();
        let chosen = match &pick {
            Pick::Backend(choice) => Some(choice.backend.name.clone()),
            _ => None,
        };
        let outcome = match &pick {
            Pick::Backend(..) if fell_back => "fallback",
            Pick::Backend(..) => "chosen",
            Pick::Reject(..) => "rejected",
            Pick::Full => "full",
            Pick::Nobody => "nobody",
        };
        let seen = Seen { request, attempt, by, candidates, left_out, outcome, chosen, note, took };
        let seen = Arc::new(seen);
        if pool.tap.is_open() {
            pool.tap.put(seen.clone(), now);
        }
        (pick, seen)
    }
}

/// Those that may be chosen now, and how many more there are.
fn candidates(pool: &Pool) -> (Vec<Candidate>, usize) {
    let ready = || pool.backends.iter().filter(|backend| backend.is_ready());
    let told = ready().take(CANDIDATES_MOST).map(|backend| Candidate {
        name: backend.name.clone(),
        weight: backend.weight(),
        in_flight: backend.figures.in_flight(),
        latency_us: backend.figures.latency_us(),
        success_permille: backend.figures.success_permille(),
    });
    (told.collect(), ready().count().saturating_sub(CANDIDATES_MOST))
}
