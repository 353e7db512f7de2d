//! One pool's balancer on one worker: its links are asked, and below them stands what the host does by itself.

use super::{
    Assignment, Choice,
    explain::Looked,
    fallback::{RoundRobin, is_full},
    guard::{Breach, Guard},
    link::{Asked, Link},
    narrow::Site,
};
use crate::{
    config::model::Fallback,
    net::Head,
    plugin::{Rejection, Stick},
    rng::Rng,
    upstream::Backend,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// How often a worker looks whether an instance is there for which answers wait.
const SUCCESSOR_INTERVAL: Duration = Duration::from_millis(10);

/// What a balancer is asked: who gets this request?
#[derive(Debug)]
pub struct Question<'a> {
    /// The request's.
    pub head: &'a mut Head,
    /// The time.
    pub now: Instant,
    /// The worker's.
    pub rng: &'a mut Rng,
    /// How often the request was sent before.
    pub attempt: u32,
    /// Who may not be chosen again.
    pub tried: &'a [Arc<Backend>],
}

/// Who gets the request.
#[derive(Debug)]
pub enum Pick {
    /// This one.
    Backend(Choice),
    /// The plugin has the client answered with this status, and perhaps told more.
    Reject(u16, Option<Box<Rejection>>),
    /// Nobody now, but somebody who has as many requests as there may be: it is worth waiting.
    Full,
    /// No backend is usable, or the plugin cannot choose and the pool's fallback is to reject.
    Nobody,
}

/// Where balancers work.
#[derive(Clone, Debug)]
pub struct Station {
    /// The number of the worker.
    pub worker: usize,
    /// Micros count from here.
    pub epoch: Instant,
    /// Rung when one of them is to be looked after sooner than it said.
    pub bell: Arc<Notify>,
}

/// One pool's balancer on one worker.
#[derive(Debug)]
pub struct Balancer {
    assignment: Arc<Assignment>,
    worker: usize,
    /// The others of the chain stand behind it.
    first: Link,
    fallback: RoundRobin,
    /// None: the pool has no bounds for shares.
    guard: Option<Guard>,
}

impl Balancer {
    /// The balancer of this worker; its instances are taken at the first pick.
    pub fn new(assignment: Arc<Assignment>, at: &Station) -> Balancer {
        assignment.pool.probes.rings(at.worker, &at.bell);
        Balancer {
            worker: at.worker,
            first: Link::new(assignment.clone(), None, &Site::new(at)),
            fallback: RoundRobin::new(&assignment.pool),
            guard: Guard::of(&assignment.pool),
            assignment,
        }
    }

    /// What it was made of.
    pub fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Goes on with another assignment of the same pool; see [`Link::adopt`].
    pub fn adopt(&mut self, assignment: Arc<Assignment>) {
        self.fallback = RoundRobin::new(&assignment.pool);
        if self.assignment.pool.share != assignment.pool.share {
            self.guard = Guard::of(&assignment.pool);
        }
        self.first.adopt(assignment.clone());
        self.assignment = assignment;
    }

    /// Chooses a backend that this request has not tried.
    pub fn pick(&mut self, question: Question<'_>) -> Pick {
        match self.assignment.pool.tap.is_open() {
            false => self.decide(question, &mut None),
            true => self.explained(question).0,
        }
    }

    /// `looked`: what becomes known on the way, where somebody looks.
    pub(super) fn decide(&mut self, question: Question<'_>, looked: &mut Option<Looked>) -> Pick {
        let (attempt, now, tried) = (question.attempt, question.now, question.tried);
        let mut asked = Asked::new(question, &self.assignment.pool, looked);
        let decided = self.first.decide(&mut asked);
        let mut said = asked.said;
        let mut pick = match decided {
            Some(pick) => pick,
            None => self.fall_back(tried, now, looked),
        };
        if let (Pick::Backend(choice), Some(guard)) = (&mut pick, &mut self.guard)
            && attempt == 0
            && tried.is_empty()
        {
            let pool = &self.assignment.pool;
            let breach = guard.breach(&choice.backend, pool, now);
            if let Some(Breach { other, .. }) = &breach {
                // Nobody waits to hear what becomes of what he did not choose, and no client is bound to it.
                *choice = Choice::of(other.clone());
                said = said.filter(|said| matches!(said, Stick::Chosen));
                if let Some(looked) = looked {
                    looked.ends_as("guarded");
                }
            }
            choice.guarded = Some(breach.map(|breach| breach.bound));
        }
        if let (Some(said), Pick::Backend(choice)) = (said, &mut pick) {
            choice.stick = match said {
                Stick::To(id) => Some(id),
                Stick::Chosen => Some(choice.backend.id),
            };
        }
        pick
    }

    /// A choice has begun, and counts in the shares that are bounded. One that found no room does not.
    pub fn began(&mut self, choice: &Choice) {
        let (Some(guard), Some(bound)) = (&mut self.guard, choice.guarded) else { return };
        guard.note(choice.backend.id, bound, self.assignment.pool.figures.of(self.worker));
    }

    /// Runs the plugins' ticks that are due, and tells them what they wait to hear, and what backends answered to their probes;
    /// says when to look again. Answers wait for an instance that is being built.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        let probes = &self.assignment.pool.probes;
        if probes.has_answers(self.worker) && self.first.is_awaited() {
            let soon = now + SUCCESSOR_INTERVAL;
            return Some(self.first.tick(now, &[]).map_or(soon, |next| next.min(soon)));
        }
        self.first.tick(now, &probes.answers(self.worker))
    }

    fn fall_back(&mut self, tried: &[Arc<Backend>], now: Instant, looked: &mut Option<Looked>) -> Pick {
        if let Some(looked) = looked {
            looked.ends_as("fallback");
        }
        if self.assignment.pool.fallback == Fallback::Reject {
            return Pick::Nobody;
        }
        match self.fallback.next(&self.assignment.pool, tried, now) {
            Some(backend) => Pick::Backend(Choice::of(backend)),
            None if is_full(&self.assignment.pool, tried) => Pick::Full,
            None => Pick::Nobody,
        }
    }
}
