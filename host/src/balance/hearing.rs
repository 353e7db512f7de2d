//! How one balancer tells its plugin what became of its decisions.

use super::assignment::Prepared;
use crate::{
    figures::{Outbox, Picker, Row, Undelivered},
    plugin::Fault,
};
use std::rc::Rc;
use tokio::{sync::Notify, time::Instant};

/// What waits to be told on one worker, and to whom.
#[derive(Debug)]
pub(super) struct Hearing {
    outbox: Rc<Outbox>,
    /// The live instance, if it wants to hear.
    picker: Option<Rc<Picker>>,
    worker: usize,
    /// Keeps its room from one batch to the next.
    rows: Vec<Row>,
}

impl Hearing {
    pub(super) fn new(worker: usize, bell: Rc<Notify>) -> Hearing {
        Hearing { outbox: Rc::new(Outbox::new(bell)), picker: None, worker, rows: Vec::new() }
    }

    /// Another instance lives, and knows nothing of those before.
    pub(super) fn begins(&mut self, live: &Prepared) {
        self.ends(Undelivered::Ended);
        if live.instance.hears() {
            let ledger = live.instance.generation().ledger();
            self.picker = Some(Picker::next_of(&Rc::default(), &self.outbox, ledger, self.worker));
        }
    }

    /// The live instance ends: what it chose is told to nobody any more.
    pub(super) fn ends(&mut self, why: Undelivered) {
        if let Some(picker) = self.picker.take() {
            picker.line().end(why);
        }
    }

    /// The live instance, if it wants to hear.
    pub(super) fn picker(&self) -> Option<&Rc<Picker>> {
        self.picker.as_ref()
    }

    /// Whether a batch is complete.
    pub(super) fn has_batch(&self) -> bool {
        self.outbox.has_batch()
    }

    /// Whether the first of fewer has waited long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.outbox.is_due(now)
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.outbox.next_look()
    }

    /// Tells all that waits: to the live instance, or to nobody.
    pub(super) fn tell(&mut self, live: Option<&mut Prepared>, now_us: u64) -> Result<(), Fault> {
        let mut rows = std::mem::take(&mut self.rows);
        self.outbox.empty_into(&mut rows);
        for row in rows.extract_if(.., |row| row.is_for_nobody().is_some()) {
            let why = row.is_for_nobody().unwrap_or(Undelivered::Ended);
            row.undelivered(why);
        }
        let told = match live {
            Some(live) if !rows.is_empty() => live.instance.observe(now_us, &rows),
            _ => Ok(()),
        };
        for row in rows.drain(..) {
            if told.is_ok() { row.delivered() } else { row.undelivered(Undelivered::Fault) }
        }
        self.rows = rows;
        told
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.outbox.close();
    }
}
