//! The only writer: news of plugin files come in, the next snapshot goes out. Whatever is refused leaves the snapshot in
//! force as it is, and says so on the board and in the log.

use super::{
    Board, Cell, Entry, Held, Plan, Snapshot, State,
    past::Why,
    plan::{FilterPlan, LinkPlan, PoolPlan},
};
use crate::{
    balance,
    config::model::BalancerChoice,
    filter,
    plugin::{Artifact, Compiled, Fault, Generation, Hash, Kind, Origin, Runtime, loader::News, stock},
    problem::{Code, Problem},
};
use std::{path::PathBuf, sync::Arc, time::SystemTime};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

/// Turns news into snapshots.
#[derive(Debug)]
pub struct Applier {
    pub(super) runtime: Arc<Runtime>,
    pub(super) plan: Arc<Plan>,
    pub(super) board: Arc<Board>,
    pub(super) cell: Arc<Cell>,
    pub(super) side: Handle,
    pub(super) workers: usize,
}

impl Applier {
    /// A cell with every pool on its fallback, and its writer.
    pub fn new(runtime: Arc<Runtime>, plan: Arc<Plan>, side: Handle, workers: usize) -> Applier {
        plan.pools.iter().for_each(|plan| plan.pool.take_over());
        let bare = Snapshot {
            revision: 1,
            table: plan.table.clone(),
            routes: plan.routes.clone(),
            pools: plan.pools.iter().map(|p| balance::Assignment::bare(p.pool.clone(), p.links().count())).collect(),
            filters: plan.filters.iter().map(|f| filter::Assignment::bare(f.plugin.clone())).collect(),
            policies: plan.policies.clone(),
            closing: Vec::new(),
        };
        Applier { runtime, plan, board: Arc::default(), cell: Cell::new(bare), side, workers }
    }

    /// The cell it writes.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Notified when a generation is quarantined: [`Applier::recover`] is to be called.
    pub fn alarm(&self) -> &Arc<Notify> {
        self.runtime.alarm()
    }

    /// What became of each plugin.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What is there at start: the directory's files, and for every name that none of them serves, the embedded plugin.
    /// Blocking. Returns what is amiss; the pools concerned serve on their fallback.
    pub fn begin(&mut self, files: Vec<News>) -> Vec<Problem> {
        let is_of = |news: &News, name: &str| matches!(news, News::Compiled(c) if *c.artifact().name == *name);
        let (with_file, without): (Vec<_>, Vec<_>) =
            self.plan.wanted().into_iter().partition(|wanted| files.iter().any(|news| is_of(news, &wanted.name)));
        // Embedded ones first, so that a file admitted later is the newest.
        let mut problems: Vec<Problem> = without.iter().filter_map(|wanted| self.embedded(wanted)).collect();
        problems.extend(files.into_iter().filter_map(|news| self.apply(news)));
        for wanted in with_file {
            if self.board.generation(&wanted.name).is_none() {
                problems.extend(self.embedded(&wanted));
            }
        }
        problems
    }

    /// Admits the embedded plugin of a name; a name without one is a missing file.
    fn embedded(&mut self, wanted: &super::plan::Wanted) -> Option<Problem> {
        let Some(bytes) = stock::bytes(&wanted.name) else {
            let problem = missing(wanted);
            self.board.note(&wanted.name, |entry| {
                entry.kind = Some(wanted.kind);
                if entry.problem.is_none() {
                    entry.problem = Some((None, problem.clone()));
                }
            });
            problem.log();
            return Some(problem);
        };
        let artifact = Artifact::new(wanted.name.clone(), bytes, Origin::Embedded);
        match self.runtime.compile(artifact) {
            Ok(compiled) => self.apply(News::Compiled(compiled)),
            Err(problem) => Some(self.refuse(&wanted.name, None, None, problem)),
        }
    }

