//! Decisions for people who look: what was known of the candidates, what the plugin said, what came of it. Nothing of this
//! runs while nobody does.

use super::{Balancer, Choice, Pick, Question};
use crate::{
    figures::{Candidate, Opinion, Seen},
    net::Head,
    plugin::{BalancerInstance, Decision},
    upstream::Pool,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Candidates that are told of; of more, only how many.
const CANDIDATES_MOST: usize = 32;
/// Bytes of a request's line.
const REQUEST_MAX: usize = 256;

/// What becomes known on a decision's way.
#[derive(Debug, Default)]
pub(super) struct Looked {
    by: Vec<Opinion>,
    /// Where it is not the plugin asked last who chose.
    outcome: Option<&'static str>,
}

impl Looked {
    /// What is known so far; what comes of a question that was asked in vain is forgotten.
    pub(super) fn mark(&self) -> usize {
        self.by.len()
    }

    /// A plugin was asked, and so decided; none: it failed. What was known since this mark counts no more.
    pub(super) fn asked(&mut self, mark: usize, instance: &mut BalancerInstance, decision: Option<Decision>) {
        self.by.truncate(mark);
        self.outcome = None;
        let generation = instance.generation();
        self.by.push(Opinion {
            plugin: generation.name().clone(),
            generation: generation.number(),
            said: match decision {
                Some(Decision::Choose(_)) => "chose",
                Some(Decision::Narrow(_)) => "narrowed",
                Some(Decision::Pass) => "passed",
                Some(Decision::Reject(_)) => "rejected",
                None => "failed",
            },
            note: instance.explanation(),
        });
    }

    /// Who chose is not the plugin asked last.
    pub(super) fn ends_as(&mut self, outcome: &'static str) {
        self.outcome = Some(outcome);
    }
}

impl Balancer {
    /// As [`Balancer::pick`], with all that there is to say of it.
    pub fn explained(&mut self, question: Question<'_>) -> (Pick, Arc<Seen>) {
        let (attempt, now) = (question.attempt, question.now);
        let request = line(question.head);
        let pool = self.assignment().pool.clone();
        let (candidates, left_out) = candidates(&pool);
        let mut looked = Some(Looked::default());
        let begun = Instant::now();
        let pick = self.decide(question, &mut looked);
        let took = begun.elapsed();
        let Looked { by, outcome } = looked.unwrap_or_default();
        let chosen = match &pick {
            Pick::Backend(choice) => Some(choice.backend.name.clone()),
            _ => None,
        };
        let outcome = match &pick {
            Pick::Backend(..) => outcome.unwrap_or("chosen"),
            Pick::Reject(..) => "rejected",
            Pick::Full => "full",
            Pick::Nobody => "nobody",
        };
        let seen = Arc::new(Seen { request, attempt, by, candidates, left_out, outcome, chosen, took });
        if pool.tap.is_open() {
            pool.tap.put(seen.clone(), now);
        }
        (pick, seen)
    }

    /// A choice that nobody was asked for again: the plugin ranked it when it made the one before. None: nobody looks.
    pub fn preferred(
        &self,
        choice: &Choice,
        head: &Head,
        attempt: u32,
        now: Instant,
        is_told: bool,
    ) -> Option<Arc<Seen>> {
        let pool = &self.assignment().pool;
        if !is_told && !pool.tap.is_open() {
            return None;
        }
        let by = choice.said.as_ref().and_then(|said| said.by.as_ref());
        let by = by.map(|by| Opinion { plugin: by.name().clone(), generation: by.number(), said: "chose", note: None });
        let (candidates, left_out) = candidates(pool);
        let seen = Arc::new(Seen {
            request: line(head),
            attempt,
            by: by.into_iter().collect(),
            candidates,
            left_out,
            outcome: "preferred",
            chosen: Some(choice.backend.name.clone()),
            took: Duration::ZERO,
        });
        if pool.tap.is_open() {
            pool.tap.put(seen.clone(), now);
        }
        Some(seen)
    }
}

/// Method and path.
fn line(head: &Head) -> String {
    let mut request = format!("{} {}", head.method, head.target.path());
    request.truncate(request.floor_char_boundary(REQUEST_MAX));
    request
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
