//! Back to a generation that served before: by itself when the one that serves is quarantined, or because an operator says
//! so. Until the conductor comes by, the workers have gone over to the reserve already: see `plugin::Serving`.

use super::{Applier, Entry, Held, past::Why};
use crate::{
    plugin::{Fault, Generation, Origin},
    problem::{Code, Problem},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// What an operator wants of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steer {
    /// The generation with this hash, or how it begins, is to serve again; none: the last good one before.
    RollBack(Option<String>),
    /// No file replaces the generation that serves; with a hash, or how it begins, that one is to serve.
    Pin(Option<String>),
    /// Files are followed again, and what was held back is taken.
    Unpin,
}

/// What came of it.
#[derive(Debug)]
pub struct Steered {
    /// Who served.
    pub before: Arc<Generation>,
    /// Who serves.
    pub now: Arc<Generation>,
    /// Until the other one served.
    pub took: Duration,
}

impl Applier {
    /// Makes it known who took over from generations that were quarantined, and chooses the next reserve. Blocking.
    pub fn recover(&mut self) {
        // Also of those that count as unused: where another change was made known first, their reserves serve already.
        let fallen = self.board.entries().into_iter().filter_map(|entry| {
            let (generation, _) = entry.generation?;
            generation.is_quarantined().then_some((generation, entry.past))
        });
        for (fallen, past) in fallen {
            let mut good = past.good_before(&fallen);
            let back = good.find(|past| {
                let brought = self.bring_back(&fallen, past, Why::Quarantined);
                let (name, hash) = (past.name(), past.hash().short());
                brought.inspect_err(|fault| tracing::warn!("{name} {hash} cannot come back: {fault}")).is_ok()
            });
            if let Some(back) = back {
                tracing::warn!(
                    "{} {} is quarantined: {} serves again (generation {}), known everywhere {:?} after the last fault",
                    fallen.name(),
                    fallen.hash().short(),
                    back.hash().short(),
                    back.number(),
                    fallen.quarantined_for().unwrap_or_default(),
                );
            }
        }
    }

    /// Does what an operator wants. Blocking.
    ///
    /// # Errors
    /// Why not, PM0405; nothing has changed then.
    pub fn steer(&mut self, name: &Arc<str>, steer: &Steer) -> Result<Steered, Problem> {
        let begun = Instant::now();
        let entry = self.board.entry(name);
        let Some(before) = entry.as_ref().and_then(|entry| Some(entry.generation.as_ref()?.0.clone())) else {
            return Err(Problem::error(Code::NOT_STEERED, format!("no generation of {name} was admitted")));
        };
        let now = match steer {
            Steer::RollBack(hash) => self.roll_back(&before, hash.as_deref())?,
            Steer::Pin(hash) => self.pin(&before, hash.as_deref())?,
            Steer::Unpin => self.unpin(&before)?,
        };
        Ok(Steered { before, now, took: begun.elapsed() })
    }

    fn roll_back(&mut self, before: &Arc<Generation>, hash: Option<&str>) -> Result<Arc<Generation>, Problem> {
        let now = match hash {
            Some(hash) => self.known(before, hash)?,
            None => self.good_before(before).ok_or_else(|| {
                let headline = format!("no earlier generation of {} served and is kept", before.name());
                Problem::error(Code::NOT_STEERED, headline).note("`pointsman plugin history` lists those that are")
            })?,
        };
        if Arc::ptr_eq(&now, before) {
            let headline = format!("{} {} serves already", now.name(), now.hash().short());
            return Err(Problem::error(Code::NOT_STEERED, headline));
        }
        self.switch(before, &now)?;
        Ok(now)
    }

    fn pin(&mut self, before: &Arc<Generation>, hash: Option<&str>) -> Result<Arc<Generation>, Problem> {
        let now = hash.map_or_else(|| Ok(before.clone()), |hash| self.known(before, hash))?;
        if !Arc::ptr_eq(&now, before) {
            self.switch(before, &now)?;
        }
        self.board.note(now.name(), |entry| entry.pinned = true);
        tracing::info!("{} {} is pinned: files do not replace it", now.name(), now.hash().short());
        Ok(now)
    }

