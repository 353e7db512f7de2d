//! Where the slips of one pool on one worker wait for delivery.

use super::{Row, Undelivered};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How many make a batch: one call of the guest costs as much as copying a hundred of them.
const BATCH: usize = 16;
/// How long the first of fewer waits.
const WAITS_MOST: Duration = Duration::from_millis(10);
/// How many may wait: more than ever come between two deliveries, unless nobody can be told.
const ROWS_MOST: usize = 4096;

/// What waits for delivery.
#[derive(Debug)]
pub struct Outbox {
    rows: RefCell<Vec<Row>>,
    /// When the first of them was put there.
    since: Cell<Option<Instant>>,
    /// Rung when something waits and nobody looks after it.
    bell: Rc<Notify>,
    /// Somebody will look when the first has waited long enough.
    is_watched: Cell<bool>,
    is_closed: Cell<bool>,
}

impl Outbox {
    /// An empty one.
    pub fn new(bell: Rc<Notify>) -> Outbox {
        let (rows, since) = (RefCell::default(), Cell::new(None));
        Outbox { rows, since, bell, is_watched: Cell::new(false), is_closed: Cell::new(false) }
    }

    pub(super) fn put(&self, row: Row, now: Instant) {
        if self.is_closed.get() {
            return row.undelivered(Undelivered::Ended);
        }
        let mut rows = self.rows.borrow_mut();
        if rows.len() == ROWS_MOST {
            return row.undelivered(Undelivered::Full);
        }
        rows.push(row);
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
        // Once in a quiet time, and not once a batch.
        if !self.is_watched.replace(true) {
            self.bell.notify_one();
        }
    }

    /// Whether a batch is complete.
    pub fn has_batch(&self) -> bool {
        self.rows.borrow().len() >= BATCH
    }

    /// Whether the first has waited long enough.
    pub fn is_due(&self, now: Instant) -> bool {
        self.since.get().is_some_and(|since| now >= since + WAITS_MOST)
    }

    /// When to look again; none: the bell rings before there is anything.
    pub fn next_look(&self) -> Option<Instant> {
        let next = self.since.get().map(|since| since + WAITS_MOST);
        self.is_watched.set(next.is_some());
        next
    }

    /// Changes places with this empty list, which keeps its room.
    pub fn empty_into(&self, rows: &mut Vec<Row>) {
        std::mem::swap(&mut *self.rows.borrow_mut(), rows);
        self.since.set(None);
    }

    /// Nobody will look any more: what waits, and what comes, is told to nobody.
    pub fn close(&self) {
        self.is_closed.set(true);
        for row in self.rows.take() {
            let why = row.is_for_nobody().unwrap_or(Undelivered::Ended);
            row.undelivered(why);
        }
    }
}
