//! What a plugin's name was before: generations that served and were replaced stay compiled, a few of them, so that one can
//! come back at once.

use crate::{
    plugin::{Compiled, Generation, Hash},
    problem::{Code, Problem},
};
use std::{sync::Arc, time::SystemTime};

/// Past generations that are kept of each name. Each holds its code, some hundred kilobytes.
const PAST_MOST: usize = 5;

/// Generations that served, the one with the highest number first.
#[derive(Clone, Debug, Default)]
pub struct Past(Vec<(Arc<Generation>, SystemTime)>);

impl Past {
    /// All of them, with the moment when each was admitted or came back last.
    pub fn iter(&self) -> impl Iterator<Item = &(Arc<Generation>, SystemTime)> {
        self.0.iter()
    }

    /// Whom to go back to from this generation: those before it that are not in quarantine, the latest first.
    pub fn good_before(&self, generation: &Generation) -> impl Iterator<Item = &Arc<Generation>> {
        let number = generation.number();
        self.0.iter().map(|(past, _)| past).filter(move |past| past.number() < number && !past.is_quarantined())
    }

    /// Adds one. When there are too many, the oldest goes of those that will never serve again, else the oldest of all.
    pub(super) fn add(&mut self, generation: Arc<Generation>, since: SystemTime) {
        let at = self.0.partition_point(|(past, _)| past.number() > generation.number());
        self.0.insert(at, (generation, since));
        if self.0.len() > PAST_MOST {
            let lost = self.0.iter().rposition(|(past, _)| past.is_quarantined());
            self.0.remove(lost.unwrap_or(PAST_MOST));
        }
    }

    /// It serves again.
    pub(super) fn remove(&mut self, generation: &Arc<Generation>) {
        self.0.retain(|(past, _)| !Arc::ptr_eq(past, generation));
    }
}

/// A file that is held back.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it holds.
    pub compiled: Arc<Compiled>,
    /// Why.
    pub why: Why,
}

/// Why a file is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It failed too often.
    Quarantined,
    /// An operator went back from it.
    RolledBack,
    /// It came while another generation was pinned.
    Pinned,
}

impl Why {
    /// The word that JSON shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Quarantined => "quarantined",
            Why::RolledBack => "rolled-back",
            Why::Pinned => "pinned",
        }
    }
}

impl Held {
    /// Of its bytes.
    pub fn hash(&self) -> Hash {
        self.compiled.artifact().hash
    }

    /// PM0404: for people; `serving` is who does.
    pub(super) fn problem(&self, serving: &Generation) -> Problem {
        let artifact = self.compiled.artifact();
        let name = &artifact.name;
        let why = match self.why {
            Why::Quarantined => "it failed too often",
            Why::RolledBack => "an operator went back from it",
            Why::Pinned => "the plugin is pinned",
        };
        let remedy = match self.why {
            Why::Quarantined => "other bytes under its name are tried as ever; the same are not".to_owned(),
            Why::RolledBack => {
                format!("other bytes are tried as ever; `pointsman plugin unpin {name}` takes these again")
            }
            Why::Pinned => format!("`pointsman plugin unpin {name}` takes it"),
        };
        let headline = format!("{} ({}) is held back: {why}", artifact.place(), artifact.hash.short());
        Problem::warning(Code::HELD_BACK, headline).note(remedy).serving(format!(
            "{} serves (generation {})",
            serving.hash().short(),
            serving.number()
        ))
    }
}
