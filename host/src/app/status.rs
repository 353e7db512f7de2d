//! What the process says about itself, gathered from what the rooms show.

use super::{
    conductor::{Asked, Change},
    metrics::Numbers,
};
use crate::{
    admin::{
        Sources,
        api::{self, Order, Status},
    },
    balance,
    config::model::{Config, Fallback},
    figures::{Candidate, Figures, Opinion, Seen, Tallies, Undelivered},
    net::Address,
    plugin::{FaultKind, Generation, Origin, Totals},
    problem::Report,
    state::{Applier, Board, Cell, Entry, Held, Snapshot, State, Steer},
    telemetry::{access_log::AccessLog, metrics::Page},
    upstream::{Backend, Pool},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

/// Reads what the admin API answers.
#[derive(Debug)]
pub(super) struct StatusSource {
    started: Instant,
    directory: Option<PathBuf>,
    cell: Arc<Cell>,
    board: Arc<Board>,
    shown: Mutex<Shown>,
}

/// What else there is to say; written by the conductor.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// In the order of the configuration.
    pub listeners: Vec<api::Listener>,
    /// The same, with the addresses as such.
    pub addresses: Vec<(String, Address)>,
    /// None: not made from a file.
    pub configuration: Option<api::Configuration>,
    /// How long running requests may go on at the end.
    pub drain: Duration,
    /// What is wrong with files of certificates, and with names of backends.
    pub amiss: Vec<Report>,
}

impl StatusSource {
    pub(super) fn new(config: &Config, applier: &Applier) -> StatusSource {
        StatusSource {
            started: Instant::now(),
            // The commands run elsewhere: what is relative here means nothing to them.
            directory: config.plugins.directory.as_ref().map(|d| std::path::absolute(d).unwrap_or_else(|_| d.clone())),
            cell: applier.cell().clone(),
            board: applier.board().clone(),
            shown: Mutex::default(),
        }
    }

    /// What the conductor has written, to read or to write.
    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API's reading side.
    pub(super) fn sources(
        self: &Arc<Self>,
        figures: Arc<Figures>,
        access_log: Option<Arc<AccessLog>>,
        rescan: &Arc<Notify>,
        changes: mpsc::Sender<Change>,
    ) -> Arc<Sources> {
        let page = Page::new(Numbers { status: self.clone(), figures, access_log });
        let (status, log, ordered, past, tapped) =
            (self.clone(), self.clone(), self.clone(), self.clone(), self.clone());
        let (steered, steers) = (self.clone(), changes.clone());
        let steer = move |name: String, steer: api::Steer| {
            let (changes, status) = (steers.clone(), steered.clone());
            async move { status.steer(&changes, &name, steer).await }
        };
        let reload = move || {
            let changes = changes.clone();
            async move {
                let (answer, told) = oneshot::channel();
                changes.send(Change::Configuration(Asked::Call(answer))).await.ok()?;
                told.await.ok()
            }
        };
        Arc::new(Sources {
            status: Box::new(move || status.read()),
            log: Box::new(move |name| log.log(name)),
            tap: Box::new(move |pool, after| tapped.tap(pool, after)),
            history: Box::new(move |name| past.history(name)),
            steer: Box::new(move |name, wanted| Box::pin(steer(name, wanted))),
            order: Box::new(move |pool, name, order| ordered.order(pool, name, order)),
            metrics: Box::new(move || page.text()),
            rescan: rescan.clone(),
            reload: Box::new(move || Box::pin(reload())),
        })
    }

