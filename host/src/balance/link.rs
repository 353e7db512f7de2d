//! One link of a pool's chain on one worker: its instance is asked, kept up to date, and told what became of its choices;
//! behind it stands the next link.

mod succession;

use super::{
    Assignment, Choice, Pick, Question,
    assignment::Prepared,
    choice::Said,
    explain::Looked,
    fallback::{is_full, is_usable, may_be_chosen},
    hearing::Hearing,
    narrow::{Narrows, Site},
    roster::{Part, draw_up},
};
use crate::{
    config::model::HashKey,
    figures::{Probed, Reservation, Undelivered, micros},
    net::{self, Head},
    plugin::{Call, Decision, Fault, FaultKind, InstanceSet, Stick, Turn},
    upstream::{Backend, Pool},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// An `update` that took longer than this the last time is not run on the worker: a successor is built aside instead.
const UPDATE_ON_WORKER_MOST: Duration = Duration::from_millis(1);
/// Nor one that lists more than so many times the ready backends of the last: its time says nothing of this one's …
const GROWTH_MOST: usize = 2;
/// … unless they are no more than these.
const FEW: usize = 16;
/// How often a request's plugin is asked when its choice became unusable since its last `update`.
const ASKED_MOST: u32 = 2;

/// One balancer of a chain.
#[derive(Debug)]
pub(super) struct Link {
    assignment: Arc<Assignment>,
    /// The part of the pool that it chooses in; none: all of it.
    part: Option<Arc<Part>>,
    site: Site,
    /// The live instance; none after a fault, until its successor is built.
    live: Option<Prepared>,
    /// The instances that it is one of. When others are to choose it serves until its successor is there.
    home: Weak<InstanceSet<Prepared>>,
    /// Its state is on the way to one of these.
    heir_in: Weak<InstanceSet<Prepared>>,
    next_tick: Option<Instant>,
    hearing: Hearing,
    narrows: Narrows,
    /// Who is asked when this one has no opinion.
    next: Option<Box<Link>>,
}

/// One decision on its way along the chain.
pub(super) struct Asked<'a> {
    pub(super) question: Question<'a>,
    pub(super) pool: &'a Arc<Pool>,
    /// Ids of those that were tried.
    tried: Vec<u64>,
    key: Option<u64>,
    /// Whom the client is bound to.
    stuck: Option<u64>,
    /// Whom it is to be bound to.
    pub(super) said: Option<Stick>,
    /// What becomes known, while somebody looks.
    pub(super) looked: &'a mut Option<Looked>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(question: Question<'a>, pool: &'a Arc<Pool>, looked: &'a mut Option<Looked>) -> Asked<'a> {
        let head = &*question.head;
        Asked {
            tried: question.tried.iter().map(|b| b.id).collect(),
            key: pool.hash.as_ref().and_then(|key| head.hash(part(key), 0)),
            stuck: pool.cookie.as_ref().and_then(|cookie| cookie.read(head.cookie(cookie.name())?)),
            said: None,
            question,
            pool,
            looked,
        }
    }
}

impl Link {
    /// This link and those behind it; instances are taken at the first pick.
    pub(super) fn new(assignment: Arc<Assignment>, part: Option<Arc<Part>>, site: &Site) -> Link {
        Link {
            next: assignment.next.as_ref().map(|next| Box::new(Link::new(next.clone(), part.clone(), site))),
            assignment,
            part,
            site: site.clone(),
            live: None,
            home: Weak::new(),
            heir_in: Weak::new(),
            next_tick: None,
            hearing: Hearing::new(site.at.worker, site.at.bell.clone()),
            narrows: Narrows::default(),
        }
    }

    /// What this link decides, or one of those behind it; none: none of them does.
    pub(super) fn decide(&mut self, asked: &mut Asked<'_>) -> Option<Pick> {
        match self.ask(asked) {
            Some(pick) => Some(pick),
            None => self.next.as_mut()?.decide(asked),
        }
    }

    /// Runs the ticks that are due, here and behind, and tells the plugins what they wait to hear; says when to look again.
    pub(super) fn tick(&mut self, now: Instant, answers: &[Probed]) -> Option<Instant> {
        self.refresh();
        if self.hearing.is_due(now) {
            self.tell(now);
        }
        self.tell_answers(now, answers);
        let own = [self.run_tick(now), self.hearing.next_look()];
        let others = self.narrows.links().chain(self.next.as_deref_mut());
        let others = others.filter_map(|other| other.tick(now, answers)).min();
        own.into_iter().flatten().chain(others).min()
    }

