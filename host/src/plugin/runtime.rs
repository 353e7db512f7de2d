//! What all plugins of a process share: the engine, what they may import, the ticker, the limits, what instances share.

use super::{Artifact, Compiled, abi::v0_1, engine::engine, sandbox::Data, shared::Shared, ticker::Ticker};
use crate::{
    config::model::Plugins,
    figures::{PerWorker, Tally},
    problem::{Code, Problem},
    rng::Rng,
};
use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use wasmtime::{Engine, component::Linker};

/// One per process.
pub struct Runtime {
    engine: Engine,
    linker: Linker<Data>,
    _ticker: Ticker,
    pub(super) limits: Plugins,
    pub(super) workers: usize,
    pub(super) zone: Arc<str>,
    /// Sets this process apart from others in what its instances draw.
    pub(super) seed: u64,
    pub(super) shared: Shared,
    /// Rung when a generation is quarantined.
    alarm: Arc<Notify>,
    /// The number of each plugin's latest generation.
    numbers: Mutex<HashMap<Arc<str>, u64>>,
    /// What each plugin's generations were told of their attempts, all together.
    tallies: Mutex<HashMap<Arc<str>, Arc<PerWorker<Tally>>>>,
}

impl Runtime {
    /// Starts the engine and its ticker. `cache`: where compiled code is kept; none: nowhere.
    pub fn new(limits: &Plugins, workers: usize, zone: &str, cache: Option<&Path>) -> Result<Arc<Runtime>, Problem> {
        let (engine, linker, _ticker) = start(cache).map_err(|error| {
            Problem::error(Code::NO_ENGINE, "the plugin engine does not start")
                .note("it needs executable memory and room for its cache")
                .detail(format!("{error:#}"))
        })?;
        Ok(Arc::new(Runtime {
            engine,
            linker,
            _ticker,
            limits: limits.clone(),
            workers,
            zone: zone.into(),
            seed: Rng::from_entropy().bits(),
            shared: Shared::default(),
            alarm: Arc::default(),
            numbers: Mutex::default(),
            tallies: Mutex::default(),
        }))
    }

    /// Compiles and links a plugin; nothing of it runs. Blocks, for seconds when it is large.
    pub fn compile(&self, artifact: Artifact) -> Result<Arc<Compiled>, Problem> {
        let size = artifact.bytes.len() as u64;
        if size > self.limits.size {
            return Err(too_large(&artifact.place(), size, self.limits.size));
        }
        Compiled::new(&self.engine, &self.linker, artifact).map(Arc::new)
    }

    /// Notified when a generation is quarantined: who keeps the plugins' story has to look.
    pub fn alarm(&self) -> &Arc<Notify> {
        &self.alarm
    }

    /// The number that the next generation of this plugin gets.
    pub(super) fn next_number(&self, plugin: &str) -> u64 {
        self.numbers().get(plugin).copied().unwrap_or(0) + 1
    }

    /// Remembers that a generation was admitted. One caller admits at a time: the only writer of the snapshot.
    pub(super) fn admitted(&self, plugin: &Arc<str>, number: u64) {
        self.numbers().insert(plugin.clone(), number);
    }

    /// Nobody uses a plugin of this name any more, and its file is gone: should another come, it begins anew.
    pub fn forget(&self, plugin: &str) {
        self.numbers().remove(plugin);
        self.tallies().remove(plugin);
        self.shared.forget(plugin);
    }

    /// These are the pools now: what was shared in others goes with the instances that have it.
    pub fn keep_pools(&self, is_there: impl Fn(&str) -> bool) {
        // What filters share is in none.
        self.shared.keep_pools(|pool| pool.is_empty() || is_there(pool));
    }

    /// What all generations of this plugin count together.
    pub(super) fn tally(&self, plugin: &Arc<str>) -> Arc<PerWorker<Tally>> {
        self.tallies().entry(plugin.clone()).or_insert_with(|| Arc::new(PerWorker::new(self.workers))).clone()
    }

    fn tallies(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<PerWorker<Tally>>>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbers(&self) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(cache: Option<&Path>) -> wasmtime::Result<(Engine, Linker<Data>, Ticker)> {
    let engine = engine(cache)?;
    let mut linker = Linker::new(&engine);
    v0_1::link(&mut linker)?;
    let ticker = Ticker::start(engine.clone())?;
    Ok((engine, linker, ticker))
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// PM0308: more bytes than a plugin may have.
pub(super) fn too_large(place: &str, size: u64, most: u64) -> Problem {
    Problem::error(Code::UNREADABLE, format!("{place}: {size} bytes, more than `plugins.size` ({most})"))
        .note("build without debug information, or raise `plugins.size`")
}