    pub(super) fn read(&self) -> Status {
        // The board first: what it tells of as serving is in the snapshot, or in a later one.
        let entries = self.board.entries();
        let snapshot = self.cell.load();
        let (pools, plugins) = told(&snapshot, &entries);
        let shown = self.shown();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            revision: snapshot.revision,
            configuration: shown.configuration.clone(),
            amiss: shown.amiss.clone(),
            listeners: shown.listeners.clone(),
            plugins_directory: self.directory.as_ref().map(|d| d.display().to_string()),
            pools,
            plugins,
        }
    }

    /// The snapshot in force.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.cell.load()
    }

    /// The pool of that name, if there is one.
    fn pool(&self, name: &str) -> Option<Arc<Pool>> {
        let snapshot = self.cell.load();
        let mut pools = snapshot.pools.iter().map(|assignment| &assignment.pool);
        pools.find(|pool| *pool.name == *name).cloned()
    }

    /// Since the start.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The names of the listeners, in the order of the configuration.
    pub(super) fn listeners(&self) -> Vec<String> {
        self.shown().listeners.iter().map(|listener| listener.name.clone()).collect()
    }

    /// How often another configuration was put in force, and how often one was refused.
    pub(super) fn reloads(&self) -> (u64, u64) {
        self.shown().configuration.as_ref().map_or((0, 0), |shown| (shown.reloads, shown.refusals))
    }

    /// When certificates end, by listener and file; of several in one file the one that ends first.
    pub(super) fn certificates(&self) -> BTreeMap<(String, String), i64> {
        let mut all = BTreeMap::new();
        for listener in &self.shown().listeners {
            for certificate in &listener.certificates {
                let ends = all.entry((listener.name.clone(), certificate.source.clone()));
                let first = ends.or_insert(certificate.expires_unix);
                *first = certificate.expires_unix.min(*first);
            }
        }
        all
    }

    /// The generations of all plugins that serve, were admitted last, or are kept.
    pub(super) fn generations(&self) -> Vec<Arc<Generation>> {
        self.board.entries().iter().flat_map(|entry| kept(entry).map(|(generation, _)| generation.clone())).collect()
    }

    /// The decisions for a pool after the one of a number; none when there is no such pool.
    fn tap(&self, pool: &str, after: Option<u64>) -> Option<api::Tap> {
        let pool = self.pool(pool)?;
        let look = pool.tap.look(after, Instant::now());
        let decisions = look.seen.iter().map(|seen| decision(seen)).collect();
        Some(api::Tap { decisions, dropped: look.dropped, latest: look.latest })
    }

    /// Those of one plugin, the one that serves first; none when there is no such plugin.
    fn history(&self, name: &str) -> Option<Vec<api::Generation>> {
        let entry = self.board.entry(name)?;
        let state = |generation: &Arc<Generation>| match &entry.generation {
            Some((latest, _)) if Arc::ptr_eq(latest, generation) => entry.state().as_str(),
            _ if generation.is_quarantined() => State::Quarantined.as_str(),
            _ => "past",
        };
        Some(kept(&entry).map(|(g, since)| self::generation(g, *since, state(g))).collect())
    }

    /// Has the conductor do what an operator wants of a plugin; none when the process ends.
    async fn steer(
        &self,
        changes: &mpsc::Sender<Change>,
        name: &str,
        wanted: api::Steer,
    ) -> Option<Result<api::Steered, Report>> {
        let wanted = match wanted {
            api::Steer::RollBack(hash) => Steer::RollBack(hash),
            api::Steer::Pin(hash) => Steer::Pin(hash),
            api::Steer::Unpin => Steer::Unpin,
        };
        let (answer, told) = oneshot::channel();
        changes.send(Change::Steer(name.into(), wanted, answer)).await.ok()?;
        let steered = match told.await.ok()? {
            Ok(steered) => steered,
            Err(problem) => return Some(Err(Report::from(&problem))),
        };
        let entry = self.board.entry(name)?;
        Some(Ok(api::Steered {
            plugin: name.to_owned(),
            from: steered.before.hash().short(),
            to: steered.now.hash().short(),
            generation: steered.now.number(),
            took_us: crate::figures::micros(steered.took),
            pinned: entry.pinned,
            held_back: entry.held.as_ref().map(held_back),
        }))
    }

    /// Has a backend do what an operator wants; none when there is no such backend.
    fn order(&self, pool: &str, name: &str, order: Order) -> Option<api::Backend> {
        let pool = self.pool(pool)?;
        let of_pool = pool.backend(name)?;
        match order {
            Order::Drain => pool.drain(of_pool),
            Order::Ready => pool.undrain(of_pool),
            Order::Weight(weight) => pool.weigh(of_pool, weight),
        }
        tracing::info!("backend {name} of pool {}: an operator says {order:?}", pool.name);
        Some(backend(of_pool))
    }

    fn log(&self, name: &str) -> Option<Vec<api::LogLine>> {
        let (generation, _) = self.board.entry(name)?.generation?;
        let lines = generation.log().lines().into_iter();
        Some(
            lines.map(|line| api::LogLine { level: line.level.as_str().into(), text: line.text.to_string() }).collect(),
        )
    }
}