    /// Whether there is no instance, and will be one.
    pub(super) fn is_awaited(&mut self) -> bool {
        self.refresh();
        self.live.is_none() && self.assignment.current().is_some()
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
    fn tell_answers(&mut self, now: Instant, answers: &[Probed]) {
        let now_us = self.micros(now);
        let Some(live) = self.live.as_mut().filter(|live| !answers.is_empty() && live.instance.asks()) else { return };
        let told = match self.part {
            None => live.instance.probed(now, now_us, answers),
            // Who is of the pool and not of the part has not left it.
            Some(_) => {
                let backends = &live.roster.backends;
                let is_ours = |one: &&Probed| backends.iter().any(|backend| backend.id == one.backend);
                let ours: Vec<_> = answers.iter().filter(is_ours).copied().collect();
                if ours.is_empty() { Ok(()) } else { live.instance.probed(now, now_us, &ours) }
            }
        };
        if let Err(fault) = told {
            self.drop_instance(&fault);
        }
    }

    /// What this link decides; none: it passes, or cannot.
    fn ask(&mut self, asked: &mut Asked<'_>) -> Option<Pick> {
        let (now, attempt, tried) = (asked.question.now, asked.question.attempt, asked.question.tried);
        // One request in some waits for it, for as long as a pick or two; a task of its own would cost all of them more.
        if self.hearing.has_batch() {
            self.tell(now);
        }
        let worker = self.site.at.worker;
        let (before, mark) = (asked.said, asked.looked.as_ref().map_or(0, Looked::mark));
        let mut unusable = None;
        for _ in 0..ASKED_MOST {
            self.refresh();
            asked.said = before;
            let explain = asked.looked.is_some();
            let random = asked.question.rng.bits();
            let turn = Turn { now_us: self.micros(now), random, key: asked.key, attempt, explain };
            let Some(live) = self.live.as_mut() else { return self.is_missing() };
            if live.roster.ready == 0 {
                return self.passes();
            }
            let begun = live.instance.generation().costs().called(worker).then(Instant::now);
            live.instance.stuck(asked.stuck);
            let picked = live.pick(asked.question.head, turn, &asked.tried);
            if let Some(begun) = begun {
                let (took, host_calls) = (begun.elapsed(), live.instance.host_calls());
                live.instance.generation().costs().took(worker, took, host_calls);
            }
            if let Some(looked) = asked.looked {
                looked.asked(mark, &mut live.instance, picked.as_ref().ok().map(|(decision, _)| *decision));
            }
            let (decision, reserved) = match picked {
                Ok(picked) => picked,
                Err(fault) => {
                    self.drop_instance(&fault);
                    return self.missed();
                }
            };
            if asked.pool.cookie.is_some() {
                // Who passes can bind nobody to a choice of its own.
                let chooses = matches!(decision, Decision::Choose(_));
                let stick = live.instance.notes().stick.take();
                asked.said = stick.filter(|stick| chooses || *stick == Stick::Chosen).or(before);
            }
            match decision {
                Decision::Choose(position) => match live.roster.backends.get(position as usize) {
                    Some(backend) if may_be_chosen(backend, tried, reserved.is_some()) => {
                        let backend = backend.clone();
                        let said = self.said(position);
                        return Some(Pick::Backend(Choice { reserved, said, ..Choice::of(backend) }));
                    }
                    ill_or_tried => unusable = ill_or_tried.cloned(),
                },
                Decision::Narrow(subset) => {
                    let pick = self.narrow(subset, asked);
                    if pick.is_some() {
                        return pick;
                    }
                }
                Decision::Reject(status) => {
                    return Some(Pick::Reject(status, live.instance.notes().rejection.take()));
                }
                Decision::Pass => return self.passes(),
            }
        }
        // Chosen twice and unusable twice: no fault, for it fell ill or was tried since the plugin was told.
        match unusable.and_then(|after| self.next_usable(&after, tried)) {
            Some((position, backend)) => {
                if let Some(looked) = asked.looked {
                    looked.ends_as("next-usable");
                }
                // It was not this one that the plugin spoke of.
                asked.said = asked.said.filter(|said| *said == Stick::Chosen);
                Some(Pick::Backend(Choice { said: self.said(position), ..Choice::of(backend) }))
            }
            // Beside the part there may be somebody who has room.
            None if self.part.is_none() && is_full(asked.pool, tried) => Some(Pick::Full),
            None => self.passes(),
        }
    }

    /// A choice inside of what the live instance narrowed to; none: nobody there is usable.
    fn narrow(&mut self, subset: u32, asked: &mut Asked<'_>) -> Option<Pick> {
        let narrowed = self.narrows.of(subset, self.live.as_ref()?, &self.assignment, &self.site)?;
        narrowed.choose(asked)
    }

    /// It has no opinion. Who comes next may have one; if nobody does, this was the last to be asked.
    fn passes(&self) -> Option<Pick> {
        if self.next.is_none() { self.missed() } else { None }
    }

    /// There is no instance. In a part that is new it is being built still, and nothing is wrong.
    fn is_missing(&self) -> Option<Pick> {
        if self.part.is_some() && self.assignment.current().is_some() { None } else { self.missed() }
    }

    /// Others decide in its place.
    fn missed(&self) -> Option<Pick> {
        if let Some(generation) = self.assignment.generation() {
            generation.costs().fell_back(self.site.at.worker);
        }
        None
    }

    /// What the plugin added to its choice, which is at this position now.
    fn said(&mut self, position: u32) -> Option<Said> {
        let live = self.live.as_mut()?;
        let (notes, picker) = (live.instance.notes(), self.hearing.picker());
        if picker.is_none() && notes.next.is_empty() {
            return None;
        }
        let named = |&position: &u32| Some((position, live.roster.backends.get(position as usize)?.clone()));
        let next: Vec<_> = notes.next.iter().filter_map(named).collect();
        let token = notes.token;
        let by = (!next.is_empty()).then(|| live.instance.generation().clone());
        Some(Said { picker: picker.cloned(), position, token, next, by })
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
        let leaves = self.live.is_some() && self.home.as_ptr() != Arc::as_ptr(instances);
        if leaves || !instances.is_empty(self.site.at.worker) {
            let instances = instances.clone();
            self.look_for_successor(&instances);
        }
        match &self.live {
            Some(live) if live.roster.version == self.version() => {}
            _ => self.keep_up(),
        }
    }

    /// Of whom it chooses among, as it is now.
    fn version(&self) -> u64 {
        self.part.as_ref().map_or_else(|| self.assignment.pool.version(), |part| part.number)
    }

    /// Tells the live instance of a changed pool, or orders one that knows of it.
    fn keep_up(&mut self) {
        let Some(instances) = self.assignment.current() else { return };
        let Some(live) = &mut self.live else { return instances.order(self.site.at.worker) };
        // Where it could take long, the old one goes on until there is another; what it chooses is checked.
        if live.instance.update_time() > UPDATE_ON_WORKER_MOST {
            return instances.order(self.site.at.worker);
        }
        let (roster, membership) = draw_up(&self.assignment.pool, self.part.as_deref());
        if roster.ready > FEW.max(live.roster.ready * GROWTH_MOST) {
            return instances.order(self.site.at.worker);
        }
        match live.instance.update(membership) {
            Ok(()) => {
                live.roster = roster;
                self.narrows.renew();
            }
            Err(fault) => self.drop_instance(&fault),
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
        if self.assignment.current().is_some_and(|instances| self.has_heir_in(instances)) {
            self.hearing.waits()
        } else {
            self.hearing.ends(Undelivered::Fault)
        }
        self.next_tick = None;
        dead.instance.generation().record(fault);
        // After the record: when this was the last straw, the reserve is who goes on.
        let next = self.assignment.current();
        if let Some(instances) = next.filter(|next| next.is_empty(self.site.at.worker)) {
            instances.order(self.site.at.worker);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.site.at.epoch))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.put_back();
    }
}

impl Prepared {
    /// A guest's answer is data to be checked, never trusted. With it comes what it has reserved where it leads.
    fn pick(&mut self, head: &mut Head, turn: Turn, tried: &[u64]) -> Result<(Decision, Option<Reservation>), Fault> {
        let decision = self.instance.pick(head, turn, tried)?;
        let reserved = self.instance.reserved(decision);
        match self.instance.breach(decision) {
            Some(text) => Err(Fault::new(FaultKind::Answer, Call::Pick, text)),
            None => Ok((decision, reserved)),
        }
    }
}

fn part(key: &HashKey) -> net::Part<'_> {
    match key {
        HashKey::Header(name) => net::Part::Header(name),
        HashKey::Cookie(name) => net::Part::Cookie(name),
        HashKey::Query(name) => net::Part::Query(name),
        HashKey::Path => net::Part::Path,
        HashKey::Client => net::Part::Client,
    }
}
