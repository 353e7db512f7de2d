//! One pool's balancer on one worker.

mod succession;

use super::{
    Assignment, Choice,
    assignment::Prepared,
    choice::Said,
    explain::Looked,
    fallback::{RoundRobin, is_full, is_usable, may_be_chosen},
    guard::Guard,
    hearing::Hearing,
    roster::draw_up,
};
use crate::{
    config::model::{Fallback, HashKey},
    figures::{Reservation, Undelivered, micros},
    net::{Head, Part},
    plugin::{Call, Decision, Fault, FaultKind, Rejection, Stick, Turn},
    rng::Rng,
    upstream::Backend,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// An `update` that took longer than this the last time is not run on the worker: a successor is built aside instead.
const UPDATE_ON_WORKER_MOST: Duration = Duration::from_millis(1);
/// Nor one that lists more than so many times the ready backends of the last: its time says nothing of this one's …
const GROWTH_MOST: usize = 2;
/// … unless they are no more than these.
const FEW: usize = 16;
/// How often a request's plugin is asked when its choice became unusable since its last `update`.
const ASKED_MOST: u32 = 2;

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
    /// The live instance; none after a fault, until its successor is built.
    live: Option<Prepared>,
    /// It was one of another assignment, and serves until its successor has its state.
    leaves: bool,
    /// Its state is on the way to its successor.
    has_heir: bool,
    fallback: RoundRobin,
    next_tick: Option<Instant>,
    /// None: the pool has no bounds for shares.
    guard: Option<Guard>,
    /// What becomes known of the decision at hand, while somebody looks.
    pub(super) looked: Option<Looked>,
    hearing: Hearing,
    /// Micros count from here.
    epoch: Instant,
}

impl Balancer {
    /// The balancer of this worker; its instance is taken at the first pick.
    pub fn new(assignment: Arc<Assignment>, at: &Station) -> Balancer {
        let fallback = RoundRobin::new(&assignment.pool);
        let guard = Guard::of(&assignment.pool);
        let hearing = Hearing::new(at.worker, at.bell.clone());
        assignment.pool.probes.rings(at.worker, &at.bell);
        Balancer {
            assignment,
            worker: at.worker,
            live: None,
            leaves: false,
            has_heir: false,
            guard,
            fallback,
            next_tick: None,
            looked: None,
            hearing,
            epoch: at.epoch,
        }
    }

    /// What it was made of.
    pub fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Chooses a backend that this request has not tried.
    pub fn pick(&mut self, question: Question<'_>) -> Pick {
        match self.assignment.pool.tap.is_open() {
            false => self.decide(question),
            true => self.explained(question).0,
        }
    }

    pub(super) fn decide(&mut self, mut question: Question<'_>) -> Pick {
        let mut said = None;
        let mut pick = match self.ask(&mut question, &mut said) {
            Answer::Pick(pick) => pick,
            Answer::Fallback => self.fall_back(question.tried, question.now),
        };
        if let (Pick::Backend(choice), Some(guard)) = (&mut pick, &mut self.guard)
            && question.attempt == 0
            && question.tried.is_empty()
        {
            let pool = &self.assignment.pool;
            let settled = guard.settle(&choice.backend, pool, pool.figures.of(self.worker), question.now);
            if !Arc::ptr_eq(&settled, &choice.backend) {
                // Nobody waits to hear what becomes of what he did not choose, and no client is bound to it.
                *choice = Choice::of(settled);
                said = said.filter(|said| matches!(said, Stick::Chosen));
            }
        }
        if let (Some(said), Pick::Backend(choice)) = (said, &mut pick) {
            choice.stick = match said {
                Stick::To(id) => Some(id),
                Stick::Chosen => Some(choice.backend.id),
            };
        }
        pick
    }