/// The pools as they are served now, and all plugins.
pub(super) fn told(snapshot: &Snapshot, entries: &[Entry]) -> (Vec<api::Pool>, Vec<api::Plugin>) {
    let pools: Vec<api::Pool> = snapshot.pools.iter().map(|assignment| pool(assignment)).collect();
    let plugins = entries.iter().map(|entry| plugin(entry, &pools)).collect();
    (pools, plugins)
}

fn pool(assignment: &balance::Assignment) -> api::Pool {
    let balancer = |g: &Arc<Generation>| api::Balancer {
        plugin: g.name().to_string(),
        generation: g.number(),
        hash: g.hash().short(),
        quarantined: g.is_quarantined(),
    };
    let mut links = assignment.links().map(|link| link.generation().map(balancer));
    let (balancer, then) = (links.next().flatten(), links.flatten().collect::<Vec<_>>());
    let plugin_serves = balancer.iter().chain(&then).any(|by| !by.quarantined);
    api::Pool {
        name: assignment.pool.name.to_string(),
        balancer,
        then,
        fallback: match assignment.pool.fallback {
            Fallback::RoundRobin => "round-robin",
            Fallback::Reject => "reject",
        }
        .into(),
        panic: assignment.pool.is_panic(),
        serving: if plugin_serves { "plugin" } else { "fallback" }.into(),
        queued: assignment.pool.queued(),
        hedges: assignment.pool.figures.sum(|counts| counts.hedges.get()),
        retries: assignment.pool.figures.sum(|counts| counts.retries.get()),
        share_least: assignment.pool.figures.sum(|counts| counts.share_least.get()),
        share_most: assignment.pool.figures.sum(|counts| counts.share_most.get()),
        retries_refused: assignment.pool.figures.sum(|counts| counts.retries_refused.get()),
        backends: assignment.pool.backends.iter().map(|b| backend(b)).collect(),
    }
}

fn decision(seen: &Seen) -> api::Decision {
    let candidate = |candidate: &Candidate| api::Candidate {
        name: candidate.name.to_string(),
        weight: candidate.weight,
        in_flight: candidate.in_flight,
        latency_us: candidate.latency_us,
        success_permille: candidate.success_permille,
    };
    let opinion = |by: &Opinion| api::Opinion {
        plugin: by.plugin.to_string(),
        generation: by.generation,
        said: by.said.into(),
        note: by.note.as_ref().map(|note| note.to_string()),
    };
    let asked: Vec<_> = seen.by.iter().map(opinion).collect();
    let last = asked.last();
    api::Decision {
        request: seen.request.clone(),
        attempt: seen.attempt,
        outcome: seen.outcome.into(),
        chosen: seen.chosen.as_ref().map(|name| name.to_string()),
        plugin: last.map(|by| by.plugin.clone()),
        generation: last.map(|by| by.generation),
        note: last.and_then(|by| by.note.clone()),
        asked,
        ns: u64::try_from(seen.took.as_nanos()).unwrap_or(u64::MAX),
        candidates: seen.candidates.iter().map(candidate).collect(),
        candidates_left_out: seen.left_out,
    }
}

fn backend(backend: &Backend) -> api::Backend {
    let (figures, account) = (&backend.figures, backend.account());
    api::Backend {
        name: backend.name.to_string(),
        address: backend.address.to_string(),
        standing: account.standing.as_str().into(),
        why: account.why,
        since_unix: unix_seconds(account.since),
        last_check: account.last_check,
        weight: backend.weight(),
        in_flight: figures.in_flight(),
        attempts: figures.attempts(),
        failures: figures.failures(),
        latency_us: figures.latency_us(),
    }
}