    fn unpin(&mut self, before: &Arc<Generation>) -> Result<Arc<Generation>, Problem> {
        let name = before.name();
        let Some(entry) = self.board.entry(name) else { return Ok(before.clone()) };
        let held = entry.held.clone().filter(|held| held.why != Why::Quarantined);
        let now = match held {
            None => before.clone(),
            Some(held) if entry.past.iter().any(|(past, _)| past.hash() == held.hash()) => {
                let known = self.known(before, &held.hash().to_string())?;
                self.switch(before, &known)?;
                known
            }
            Some(held) => self.take_in(before, &entry, &held)?,
        };
        self.board.note(name, |entry| entry.pinned = false);
        tracing::info!("{name} is not pinned: files are followed");
        Ok(now)
    }

    /// Admits what was held back and never served. Where it is refused, it is held back as before.
    fn take_in(&mut self, before: &Arc<Generation>, entry: &Entry, held: &Held) -> Result<Arc<Generation>, Problem> {
        let name = before.name();
        self.board.note(name, |entry| (entry.held, entry.pinned) = (None, false));
        self.admit(&held.compiled).inspect_err(|_| {
            self.board.note(name, |now| (now.held, now.pinned) = (Some(held.clone()), entry.pinned));
        })?;
        Ok(self.board.generation(name).unwrap_or_else(|| before.clone()))
    }

    /// One that is kept, by how its hash begins.
    fn known(&self, now: &Arc<Generation>, hash: &str) -> Result<Arc<Generation>, Problem> {
        let name = now.name();
        let hash = hash.to_ascii_lowercase();
        let past: Vec<_> = self.board.entry(name).iter().flat_map(|entry| entry.past.iter().cloned()).collect();
        let all = || std::iter::once(now).chain(past.iter().map(|(past, _)| past));
        let mut found = all().filter(|generation| generation.hash().to_string().starts_with(&hash));
        let refuse = |what: String| Problem::error(Code::NOT_STEERED, what);
        let first = found.next().filter(|_| !hash.is_empty());
        if let Some((first, other)) = first.zip(found.find(|other| first.is_some_and(|it| it.hash() != other.hash()))) {
            return Err(refuse(format!("two generations of {name} have hashes that begin with {hash:?}"))
                .note(format!("kept: {}, {}", first.hash().short(), other.hash().short())));
        }
        match first {
            Some(found) if found.is_quarantined() => {
                let short = found.hash().short();
                Err(refuse(format!("{name} {short} is in quarantine")).note("mend it, and bring other bytes"))
            }
            Some(found) => Ok(found.clone()),
            None => {
                let kept: Vec<_> = all().map(|generation| generation.hash().short()).collect();
                Err(refuse(format!("no generation of {name} that is kept has a hash beginning with {hash:?}"))
                    .note(format!("kept: {}", kept.join(", "))))
            }
        }
    }

    /// Has another generation serve because an operator wants it: tried first with what the configuration says now.
    fn switch(&mut self, before: &Arc<Generation>, now: &Arc<Generation>) -> Result<(), Problem> {
        now.suits(now.kind(), &self.plan.uses(now.name(), now.kind()))?;
        self.bring_back(before, now, Why::RolledBack)
            .map_err(|fault| super::applier::cannot_be_built(now.compiled().artifact(), &fault))?;
        let (from, to) = (before.hash().short(), now.hash().short());
        tracing::info!("{}: {from} → {to} (generation {}), an operator says so", now.name(), now.number());
        Ok(())
    }

    fn bring_back(&mut self, before: &Arc<Generation>, now: &Arc<Generation>, why: Why) -> Result<(), Fault> {
        let next = self.next_snapshot(now, |place| place.is_some_and(|g| g.name() == now.name()))?;
        if let Some(next) = next {
            self.cell.publish(next);
        }
        let is_of_a_file = matches!(before.origin(), Origin::File(_));
        self.note_use(Some(now.name()), |entry| {
            if let Some((bygone, since)) = entry.generation.replace((now.clone(), SystemTime::now())) {
                entry.past.add(bygone, since);
            }
            entry.past.remove(now);
            // The file holds what was held back before, or else what served.
            let other = entry.held.take().filter(|held| held.hash() != now.hash());
            let failed = || Held { compiled: before.compiled().clone(), why };
            let goes_back = before.number() > now.number();
            entry.held = other.or_else(|| (is_of_a_file && goes_back).then(failed));
            entry.problem = entry.held.as_ref().map(|held| (Some(held.hash()), held.problem(now)));
        });
        Ok(())
    }
}
