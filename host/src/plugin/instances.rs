//! Instances: one guest of one generation on one worker, long-lived. Built, configured and updated aside, then moved to
//! its worker; dead after its first fault.

use super::{
    Call, Decision, Fault, FaultKind, Generation, Membership, Notes, State, Subset, Turn,
    abi::v0_1::{Answers, Balancer, Batch, Filter},
    limits::thread_cpu,
    records::Place,
    sandbox::{Outside, Sandbox},
};
use crate::{
    figures::{Probed, Reservation, Row},
    net::Head,
};
use bytes::Bytes;
use http::Response;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The shortest period that a ticker gets.
const TICK_PERIOD_MIN: Duration = Duration::from_millis(10);

/// How long the state of an instance may be, in bytes: a table of a hundred thousand clients, and less than a millisecond's
/// copying.
const STATE_MAX: usize = 4 << 20;

/// What a filter said.
#[derive(Debug)]
pub enum FilterVerdict {
    /// On to the next.
    Next,
    /// This is the answer.
    Respond(Response<Bytes>),
}

/// A balancer of one pool on one worker.
pub struct BalancerInstance {
    generation: Arc<Generation>,
    sandbox: Sandbox,
    guest: Balancer,
    tick_period: Option<Duration>,
    update_time: Duration,
    schema: Option<u32>,
    batch: Batch,
}

impl BalancerInstance {
    /// Makes, configures and updates one. Blocks for as long as the guest takes.
    pub(super) fn new(
        generation: &Arc<Generation>,
        outside: Outside,
        place: &Place,
        settings: &str,
        members: Membership,
    ) -> Result<BalancerInstance, Fault> {
        let (mut sandbox, instance) = generation.sandbox(outside)?;
        let exports = generation.compiled().guest();
        let guest = sandbox.call(Call::Instantiate, |store| exports.balancer(store, &instance))?;
        let Some(guest) = guest else {
            return Err(sandbox.condemn(Call::Instantiate, FaultKind::Answer, "no balancer"));
        };
        let data = sandbox.data_mut();
        if data.live {
            data.reports = members.reports.clone();
            data.told_on = if guest.asks() { usize::try_from(place.instance).ok() } else { None };
        }
        let answer = sandbox.call(Call::Configure, |store| guest.configure(store, settings, place))?;
        answer.map_err(|refusal| sandbox.condemn(Call::Configure, FaultKind::Refused, refusal))?;
        let period_ms = sandbox.call(Call::Tick, |store| guest.period_ms(store))?;
        let tick_period = period_ms.map(|ms| Duration::from_millis(ms.into()).max(TICK_PERIOD_MIN));
        let schema = sandbox.call(Call::Configure, |store| guest.schema(store))?;
        let (generation, update_time) = (generation.clone(), Duration::ZERO);
        let batch = Batch::default();
        let mut this = BalancerInstance { generation, sandbox, guest, tick_period, update_time, schema, batch };
        this.tell(Call::Update, members)?;
        Ok(this)
    }

    /// Asks for a decision, which is not checked here. `tried`: ids of the backends that this request has tried, oldest
    /// first. The head moves into the store for the call and back.
    pub fn pick(&mut self, head: &mut Head, turn: Turn, tried: &[u64]) -> Result<Decision, Fault> {
        let data = self.sandbox.data_mut();
        data.tried.clear();
        data.tried.extend_from_slice(tried);
        data.notes = Notes::default();
        data.reserved = None;
        self.sandbox.call_with(Call::Pick, head, &turn, |store| self.guest.pick(store, turn))
    }

    /// What it said beside the latest decision.
    pub fn notes(&mut self) -> &mut Notes {
        &mut self.sandbox.data_mut().notes
    }

    /// Whom the client of the next pick's request is bound to, by its cookie.
    pub fn stuck(&mut self, to: Option<u64>) {
        self.sandbox.data_mut().stuck = to;
    }

    /// What the latest pick has reserved of the backend that it chose; what it reserved elsewhere is undone. Ask after each
    /// pick.
    pub fn reserved(&mut self, decision: Decision) -> Option<Reservation> {
        let (of, reservation) = self.sandbox.data_mut().reserved.take()?;
        (decision == Decision::Choose(of)).then_some(reservation)
    }

    /// How often it called the host since this was asked last.
    pub fn host_calls(&mut self) -> u64 {
        std::mem::take(&mut self.sandbox.data_mut().host_calls)
    }

    /// What it said of its latest decision for who looks; to be taken once.
    pub fn explanation(&mut self) -> Option<Box<str>> {
        self.sandbox.data_mut().notes.explanation.take()
    }

    /// Whether what it knows can go over to a successor, and the other way round.
    pub fn hands_over(&self) -> bool {
        self.schema.is_some()
    }

    /// What it knows, for the instance that takes its place; none: it hands nothing over.
    pub fn save(&mut self) -> Result<Option<State>, Fault> {
        let Some(schema) = self.schema else { return Ok(None) };
        let saved = self.sandbox.call_for(STATE_MAX, Call::Save, |store| self.guest.save(store))?;
        Ok(Some(State { schema, parts: vec![saved] }))
    }

    /// Takes over what another one knew, before its first pick. The inner error is the plugin's refusal.
    pub fn restore(&mut self, state: &State) -> Result<Result<(), String>, Fault> {
        self.sandbox.call(Call::Restore, |store| self.guest.restore(store, state))
    }