    /// Takes in what became of a plugin's file. Blocking; says what is amiss.
    pub fn apply(&mut self, news: News) -> Option<Problem> {
        match news {
            News::Compiled(compiled) => self.admit(&compiled).err(),
            News::Refused { name, path, hash, problem } => Some(self.refuse(&name, Some(path), hash, problem)),
            News::Waiting { name, path, problem } => {
                let problem = self.still_serving(&name, problem);
                self.board.note(&name, |entry| {
                    entry.file = Some(path);
                    entry.waiting = true;
                    entry.problem = Some((None, problem.clone()));
                });
                problem.log();
                Some(problem)
            }
            News::Removed { name, path } => {
                self.removed(&name, path);
                None
            }
            News::Trouble(problem) => {
                problem.log();
                Some(problem)
            }
        }
    }

    /// Dry run, instances, snapshot: the new generation serves, or nothing changes.
    pub(super) fn admit(&mut self, compiled: &Arc<Compiled>) -> Result<(), Problem> {
        let begun = Instant::now();
        let artifact = compiled.artifact();
        let name = &artifact.name;
        if self.is_in_force(artifact) {
            self.board.note(name, |entry| is_well(entry, &artifact.origin));
            return Ok(());
        }
        if self.holds_back(compiled) {
            return Ok(());
        }
        let kind = self.plan.kind_of(name).unwrap_or(compiled.kind());
        let admitted = self.runtime.admit(compiled, kind, &self.plan.uses(name, kind));
        let (generation, next) = admitted
            .and_then(|generation| {
                let next =
                    self.next_snapshot(&generation, |_| true).map_err(|fault| cannot_be_built(artifact, &fault))?;
                Ok((generation, next))
            })
            .map_err(|problem| self.refuse(name, path(&artifact.origin), Some(artifact.hash), problem))?;

        let used = next.is_some();
        let before = self.board.generation(name);
        // In this order: whoever finds the generation on the board finds it in the cell too.
        if let Some(next) = next {
            self.cell.publish(next);
        }
        self.note_swap(artifact, kind, &generation);
        let instead = before.map_or(String::new(), |b| format!("; {} is kept, to roll back to", b.hash().short()));
        tracing::info!(
            "{name} {} {}: generation {}, compiled in {:?}, admitted in {:?}{instead}",
            generation.hash().short(),
            if used { "is live" } else { "is admitted, nothing uses it" },
            generation.number(),
            compiled.compile_time(),
            begun.elapsed(),
        );
        Ok(())
    }

    /// Whether these bytes are those that serve, or served until they were quarantined: a file that was deleted or spoilt
    /// came back as it was. It is no new generation, and a quarantine ends with other bytes only.
    fn is_in_force(&self, artifact: &Artifact) -> bool {
        let entry = self.board.entry(&artifact.name);
        entry.is_some_and(|entry| entry.used && entry.generation.is_some_and(|(g, _)| g.hash() == artifact.hash))
    }

    /// Whether these bytes are not to serve: an operator pinned another generation, or they were held back before and no
    /// others have come since.
    fn holds_back(&self, compiled: &Arc<Compiled>) -> bool {
        let artifact = compiled.artifact();
        let Some(entry) = self.board.entry(&artifact.name) else { return false };
        let same = entry.held.as_ref().filter(|held| held.hash() == artifact.hash);
        let why = match same {
            Some(held) => held.why,
            None if entry.pinned => Why::Pinned,
            None => return false,
        };
        let Some((serving, _)) = &entry.generation else { return false };
        let held = Held { compiled: compiled.clone(), why };
        let problem = held.problem(serving);
        if same.is_none() {
            problem.log();
        }
        self.board.note(&artifact.name, |entry| {
            is_well(entry, &artifact.origin);
            entry.problem = Some((Some(artifact.hash), problem));
            entry.held = Some(held);
        });
        true
    }

    /// The generation that goes on when this one is quarantined.
    fn reserve_of(&self, generation: &Arc<Generation>) -> Option<Arc<Generation>> {
        let entry = self.board.entry(generation.name())?;
        let latest = entry.generation.filter(|(latest, _)| entry.used && latest.number() < generation.number());
        let latest = latest.map(|(latest, _)| latest).filter(|latest| !latest.is_quarantined());
        latest.or_else(|| entry.past.good_before(generation).next().cloned())
    }

