//! One pool's balancer on one worker.

use super::{
    Assignment,
    assignment::Prepared,
    fallback::{RoundRobin, is_usable},
    roster::draw_up,
};
use crate::{
    config::model::{Fallback, HashKey},
    figures::Standing,
    net::{Head, Part},
    plugin::{Call, Decision, Fault, FaultKind, Turn},
    rng::Rng,
    upstream::Backend,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An `update` that took longer than this the last time is not run on the worker: a successor is built aside instead.
const UPDATE_ON_WORKER_MOST: Duration = Duration::from_millis(1);
/// How often a request's plugin is asked when its choice became unusable since its last `update`.
const ASKED_MOST: u32 = 2;

/// Who gets the request.
#[derive(Debug)]
pub enum Pick {
    /// This one.
    Backend(Arc<Backend>),
    /// The plugin has the client answered with this status.
    Reject(u16),
    /// No backend is usable, or the plugin cannot choose and the pool's fallback is to reject.
    Nobody,
}

/// One pool's balancer on one worker.
#[derive(Debug)]
pub struct Balancer {
    assignment: Arc<Assignment>,
    worker: usize,
    /// The live instance; none after a fault, until its successor is built.
    live: Option<Prepared>,
    fallback: RoundRobin,
    next_tick: Option<Instant>,
    /// Micros count from here.
    epoch: Instant,
}

impl Balancer {
    /// The balancer of this worker; its instance is taken at the first pick.
    pub fn new(assignment: Arc<Assignment>, worker: usize, epoch: Instant) -> Balancer {
        let fallback = RoundRobin::new(&assignment.pool);
        Balancer { assignment, worker, live: None, fallback, next_tick: None, epoch }
    }

    /// What it was made of.
    pub fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Chooses a backend that this request has not tried.
    pub fn pick(&mut self, head: &mut Head, now: Instant, rng: &mut Rng, attempt: u32, tried: &[Arc<Backend>]) -> Pick {
        match self.ask(head, now, rng, attempt, tried) {
            Answer::Pick(pick) => pick,
            Answer::Fallback => self.fall_back(tried),
        }
    }

    /// Runs the plugin's tick if it has one and it is due; says when the next one is.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.refresh();
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

    fn ask(&mut self, head: &mut Head, now: Instant, rng: &mut Rng, attempt: u32, tried: &[Arc<Backend>]) -> Answer {
        let tried_ids: Vec<u64> = tried.iter().map(|b| b.id).collect();
        let key = self.assignment.pool.hash.as_ref().and_then(|key| head.hash(part(key), 0));
        let mut unusable = None;
        for _ in 0..ASKED_MOST {
            self.refresh();
            let turn = Turn { now_us: self.micros(now), random: rng.bits(), key, attempt };
            let Some(live) = &mut self.live else { return Answer::Fallback };
            let generation = live.instance.generation();
            if generation.is_quarantined() {
                return Answer::Fallback;
            }
            generation.costs().called(self.worker);
            let decision = live.instance.pick(head, turn, &tried_ids);
            match decision.and_then(|decision| check(decision, live)) {
                Ok(Checked::Backend(backend)) if is_usable(&backend, tried) => {
                    return Answer::Pick(Pick::Backend(backend));
                }
                Ok(Checked::Backend(backend)) => unusable = Some(backend),
                Ok(Checked::Pass) => return Answer::Fallback,
                Ok(Checked::Reject(status)) => return Answer::Pick(Pick::Reject(status)),
                Err(fault) => {
                    self.drop_instance(&fault);
                    return Answer::Fallback;
                }
            }
        }
        // Chosen twice and unusable twice: no fault, for it fell ill or was tried since the plugin was told.
        match unusable.and_then(|after| self.next_usable(&after, tried)) {
            Some(backend) => Answer::Pick(Pick::Backend(backend)),
            None => Answer::Fallback,
        }
    }

    /// Takes a prepared instance if one waits, and tells the live one of a changed pool.
    fn refresh(&mut self) {
        let Some(instances) = &self.assignment.instances else { return };
        if let Some(prepared) = instances.take(self.worker) {
            self.live = Some(prepared);
        }
        let Some(live) = &mut self.live else { return instances.order(self.worker) };
        if live.roster.version == self.assignment.pool.version() {
            return;
        }
        if live.instance.update_time() > UPDATE_ON_WORKER_MOST {
            // The old one goes on meanwhile; what it chooses is checked.
            return instances.order(self.worker);
        }
        let (roster, membership) = draw_up(&self.assignment.pool);
        match live.instance.update(membership) {
            Ok(()) => live.roster = roster,
            Err(fault) => self.drop_instance(&fault),
        }
    }

    fn fall_back(&mut self, tried: &[Arc<Backend>]) -> Pick {
        if let Some(generation) = self.assignment.generation() {
            generation.costs().fell_back(self.worker);
        }
        if self.assignment.pool.fallback == Fallback::Reject {
            return Pick::Nobody;
        }
        self.fallback.next(&self.assignment.pool, tried).map_or(Pick::Nobody, Pick::Backend)
    }

    /// The next usable backend after this one, in the order of the plugin's positions.
    fn next_usable(&self, after: &Arc<Backend>, tried: &[Arc<Backend>]) -> Option<Arc<Backend>> {
        let roster = &self.live.as_ref()?.roster;
        let ready = roster.backends.get(..roster.ready)?;
        let start = ready.iter().position(|b| Arc::ptr_eq(b, after)).map_or(0, |p| p + 1);
        let in_turn = ready.iter().cycle().skip(start).take(ready.len());
        in_turn.filter(|b| b.weight > 0).find(|b| is_usable(b, tried)).cloned()
    }

    /// After a fault the whole store is dead; a successor is ordered.
    fn drop_instance(&mut self, fault: &Fault) {
        self.live = None;
        self.next_tick = None;
        if let Some(instances) = &self.assignment.instances {
            instances.generation().record(fault);
            instances.order(self.worker);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }
}

enum Answer {
    Pick(Pick),
    Fallback,
}

/// A decision that names something real.
enum Checked {
    Backend(Arc<Backend>),
    Pass,
    Reject(u16),
}

/// A guest's answer is data to be checked, never trusted.
fn check(decision: Decision, live: &Prepared) -> Result<Checked, Fault> {
    match decision {
        Decision::Choose(position) => choose(position, live),
        Decision::Pass => Ok(Checked::Pass),
        Decision::Reject(status @ 400..=599) => Ok(Checked::Reject(status)),
        Decision::Reject(status) => Err(breach(format!("rejected with status {status}, which is not 400 to 599"))),
        Decision::Narrow(_) => Err(breach("narrowed to a subset, which this host does not offer yet".into())),
    }
}

fn choose(position: u32, live: &Prepared) -> Result<Checked, Fault> {
    let roster = &live.roster;
    let Some(backend) = roster.backends.get(position as usize) else {
        return Err(breach(format!("picked index {position} of a pool of {}", roster.ready)));
    };
    let was_listed_to_choose = (position as usize) < roster.ready;
    if was_listed_to_choose || backend.standing() == Standing::Draining {
        return Ok(Checked::Backend(backend.clone()));
    }
    Err(breach(format!("picked index {position} ({}), which its last update listed as not eligible", backend.name)))
}

fn breach(text: String) -> Fault {
    Fault { kind: FaultKind::Answer, call: Call::Pick, text, frames: Vec::new() }
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
