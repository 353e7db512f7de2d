//! What became of every plugin file and name, for people: written by the applier, read by the admin API.

use super::{Held, Past};
use crate::{
    plugin::{Generation, Hash, Kind},
    problem::Problem,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// All plugins this process has met, by name.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
}

/// One plugin's story so far.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// None: never admitted, and nothing names it.
    pub kind: Option<Kind>,
    /// The generation that serves, or was admitted last, with its moment.
    pub generation: Option<(Arc<Generation>, SystemTime)>,
    /// Those that served before.
    pub past: Past,
    /// An operator said that no file replaces it.
    pub pinned: bool,
    /// What its file holds, and is not to serve.
    pub held: Option<Held>,
    /// Whether a pool or a route uses it.
    pub used: bool,
    /// Its file, once one was seen.
    pub file: Option<PathBuf>,
    /// The bytes that were refused last, and why; or what is amiss with the file.
    pub problem: Option<(Option<Hash>, Problem)>,
    /// The file is not complete yet.
    pub waiting: bool,
}

/// Where a plugin stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A pool or route is served by it.
    Serving,
    /// Admitted, and nothing uses it.
    Unused,
    /// Stopped after repeated faults.
    Quarantined,
    /// Its file is still being written, and nothing of that name was admitted.
    Waiting,
    /// Refused, and nothing of that name was admitted.
    Refused,
}

impl State {
    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Serving => "serving",
            State::Unused => "unused",
            State::Quarantined => "quarantined",
            State::Waiting => "waiting",
            State::Refused => "refused",
        }
    }
}

impl Entry {
    /// Where it stands.
    pub fn state(&self) -> State {
        match &self.generation {
            Some((generation, _)) if generation.is_quarantined() => State::Quarantined,
            Some(_) if self.used => State::Serving,
            Some(_) => State::Unused,
            None if self.waiting => State::Waiting,
            None => State::Refused,
        }
    }
}

impl Board {
    /// All entries, in the order of their names.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    /// The entry of a name.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.lock().get(name).cloned()
    }

    /// The generation of a name that was admitted last.
    pub(super) fn generation(&self, name: &str) -> Option<Arc<Generation>> {
        self.entry(name)?.generation.map(|(generation, _)| generation)
    }

    /// Writes into the entry of a name, which is made when there is none.
    pub(super) fn note(&self, name: &Arc<str>, write: impl FnOnce(&mut Entry)) {
        write(entry(&mut self.lock(), name));
    }

    /// Writes into the entry of a name, if one is given, then goes through all of them; those that `keep` says no to are
    /// left out. One step: nobody sees a part of it.
    pub(super) fn swap(
        &self,
        name: Option<&Arc<str>>,
        write: impl FnOnce(&mut Entry),
        mut keep: impl FnMut(&mut Entry) -> bool,
    ) {
        let mut entries = self.lock();
        if let Some(name) = name {
            write(entry(&mut entries, name));
        }
        entries.retain(|_, entry| keep(entry));
    }

    /// Leaves out a name.
    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(entries: &'a mut BTreeMap<Arc<str>, Entry>, name: &Arc<str>) -> &'a mut Entry {
    entries.entry(name.clone()).or_insert_with(|| Entry {
        name: name.clone(),
        kind: None,
        generation: None,
        past: Past::default(),
        pinned: false,
        held: None,
        used: false,
        file: None,
        problem: None,
        waiting: false,
    })
}