    /// Runs the plugin's tick if it has one and it is due, and tells it what it waits to hear, and what backends answered to its
    /// probes; says when to look again.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.refresh();
        if self.hearing.is_due(now) {
            self.tell(now);
        }
        self.tell_answers(now);
        let next = self.run_tick(now);
        next.into_iter().chain(self.hearing.next_look()).min()
    }

    fn run_tick(&mut self, now: Instant) -> Option<Instant> {
        let period = self.live.as_ref()?.instance.tick_period()?;
        let due = *self.next_tick.get_or_insert(now + period);
        if due > now {
            return Some(due);
        }
        // Ticks that were missed are not made up for.
        self.next_tick = Some(now + period);
        let now_us = self.micros(now);
        if let Some(Err(fault)) = self.live.as_mut().map(|live| live.instance.tick(now_us)) {
            self.drop_instance(&fault);
        }
        self.next_tick
    }

    /// Tells the plugin what became of its decisions.
    fn tell(&mut self, now: Instant) {
        let now_us = self.micros(now);
        if let Err(fault) = self.hearing.tell(self.live.as_mut(), now_us) {
            self.drop_instance(&fault);
        }
    }

    /// Tells the plugin what became of probes. Here alone and in no pick: a worker whose requests leave it no time for this will
    /// not choose better by younger answers.
    fn tell_answers(&mut self, now: Instant) {
        let answers = self.assignment.pool.probes.answers(self.worker);
        if answers.is_empty() {
            return;
        }
        let now_us = self.micros(now);
        if let Some(live) = self.live.as_mut().filter(|live| live.instance.asks())
            && let Err(fault) = live.instance.probed(now, now_us, &answers)
        {
            self.drop_instance(&fault);
        }
    }

    /// `said`: whom the client is to be bound to, where there is a cookie for it.
    fn ask(&mut self, question: &mut Question<'_>, said: &mut Option<Stick>) -> Answer {
        let &mut Question { ref mut head, now, ref mut rng, attempt, tried } = question;
        let pool = &self.assignment.pool;
        let binds = pool.cookie.is_some();
        let stuck = pool.cookie.as_ref().and_then(|cookie| cookie.read(head.cookie(cookie.name())?));
        let tried_ids: Vec<u64> = tried.iter().map(|b| b.id).collect();
        let key = pool.hash.as_ref().and_then(|key| head.hash(part(key), 0));
        // One request in some waits for it, for as long as a pick or two; a task of its own would cost all of them more.
        if self.hearing.has_batch() {
            self.tell(now);
        }
        let mut unusable = None;
        for _ in 0..ASKED_MOST {
            self.refresh();
            let explain = self.looked.is_some();
            let turn = Turn { now_us: self.micros(now), random: rng.bits(), key, attempt, explain };
            let Some(live) = self.live.as_mut().filter(|live| live.roster.ready > 0) else { return Answer::Fallback };
            let begun = live.instance.generation().costs().called(self.worker).then(Instant::now);
            live.instance.stuck(stuck);
            let picked = live.pick(head, turn, &tried_ids);
            if let Some(begun) = begun {
                let (took, host_calls) = (begun.elapsed(), live.instance.host_calls());
                live.instance.generation().costs().took(self.worker, took, host_calls);
            }
            if let Some(looked) = &mut self.looked {
                looked.asked(&mut live.instance);
            }
            if binds {
                // Who passes can bind nobody to a choice of its own.
                let chooses = matches!(picked, Ok((Decision::Choose(_), _)));
                *said = live.instance.notes().stick.take().filter(|stick| chooses || *stick == Stick::Chosen);
            }
            match picked {
                Ok((Decision::Choose(position), reserved)) => match live.roster.backends.get(position as usize) {
                    Some(backend) if may_be_chosen(backend, tried, reserved.is_some()) => {
                        let backend = backend.clone();
                        let said = self.said(position);
                        return Answer::Pick(Pick::Backend(Choice { reserved, said, ..Choice::of(backend) }));
                    }
                    ill_or_tried => unusable = ill_or_tried.cloned(),
                },
                Ok((Decision::Reject(status), _)) => {
                    return Answer::Pick(Pick::Reject(status, live.instance.notes().rejection.take()));
                }
                Ok((Decision::Pass | Decision::Narrow(_), _)) => return Answer::Fallback,
                Err(fault) => {
                    self.drop_instance(&fault);
                    return Answer::Fallback;
                }
            }
        }
        // Chosen twice and unusable twice: no fault, for it fell ill or was tried since the plugin was told.
        match unusable.and_then(|after| self.next_usable(&after, tried)) {
            Some((position, backend)) => {
                // It was not this one that the plugin spoke of.
                *said = said.filter(|said| *said == Stick::Chosen);
                Answer::Pick(Pick::Backend(Choice { said: self.said(position), ..Choice::of(backend) }))
            }
            None if is_full(&self.assignment.pool, tried) => Answer::Pick(Pick::Full),
            None => Answer::Fallback,
        }
    }

    /// What the plugin added to its choice, which is at this position now.
    fn said(&mut self, position: u32) -> Option<Said> {
        let live = self.live.as_mut()?;
        let (notes, picker) = (live.instance.notes(), self.hearing.picker());
        if picker.is_none() && notes.next.is_empty() {
            return None;
        }
        let named = |&position: &u32| Some((position, live.roster.backends.get(position as usize)?.clone()));
        let next = notes.next.iter().filter_map(named).collect();
        Some(Said { picker: picker.cloned(), position, token: notes.token, next })
    }

    /// Takes a prepared instance if one waits, and tells the live one of a changed pool. There is none in quarantine, unless
    /// a good generation stands behind it.
    fn refresh(&mut self) {
        let Some(instances) = self.assignment.current() else {
            self.hearing.ends(Undelivered::Fault);
            self.live = None;
            return;
        };
        // That of a generation that was quarantined is not asked again.
        if self.live.take_if(|live| live.instance.generation().is_quarantined()).is_some() {
            self.hearing.ends(Undelivered::Fault);
        }
        if self.leaves || !instances.is_empty(self.worker) {
            let instances = instances.clone();
            self.look_for_successor(&instances);
        }
        match &self.live {
            Some(live) if live.roster.version == self.assignment.pool.version() => {}
            _ => self.keep_up(),
        }
    }

    /// Tells the live instance of a changed pool, or orders one that knows of it.
    fn keep_up(&mut self) {
        let Some(instances) = self.assignment.current() else { return };
        let Some(live) = &mut self.live else { return instances.order(self.worker) };
        // Where it could take long, the old one goes on until there is another; what it chooses is checked.
        if live.instance.update_time() > UPDATE_ON_WORKER_MOST {
            return instances.order(self.worker);
        }
        let (roster, membership) = draw_up(&self.assignment.pool);
        if roster.ready > FEW.max(live.roster.ready * GROWTH_MOST) {
            return instances.order(self.worker);
        }
        match live.instance.update(membership) {
            Ok(()) => live.roster = roster,
            Err(fault) => self.drop_instance(&fault),
        }
    }

    fn fall_back(&mut self, tried: &[Arc<Backend>], now: Instant) -> Pick {
        if let Some(looked) = &mut self.looked {
            looked.fell_back();
        }
        if let Some(generation) = self.assignment.generation() {
            generation.costs().fell_back(self.worker);
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

    /// The next usable backend after this one, in the order of the plugin's positions.
    fn next_usable(&self, after: &Arc<Backend>, tried: &[Arc<Backend>]) -> Option<(u32, Arc<Backend>)> {
        let roster = &self.live.as_ref()?.roster;
        let ready = roster.backends.get(..roster.ready)?;
        let start = ready.iter().position(|b| b.id == after.id).map_or(0, |p| p + 1);
        let mut in_turn = (0..).zip(ready).cycle().skip(start).take(ready.len());
        let (position, backend) = in_turn.find(|(_, b)| b.weight() > 0 && is_usable(b, tried))?;
        Some((position, backend.clone()))
    }

    /// After a fault the whole store is dead; a successor is ordered.
    fn drop_instance(&mut self, fault: &Fault) {
        let Some(dead) = self.live.take() else { return };
        if self.has_heir {
            self.hearing.waits()
        } else {
            self.hearing.ends(Undelivered::Fault)
        }
        self.next_tick = None;
        dead.instance.generation().record(fault);
        // After the record: when this was the last straw, the reserve is who goes on.
        let next = self.assignment.current();
        if let Some(instances) = next.filter(|next| next.is_empty(self.worker)) {
            instances.order(self.worker);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.epoch))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.put_back();
    }
}

enum Answer {
    Pick(Pick),
    Fallback,
}

impl Prepared {
    /// A guest's answer is data to be checked, never trusted. With it comes what it has reserved where it leads.
    fn pick(&mut self, head: &mut Head, turn: Turn, tried: &[u64]) -> Result<(Decision, Option<Reservation>), Fault> {
        let decision = self.instance.pick(head, turn, tried)?;
        let reserved = self.instance.reserved(decision);
        match self.instance.membership().breach(decision) {
            Some(text) => Err(Fault::new(FaultKind::Answer, Call::Pick, text)),
            None => Ok((decision, reserved)),
        }
    }
}

fn part(key: &HashKey) -> Part<'_> {
    match key {
        HashKey::Header(name) => Part::Header(name),
        HashKey::Cookie(name) => Part::Cookie(name),
        HashKey::Query(name) => Part::Query(name),
        HashKey::Path => Part::Path,
        HashKey::Client => Part::Client,
    }
}
