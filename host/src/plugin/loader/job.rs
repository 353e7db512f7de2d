//! Looking into one file: read, hash, check for an early end, compile. Blocking, and apart from everything that is known.

use super::{
    scan::{self, Content, Found},
    whole::{self, EarlyEnd},
};
use crate::{
    plugin::{Artifact, Hash, Origin, abi::not_webassembly},
    problem::{Code, Problem},
};
use std::{collections::HashMap, sync::Arc};
use tokio::task::{self, JoinSet};

/// Files that are looked into at the same time. Each may hold a file of the largest size in memory.
const JOBS_MOST: usize = 2;

pub(super) type Compile<T> = Arc<dyn Fn(Artifact) -> Result<T, Problem> + Send + Sync>;

/// A file that is to be looked into.
pub(super) struct Job<T> {
    pub(super) ticket: Ticket,
    /// The hash that is no news.
    pub(super) told: Option<Hash>,
    pub(super) size_most: u64,
    pub(super) compile: Compile<T>,
}

/// Which file, in which state.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) name: Arc<str>,
    pub(super) found: Found,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// The file changed meanwhile.
    Changed,
    /// Its bytes are those that were told of last.
    Same,
    EndsEarly(EarlyEnd),
    /// The hash is there when it was read.
    Refused(Option<Hash>, Problem),
    Compiled(Hash, T),
}

impl<T> Job<T> {
    /// Blocking.
    pub(super) fn run(&self) -> Verdict<T> {
        let Ticket { name, found } = &self.ticket;
        let bytes = match scan::read(name, found, self.size_most) {
            Content::Bytes(bytes) => bytes,
            Content::Changed => return Verdict::Changed,
            Content::Refused(problem) => return Verdict::Refused(None, problem),
        };
        let artifact = Artifact::new(Arc::clone(name), bytes, Origin::File(found.path.clone()));
        let (hash, path) = (artifact.hash, found.path.display());
        if self.told == Some(hash) {
            return Verdict::Same;
        }
        // At once: no further bytes could make it WebAssembly.
        if whole::is_foreign(&artifact.bytes) {
            return Verdict::Refused(Some(hash), not_webassembly(&artifact.place()));
        }
        if let Some(end) = whole::early_end(&artifact.bytes) {
            return Verdict::EndsEarly(end);
        }
        tracing::info!("{path}: {} B, settled, sha256 {}", artifact.bytes.len(), hash.short());
        match (self.compile)(artifact) {
            Ok(compiled) => Verdict::Compiled(hash, compiled),
            Err(problem) => Verdict::Refused(Some(hash), problem),
        }
    }
}

/// Jobs under way.
pub(super) struct Jobs<T> {
    set: JoinSet<Verdict<T>>,
    tickets: HashMap<task::Id, Ticket>,
}

impl<T> Default for Jobs<T> {
    fn default() -> Self {
        Jobs { set: JoinSet::new(), tickets: HashMap::new() }
    }
}

impl<T: Send + 'static> Jobs<T> {
    /// One of a name at a time, and not too many.
    pub(super) fn may_start(&self, name: &Arc<str>) -> bool {
        self.tickets.len() < JOBS_MOST && self.tickets.values().all(|ticket| ticket.name != *name)
    }

    pub(super) fn start(&mut self, job: Job<T>) {
        let ticket = job.ticket.clone();
        self.tickets.insert(self.set.spawn_blocking(move || job.run()).id(), ticket);
    }

    /// The next that ends; none when nothing is under way. Dropping this future loses nothing.
    pub(super) async fn next(&mut self) -> Option<(Ticket, Verdict<T>)> {
        let done = self.set.join_next_with_id().await?;
        let (id, verdict) = match done {
            Ok((id, verdict)) => (id, Some(verdict)),
            Err(error) => (error.id(), None),
        };
        let ticket = self.tickets.remove(&id)?;
        let verdict = verdict.unwrap_or_else(|| failed(&ticket));
        Some((ticket, verdict))
    }
}

/// The verdict on a file that brought the compiler down.
fn failed<T>(ticket: &Ticket) -> Verdict<T> {
    let headline = format!("{} brought the compiler down", ticket.found.path.display());
    Verdict::Refused(None, Problem::error(Code::NOT_A_COMPONENT, headline).note("please report this, with the file"))
}