fn plugin(entry: &Entry, pools: &[api::Pool]) -> api::Plugin {
    let generation = entry.generation.as_ref().map(|(generation, _)| &**generation);
    let totals = generation.map(|g| g.costs().totals()).unwrap_or_default();
    let serves = |pool: &&api::Pool| {
        let is_it =
            |by: &api::Balancer| generation.is_some_and(|g| by.plugin == **g.name() && by.generation == g.number());
        pool.balancer.iter().chain(&pool.then).any(is_it)
    };
    api::Plugin {
        name: entry.name.to_string(),
        kind: entry.kind.map(|kind| kind.as_str().into()),
        state: entry.state().as_str().into(),
        generation: generation.map(Generation::number),
        hash: generation.map(|g| g.hash().short()),
        origin: generation.map(|g| origin(g).into()),
        size: generation.map(|g| g.size() as u64),
        since_unix: entry.generation.as_ref().map(|(_, since)| unix_seconds(*since)),
        file: entry.file.as_ref().map(|path| path.display().to_string()),
        pools: pools.iter().filter(serves).map(|pool| pool.name.clone()).collect(),
        picks: totals.calls,
        faults: totals.all_faults(),
        faults_by_kind: faults_by_kind(&totals),
        fallbacks: totals.fallbacks,
        costs: generation.map(costs).unwrap_or_default(),
        hand_over: generation.filter(|g| g.hands_over()).map(|g| {
            let (taken, refused) = g.taken_over();
            api::HandOver { taken, refused }
        }),
        feedback: generation.filter(|g| g.hears()).map(|g| api::Feedback {
            own: outcomes(g.ledger().tallies()),
            all_generations: outcomes(g.ledger().of_all()),
        }),
        problem: entry
            .problem
            .as_ref()
            .map(|(_, problem)| problem.into())
            .or_else(|| Some((&generation?.last_fault()?).into())),
        refused_hash: entry.problem.as_ref().and_then(|(hash, _)| Some(hash.as_ref()?.short())),
        pinned: entry.pinned,
        held_back: entry.held.as_ref().map(held_back),
        log_dropped: generation.map_or(0, |g| g.log().dropped()),
    }
}

/// The generation that serves, or was admitted last, and those that are kept from before.
fn kept(entry: &Entry) -> impl Iterator<Item = &(Arc<Generation>, SystemTime)> {
    entry.generation.iter().chain(entry.past.iter())
}

fn generation(generation: &Generation, since: SystemTime, state: &str) -> api::Generation {
    let totals = generation.costs().totals();
    api::Generation {
        generation: generation.number(),
        hash: generation.hash().short(),
        origin: origin(generation).into(),
        state: state.into(),
        since_unix: unix_seconds(since),
        picks: totals.calls,
        faults: totals.all_faults(),
        faults_by_kind: faults_by_kind(&totals),
        fallbacks: totals.fallbacks,
        costs: costs(generation),
    }
}

fn faults_by_kind(totals: &Totals) -> BTreeMap<String, u64> {
    FaultKind::ALL.map(|kind| (kind.as_str().into(), totals.faults_of(kind))).into()
}

fn costs(generation: &Generation) -> api::Costs {
    let (totals, took) = (generation.costs().totals(), generation.costs().durations());
    let ns = |seconds: f64| (seconds * 1e9) as u64;
    let below = |permille| took.quantile(permille).map_or(0, ns);
    api::Costs {
        timed: took.count(),
        mean_ns: ns(took.sum) / took.count().max(1),
        p50_ns: below(500),
        p90_ns: below(900),
        p99_ns: below(990),
        host_calls: totals.host_calls,
        memory: totals.memory,
    }
}

fn held_back(held: &Held) -> api::HeldBack {
    api::HeldBack { file: held.compiled.artifact().place(), hash: held.hash().short(), why: held.why.as_str().into() }
}

fn origin(generation: &Generation) -> &'static str {
    match generation.origin() {
        Origin::File(_) => "file",
        Origin::Embedded => "embedded",
    }
}

fn outcomes(tallies: Tallies) -> api::Outcomes {
    api::Outcomes {
        attempts: tallies.attempts,
        delivered: tallies.delivered,
        undelivered: Undelivered::ALL.map(|why| (why.as_str().into(), tallies.undelivered_for(why))).into(),
    }
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
