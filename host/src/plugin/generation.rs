//! A generation: one compiled, admitted version of one plugin. It makes the instances, counts what they do, and is taken
//! out when they fail too often.

use super::{
    Artifact, BalancerInstance, Compiled, Costs, Fault, FaultKind, FilterInstance, Hash, Kind, Level, Log, Membership,
    Origin, Reading, Runtime,
    quarantine::{Quarantine, Strike},
    records::Place,
    report,
    sandbox::{Outside, Sandbox},
};
use crate::{figures::Ledger, problem::Problem, rng::mix};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use wasmtime::component::Instance;
use xxhash_rust::xxh64::xxh64;

/// How long faults of one kind stay unsaid after one was said.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// One admitted version of one plugin.
pub struct Generation {
    runtime: Arc<Runtime>,
    compiled: Arc<Compiled>,
    number: u64,
    costs: Costs,
    ledger: Arc<Ledger>,
    taken_over: AtomicU64,
    refused: AtomicU64,
    log: Arc<Log>,
    quarantine: Quarantine,
    told: Mutex<Told>,
}

/// What was said of faults.
#[derive(Debug, Default)]
struct Told {
    at: [Option<Instant>; FaultKind::ALL.len()],
    last: Option<Problem>,
}

impl Generation {
    /// With the next number of its plugin; it is not admitted yet.
    pub(super) fn new(runtime: Arc<Runtime>, compiled: Arc<Compiled>) -> Generation {
        let artifact = compiled.artifact();
        let log = Log::new(format!("{} {}", artifact.name, artifact.hash.short()));
        Generation {
            number: runtime.next_number(&artifact.name),
            costs: Costs::new(runtime.workers),
            taken_over: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ledger: Arc::new(Ledger::new(runtime.workers, runtime.tally(&artifact.name))),
            log: Arc::new(log),
            quarantine: Quarantine::new(runtime.limits.faults),
            told: Mutex::default(),
            runtime,
            compiled,
        }
    }

    /// The plugin's name.
    pub fn name(&self) -> &Arc<str> {
        &self.artifact().name
    }

    /// Counts up with each generation of the same plugin, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Of the file's bytes.
    pub fn hash(&self) -> Hash {
        self.artifact().hash
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.compiled.kind()
    }

    /// Where the file came from.
    pub fn origin(&self) -> &Origin {
        &self.artifact().origin
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.artifact().bytes.len()
    }

    /// What it was made of.
    pub fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// What it did.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// The attempts that it chose, and what it was told of them.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Whether what its instances know goes over to their successors.
    pub fn hands_over(&self) -> bool {
        self.compiled.has("handover")
    }

    /// One of its instances goes on with the state of its predecessor.
    pub fn took_over(&self) {
        self.taken_over.fetch_add(1, Relaxed);
    }

    /// One of its instances was offered its predecessor's state, and begins without.
    pub fn began_without(&self, why: &str) {
        self.refused.fetch_add(1, Relaxed);
        self.log.write(Level::Warn, &format!("begins without its predecessor's state: {why}"));
    }

    /// How many of its instances took over a predecessor's state, and how many were offered one and did not.
    pub fn taken_over(&self) -> (u64, u64) {
        (self.taken_over.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Whether it wants to hear what became of its decisions.
    pub fn hears(&self) -> bool {
        self.compiled.has("feedback")
    }

    /// What it said.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The numbers of its plugin's own, by pool; those of filters under a pool without a name.
    pub fn readings(&self) -> Vec<(Arc<str>, Vec<Reading>)> {
        let by_pool = self.runtime.shared.by_pool(self.name());
        by_pool.into_iter().map(|(pool, commons)| (pool, commons.meters.read())).collect()
    }

    /// Whether it failed too often. One relaxed load.
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.is_on()
    }

    /// How long it has been in quarantine, if it is.
    pub fn quarantined_for(&self) -> Option<Duration> {
        Some(self.quarantine.since()?.elapsed())
    }

    /// The latest fault that was told of, if there was one.
    pub fn last_fault(&self) -> Option<Problem> {
        self.told().last.clone()
    }

    /// A store with one instance in it, not configured yet.
    pub(super) fn sandbox(&self, outside: Outside) -> Result<(Sandbox, Instance), Fault> {
        Sandbox::new(self.compiled.pre(), &self.runtime.limits, outside)
    }

    /// Makes a balancer for a pool and a worker: instantiates, configures, updates. Blocks.
    pub fn balancer(
        self: &Arc<Self>,
        pool: &Arc<str>,
        worker: usize,
        settings: &str,
        membership: Membership,
    ) -> Result<BalancerInstance, Fault> {
        let place = self.place(pool, worker);
        let outside = self.outside(pool, place.seed);
        BalancerInstance::new(self, outside, &place, settings, membership)
    }

    /// As [`Generation::balancer`], for a part of a pool: it counts for itself.
    pub fn balancer_of_part(
        self: &Arc<Self>,
        pool: &Arc<str>,
        worker: usize,
        settings: &str,
        membership: Membership,
    ) -> Result<BalancerInstance, Fault> {
        let place = self.place(pool, worker);
        let outside = self.outside(pool, place.seed);
        let outside = Outside { commons: outside.commons.of_part(), ..outside };
        BalancerInstance::new(self, outside, &place, settings, membership)
    }

    /// Makes a filter for a worker: instantiates, configures. Blocks.
    pub fn filter(self: &Arc<Self>, worker: usize, settings: &str) -> Result<FilterInstance, Fault> {
        let pool = Arc::from("");
        let place = self.place(&pool, worker);
        let outside = self.outside(&pool, place.seed);
        FilterInstance::new(self, outside, &place, settings)
    }

    /// Counts a fault, tells of it, and quarantines the generation when it was one too many.
    pub fn record(&self, fault: &Fault) {
        self.costs.faulted(fault.kind);
        let now = Instant::now();
        let strike = self.quarantine.strike(now);
        let mut told = self.told();
        let at = &mut told.at[fault.kind as usize];
        let is_due = at.is_none_or(|at| now.saturating_duration_since(at) >= TOLD_EVERY);
        if is_due || matches!(strike, Strike::Last { .. }) {
            *at = Some(now);
            let problem = report::of_serving(self, fault, strike, self.runtime.limits.faults.window);
            problem.log();
            told.last = Some(problem);
        }
        if matches!(strike, Strike::Last { .. }) {
            self.runtime.alarm().notify_one();
        }
    }

    /// What an instance is told it is.
    pub(super) fn place(&self, pool: &Arc<str>, worker: usize) -> Place {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let owner = xxh64(self.name().as_bytes(), xxh64(pool.as_bytes(), self.runtime.seed));
        Place {
            pool: pool.clone(),
            zone: self.runtime.zone.clone(),
            instance: narrow(worker),
            instances: narrow(self.runtime.workers),
            generation: self.number,
            seed: mix(owner ^ mix(self.number) ^ mix(u64::from(narrow(worker)) << 32)),
        }
    }

    fn outside(&self, pool: &Arc<str>, seed: u64) -> Outside {
        let shared = &self.runtime.shared;
        Outside {
            commons: shared.of(self.name(), Some(pool)),
            plugin_commons: shared.of(self.name(), None),
            log: self.log.clone(),
            memory: self.costs.memory().clone(),
            seed,
            live: true,
        }
    }

    fn artifact(&self) -> &Artifact {
        self.compiled.artifact()
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation({} {} {})", self.name(), self.number, self.hash().short())
    }
}