    /// The best of its name to go back to from this one.
    pub(super) fn good_before(&self, generation: &Generation) -> Option<Arc<Generation>> {
        self.board.entry(generation.name())?.past.good_before(generation).next().cloned()
    }

    /// Has a generation choose for a pool, as one link of its chain. `before`: what does now, where settings and pool are the same.
    pub(super) fn assign(
        &self,
        plan: &PoolPlan,
        link: &LinkPlan<'_>,
        generation: &Arc<Generation>,
        before: Option<&balance::Assignment>,
    ) -> Result<Arc<balance::Assignment>, Fault> {
        let how = balance::How { settings: link.settings.into(), workers: self.workers, side: self.side.clone() };
        let reserve = self.reserve_of(generation);
        balance::Assignment::new(plan.pool.clone(), generation.clone(), reserve, before, &how)
    }

    /// As [`Applier::assign`], for a filter.
    pub(super) fn assign_filter(
        &self,
        plan: &FilterPlan,
        generation: &Arc<Generation>,
        before: Option<&filter::Assignment>,
    ) -> Result<Arc<filter::Assignment>, Fault> {
        let reserve = self.reserve_of(generation);
        filter::Assignment::new(generation.clone(), reserve, before, &plan.settings, self.workers, &self.side)
    }

    /// The snapshot in force with this generation in those of its places where `takes` says so of who is there; none when
    /// nothing uses it.
    pub(super) fn next_snapshot(
        &self,
        generation: &Arc<Generation>,
        takes: impl Fn(Option<&Arc<Generation>>) -> bool,
    ) -> Result<Option<Snapshot>, Fault> {
        let now = self.cell.load();
        let mut next = Snapshot { revision: now.revision + 1, ..Snapshot::clone(&now) };
        let mut used = false;
        match generation.kind() {
            Kind::Balancer => {
                for index in self.plan.pools_of(generation.name()) {
                    let (Some(plan), Some(place)) = (self.plan.pools.get(index), next.pools.get_mut(index)) else {
                        continue;
                    };
                    for link in plan.links_of(generation.name()) {
                        let Some(before) = place.links().nth(link.at) else { continue };
                        let is_late = is_stopgap(generation, plan) && before.generation().is_some();
                        if is_late || !takes(before.generation()) {
                            continue;
                        }
                        let after = self.assign(plan, &link, generation, Some(before))?;
                        *place = place.with_link(link.at, &after);
                        used = true;
                    }
                }
            }
            Kind::Filter => {
                for index in self.plan.filters_of(generation.name()) {
                    let (Some(plan), Some(place)) = (self.plan.filters.get(index), next.filters.get_mut(index)) else {
                        continue;
                    };
                    *place = self.assign_filter(plan, generation, Some(place))?;
                    used = true;
                }
            }
        }
        Ok(used.then_some(next))
    }

    /// Notes an admitted generation, and which of all plugins the snapshot in force uses: a `Newest` pool leaves one behind
    /// at each swap.
    pub(super) fn note_swap(&self, artifact: &Artifact, kind: Kind, generation: &Arc<Generation>) {
        let admitted = |entry: &mut Entry| {
            is_well(entry, &artifact.origin);
            entry.kind = Some(kind);
            let bygone = entry.generation.replace((generation.clone(), SystemTime::now()));
            if let Some((bygone, since)) = bygone.filter(|_| entry.used) {
                entry.past.add(bygone, since);
            }
        };
        self.note_use(Some(&artifact.name), admitted);
    }

    /// Notes which of all plugins the snapshot in force uses, together with what else is to be written of one of them.
    pub(super) fn note_use(&self, name: Option<&Arc<str>>, write: impl FnOnce(&mut Entry)) {
        let snapshot = self.cell.load();
        let balancers = snapshot.pools.iter().flat_map(|p| p.links()).filter_map(|link| link.generation());
        let filters = snapshot.filters.iter().filter_map(|f| f.generation());
        let serving: Vec<&Arc<Generation>> = balancers.chain(filters).collect();
        self.board.swap(name, write, |entry| {
            let generation = entry.generation.as_ref().map(|(generation, _)| generation);
            entry.used = generation.is_some_and(|g| serving.iter().any(|s| Arc::ptr_eq(s, g)));
            let matters = self.matters(entry);
            if !matters {
                self.runtime.forget(&entry.name);
            }
            matters
        });
    }