    /// Whether it wants to hear what became of its decisions.
    pub fn hears(&self) -> bool {
        self.guest.hears()
    }

    /// Tells it what became of these. `now_us` is on the clock of [`Turn::now_us`].
    pub fn observe<'a>(&mut self, now_us: u64, rows: impl IntoIterator<Item = &'a Row>) -> Result<(), Fault> {
        let data = self.sandbox.data_mut();
        data.now_us = now_us;
        self.batch.clear();
        rows.into_iter().for_each(|row| self.batch.push(row, &data.members));
        self.sandbox.call(Call::Observe, |store| self.guest.observe(store, now_us, &self.batch))
    }

    /// Whether it wants to hear what became of its probes.
    pub fn asks(&self) -> bool {
        self.guest.asks()
    }

    /// Tells it what became of these probes. `now_us` is `now` on the clock of [`Turn::now_us`].
    pub fn probed(&mut self, now: Instant, now_us: u64, probed: &[Probed]) -> Result<(), Fault> {
        let data = self.sandbox.data_mut();
        data.now_us = now_us;
        let answers = Answers::of(probed, &data.members, now);
        self.sandbox.call(Call::Probed, |store| self.guest.probed(store, now_us, &answers))
    }

    /// Tells it who belongs to the pool now, while it serves: it gets no more time than for a pick.
    pub fn update(&mut self, members: Membership) -> Result<(), Fault> {
        self.tell(Call::UpdateLive, members)
    }

    fn tell(&mut self, call: Call, members: Membership) -> Result<(), Fault> {
        let began = thread_cpu();
        let data = self.sandbox.data_mut();
        data.told(members.clone());
        data.subsets.clear();
        self.sandbox.call(call, |store| self.guest.update(store, &members))?;
        self.update_time = thread_cpu().saturating_sub(began);
        Ok(())
    }

    /// What it is an instance of.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// What the latest update listed.
    pub fn membership(&self) -> &Membership {
        &self.sandbox.data().members
    }

    /// What it may narrow to.
    pub fn subsets(&self) -> &[Subset] {
        &self.sandbox.data().subsets
    }

    /// What this instance may not have answered, in words; none when it may.
    pub fn breach(&self, decision: Decision) -> Option<String> {
        self.membership().breach(decision, self.subsets().len())
    }

    /// CPU time of the latest update, conversion included.
    pub fn update_time(&self) -> Duration {
        self.update_time
    }

    /// How often it wants to be ticked; none: never.
    pub fn tick_period(&self) -> Option<Duration> {
        self.tick_period
    }

    /// Lets it work on its schedule. `now_us` is on the clock of [`Turn::now_us`].
    pub fn tick(&mut self, now_us: u64) -> Result<(), Fault> {
        self.sandbox.data_mut().now_us = now_us;
        self.sandbox.call(Call::Tick, |store| self.guest.tick(store, now_us))
    }
}

impl fmt::Debug for BalancerInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalancerInstance").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A filter with its settings on one worker.
pub struct FilterInstance {
    generation: Arc<Generation>,
    sandbox: Sandbox,
    guest: Filter,
}

impl FilterInstance {
    /// Makes and configures one. Blocks for as long as the guest takes.
    pub(super) fn new(
        generation: &Arc<Generation>,
        outside: Outside,
        place: &Place,
        settings: &str,
    ) -> Result<FilterInstance, Fault> {
        let (mut sandbox, instance) = generation.sandbox(outside)?;
        let exports = generation.compiled().guest();
        let guest = sandbox.call(Call::Instantiate, |store| exports.filter(store, &instance))?;
        let Some(guest) = guest else { return Err(sandbox.condemn(Call::Instantiate, FaultKind::Answer, "no filter")) };
        let answer = sandbox.call(Call::Configure, |store| guest.configure(store, settings, place))?;
        answer.map_err(|refusal| sandbox.condemn(Call::Configure, FaultKind::Refused, refusal))?;
        Ok(FilterInstance { generation: generation.clone(), sandbox, guest })
    }

    /// What it is an instance of.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// How often it called the host since this was asked last.
    pub fn host_calls(&mut self) -> u64 {
        std::mem::take(&mut self.sandbox.data_mut().host_calls)
    }

    /// Shows it a request. Its edits are applied to the head; after a fault the head is what it was before.
    pub fn on_request(&mut self, head: &mut Head, turn: Turn) -> Result<FilterVerdict, Fault> {
        self.sandbox.data_mut().edits = Default::default();
        let responded =
            self.sandbox.call_with(Call::OnRequest, head, &turn, |store| self.guest.on_request(store, turn));
        let verdict = match responded {
            Ok(false) => Ok(FilterVerdict::Next),
            Ok(true) => match self.sandbox.data_mut().edits.response() {
                Some(response) => Ok(FilterVerdict::Respond(response)),
                None => Err(self.sandbox.condemn(
                    Call::OnRequest,
                    FaultKind::Answer,
                    "answered `responded` without a call of edits.respond",
                )),
            },
            Err(fault) => Err(fault),
        };
        if verdict.is_err() {
            self.sandbox.data_mut().edits.undo(head);
        }
        verdict
    }
}

impl fmt::Debug for FilterInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterInstance").field("generation", &self.generation).finish_non_exhaustive()
    }
}
