//! One address of a pool: who it is, and how it stands now.

use super::{
    Bounds,
    condition::Condition,
    lineup::Single,
    transport::{Purpose, Transport},
};
use crate::{
    config::model,
    figures::{Attempt, BackendFigures, Figures, Opened, Standing},
    net::Address,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU32, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::time::Instant;
use xxhash_rust::xxh64::xxh64;

/// One address of a pool, with what all workers share about it.
#[derive(Debug)]
pub struct Backend {
    /// See [`backend_id`].
    pub id: u64,
    /// Index among the pool's backends, in the order of the configuration.
    pub index: usize,
    /// As configured; the address when no name was given.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// The host of that address, as configured.
    pub(super) host: Arc<str>,
    /// How it is reached.
    pub(super) transport: Arc<Transport>,
    /// Tier, 0 first.
    pub priority: u32,
    /// Empty when none was configured.
    pub zone: Arc<str>,
    /// In the order of the file.
    pub metadata: Arc<[(String, String)]>,
    /// Live figures; they outlive this record.
    pub figures: Arc<BackendFigures>,
    /// Goes over to the record that a reload makes, as the condition does.
    weight: Arc<AtomicU32>,
    /// Where its pool has limits.
    bounds: Option<Arc<Bounds>>,
    /// The weight as configured.
    configured: u32,
    standing: AtomicU8,
    /// Goes over to the record that a reload makes.
    condition: Arc<Mutex<Condition>>,
}

/// How a backend stands, for people.
#[derive(Clone, Debug)]
pub struct Account {
    /// Among the others.
    pub standing: Standing,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: SystemTime,
    /// What the last health check said.
    pub last_check: String,
}

/// A backend's stable id: a pure function of the pool's name and the backend's, so every worker, process and restart
/// agrees on it.
pub fn backend_id(pool: &str, backend: &str) -> u64 {
    // The zero byte keeps ("a", "bc") and ("ab", "c") apart; no name holds one.
    xxh64(format!("{pool}\0{backend}").as_bytes(), 0)
}

impl Backend {
    /// `before`: by id, the backends of the pool that this one's takes the place of. The one of the same name goes on here,
    /// unless it has moved: at another address everything has to show anew.
    pub(super) fn new(
        pool: &str,
        index: usize,
        config: &model::Backend,
        transport: &Arc<Transport>,
        bounds: Option<Arc<Bounds>>,
        figures: &Figures,
        before: &HashMap<u64, &Arc<Backend>>,
    ) -> Backend {
        let id = backend_id(pool, &config.name);
        let same = before.get(&id).filter(|other| other.address == config.address);
        // What an operator said holds until the file says something else.
        let weight = same.filter(|other| other.configured == config.weight).map(|other| other.weight.clone());
        let condition: Arc<Mutex<Condition>> = same.map_or_else(Arc::default, |same| same.condition.clone());
        let alone = || condition.lock().unwrap_or_else(PoisonError::into_inner).standing();
        let standing = same.map_or_else(alone, |same| same.standing());
        let figures = figures.of(id);
        if let Some(bounds) = &bounds {
            figures.is_waited_for(&bounds.queue);
        }
        Backend {
            id,
            index,
            name: config.name.as_str().into(),
            address: config.address.clone(),
            host: config.host.as_str().into(),
            transport: transport.clone(),
            weight: weight.unwrap_or_else(|| Arc::new(AtomicU32::new(config.weight))),
            configured: config.weight,
            priority: config.priority,
            zone: config.zone.as_str().into(),
            metadata: config.metadata.clone().into(),
            figures,
            bounds,
            standing: AtomicU8::new(standing as u8),
            condition,
        }
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        Standing::from_number(self.standing.load(Relaxed))
    }

    /// Whether a request may be sent there.
    pub fn is_ready(&self) -> bool {
        self.standing() == Standing::Ready
    }

    /// As it is called in a question of our own: its address, for a name says nothing to who listens at a number.
    pub(super) fn authority(&self) -> String {
        self.address.tcp().map_or_else(|| self.host.to_string(), |address| address.to_string())
    }

    /// Whether it may have one more request.
    pub fn has_room(&self) -> bool {
        self.bounds.as_ref().is_none_or(|bounds| self.figures.is_below(self.requests_most(bounds)))
    }

    /// Whether those that it has are not more than it may have.
    pub fn is_within_bounds(&self) -> bool {
        self.bounds.as_ref().is_none_or(|bounds| self.figures.is_below(self.requests_most(bounds).saturating_add(1)))
    }

    /// Counts an attempt; none when there is no room for it.
    pub fn begin(&self, now: Instant) -> Option<Attempt> {
        match &self.bounds {
            None => Some(Attempt::begin(self.figures.clone(), now)),
            Some(bounds) => Attempt::begin_below(self.requests_most(bounds), self.figures.clone(), now),
        }
    }

    /// Where each request needs a connection of its own, there are no more of them than connections.
    fn requests_most(&self, bounds: &Bounds) -> u32 {
        let requests = bounds.backend_requests();
        if self.transport.may_share(Purpose::Exchange) { requests } else { requests.min(bounds.backend_connections()) }
    }

    /// The right to open one more connection, if there may be one.
    pub(super) fn opens(&self) -> Option<Opened> {
        Opened::below(self.connections_most(), &self.figures)
    }

    /// Whether it has as many connections as it may.
    pub(super) fn is_connected_out(&self) -> bool {
        self.figures.connections().open() >= self.connections_most()
    }

    fn connections_most(&self) -> u32 {
        self.bounds.as_ref().map_or(u32::MAX, |bounds| bounds.backend_connections())
    }

    /// Its share of the work; 0 takes no new work. As configured, until an operator says otherwise.
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// How it stands, for people.
    pub fn account(&self) -> Account {
        let standing = self.standing();
        self.with_condition(|condition| {
            let known = condition.why();
            let why = match (standing, condition.standing()) {
                (Standing::Standby, _) => "earlier tiers carry the load".into(),
                (Standing::Ready, alone) if alone != Standing::Ready => {
                    format!("{}, but so few are ready that all get requests: {known}", alone.as_str())
                }
                _ => known.to_owned(),
            };
            Account { standing, why, since: condition.since(), last_check: condition.said().into() }
        })
    }

    /// How it would stand if it were for this backend alone, and what it weighs.
    pub(super) fn alone(&self) -> Single {
        let standing = self.with_condition(|condition| condition.standing());
        Single { standing, weight: self.weight(), priority: self.priority }
    }

    /// What is known of it. Off the request path only.
    pub(super) fn with_condition<R>(&self, with: impl FnOnce(&mut Condition) -> R) -> R {
        with(&mut self.condition.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn weigh(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
    }

    /// Sets the standing; true when it changed.
    pub(super) fn stands(&self, standing: Standing) -> bool {
        let changed = self.standing.swap(standing as u8, Relaxed) != standing as u8;
        if changed {
            self.with_condition(Condition::stands_anew);
        }
        changed
    }
}