    /// Whether anybody needs to know of it: its file is there, it serves, or the configuration names it.
    fn matters(&self, entry: &Entry) -> bool {
        entry.file.is_some() || entry.used || self.plan.kind_of(&entry.name).is_some()
    }

    fn refuse(&self, name: &Arc<str>, path: Option<PathBuf>, hash: Option<Hash>, problem: Problem) -> Problem {
        let problem = self.still_serving(name, problem);
        self.board.note(name, |entry| {
            entry.kind = entry.kind.or(self.plan.kind_of(name));
            entry.file = path.or(entry.file.take());
            entry.waiting = false;
            entry.problem = Some((hash, problem.clone()));
        });
        problem.log();
        problem
    }

    fn removed(&self, name: &Arc<str>, path: PathBuf) {
        let Some(mut entry) = self.board.entry(name) else { return };
        let headline = match (entry.state(), &entry.generation) {
            (State::Serving, Some((g, _))) => {
                format!("{} was removed; its last generation {} still serves", path.display(), g.hash().short())
            }
            _ => format!("{} was removed", path.display()),
        };
        let problem = Problem::warning(Code::PLUGIN_REMOVED, headline);
        problem.log();
        entry.file = None;
        if !self.matters(&entry) {
            self.runtime.forget(name);
            return self.board.forget(name);
        }
        self.board.note(name, |entry| {
            entry.file = None;
            entry.waiting = false;
            entry.problem = Some((None, problem));
        });
    }

    fn still_serving(&self, name: &str, problem: Problem) -> Problem {
        let entry = self.board.entry(name).filter(|entry| entry.state() == State::Serving);
        match entry.and_then(|entry| entry.generation) {
            Some((generation, _)) => problem.serving(format!("still serving {}", generation.hash().short())),
            None => problem,
        }
    }
}

/// Nothing is amiss with the file any more.
fn is_well(entry: &mut Entry, origin: &Origin) {
    entry.problem = None;
    entry.held = None;
    entry.waiting = false;
    entry.file = path(origin).or(entry.file.take());
}

fn path(origin: &Origin) -> Option<PathBuf> {
    match origin {
        Origin::File(path) => Some(path.clone()),
        Origin::Embedded => None,
    }
}

/// Whether it is what the pool takes only until a file brings another one.
fn is_stopgap(generation: &Generation, plan: &PoolPlan) -> bool {
    matches!(generation.origin(), Origin::Embedded) && matches!(plan.choice, BalancerChoice::Newest { .. })
}

/// It passed the dry run and failed when its real instances were built.
pub(super) fn cannot_be_built(artifact: &Artifact, fault: &Fault) -> Problem {
    let what = path(&artifact.origin).map_or(artifact.name.to_string(), |p| p.display().to_string());
    Problem::error(Code::LOAD_FAULT, format!("{what} failed in {} when its instances were built", fault.call))
        .note(fault.text.clone())
        .detail(fault)
}

pub(super) fn missing(wanted: &super::plan::Wanted) -> Problem {
    let name = &wanted.name;
    let near = stock::names().iter().map(|n| (strsim::jaro_winkler(name, n), n)).filter(|(score, _)| *score > 0.8);
    let near =
        near.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(String::new(), |(_, n)| format!(" (did you mean \"{n}\"?)"));
    let meanwhile = match wanted.kind {
        Kind::Balancer => "the fallback serves",
        Kind::Filter => "its requests are answered 503 unless `on_fault = \"continue\"`",
    };
    let problem = Problem::error(
        Code::NO_SUCH_PLUGIN,
        format!(
            "{}: no plugin \"{name}\": neither {name}.wasm in the plugin directory nor embedded{near}",
            wanted.user
        ),
    )
    .serving(meanwhile);
    match &wanted.spot {
        Some(spot) => problem.at(spot.clone(), "named here"),
        None => problem,
    }
}
