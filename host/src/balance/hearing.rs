//! How one balancer tells its plugin what became of its decisions.

use super::assignment::{Heritage, Prepared};
use crate::{
    figures::{Line, Outbox, Picker, Row, Undelivered},
    plugin::Fault,
};
use std::{rc::Rc, sync::Arc};
use tokio::{sync::Notify, time::Instant};

/// What waits to be told on one worker, and to whom.
#[derive(Debug)]
pub(super) struct Hearing {
    outbox: Rc<Outbox>,
    /// The instances whose state the live one has, or its successor will have.
    line: Option<Rc<Line>>,
    /// The live instance, if it wants to hear.
    picker: Option<Rc<Picker>>,
    worker: usize,
    /// Keeps its room from one batch to the next.
    rows: Vec<Row>,
}

impl Hearing {
    pub(super) fn new(worker: usize, bell: Arc<Notify>) -> Hearing {
        Hearing { outbox: Rc::new(Outbox::new(bell)), line: None, picker: None, worker, rows: Vec::new() }
    }

    /// Another instance lives. Unless it has the state of those before, nobody is told any more of what they chose.
    pub(super) fn begins(&mut self, live: &Prepared) {
        match live.heritage {
            Heritage::Taken if live.instance.hears() => {}
            Heritage::Refused => self.ends(Undelivered::Refused),
            Heritage::Taken | Heritage::Unasked | Heritage::Own => self.ends(Undelivered::Ended),
        }
        if live.instance.hears() {
            let (line, ledger) = (self.line.get_or_insert_default(), live.instance.generation().ledger());
            self.picker = Some(Picker::next_of(line, &self.outbox, ledger, self.worker));
        }
    }

    /// The live instance ends, and its successor has its state: what it chose waits for that one.
    pub(super) fn waits(&mut self) {
        self.picker = None;
    }

    /// The live instance ends, and its state with it.
    pub(super) fn ends(&mut self, why: Undelivered) {
        self.picker = None;
        if let Some(line) = self.line.take() {
            line.end(why);
        }
    }

    /// The live instance, if it wants to hear.
    pub(super) fn picker(&self) -> Option<&Rc<Picker>> {
        self.picker.as_ref()
    }

    /// Whether a batch is complete.
    pub(super) fn has_batch(&self) -> bool {
        self.outbox.has_batch() && !self.is_waiting()
    }

    /// Whether the first of fewer has waited long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.outbox.is_due(now) && !self.is_waiting()
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let next = self.outbox.next_look();
        if self.is_waiting() { None } else { next }
    }

    /// Whether those that will be told are not there yet.
    fn is_waiting(&self) -> bool {
        self.line.is_some() && self.picker.is_none()
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
