//! Where the slips of one pool on one worker wait for delivery.

use super::{Row, Undelivered};
use std::{
    cell::{Cell, RefCell},
    sync::Arc,
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
    bell: Arc<Notify>,
    /// Somebody will look when the first has waited long enough.
    is_watched: Cell<bool>,
    is_closed: Cell<bool>,
}

impl Outbox {
    /// An empty one.
    pub fn new(bell: Arc<Notify>) -> Outbox {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::feedback::{Ledger, Line, Loss, Picker, Tallies};
    use std::rc::Rc;
    use tokio::time::advance;

    struct Stage {
        outbox: Rc<Outbox>,
        ledger: Arc<Ledger>,
        line: Rc<Line>,
    }

    impl Stage {
        fn new() -> Stage {
            let outbox = Rc::new(Outbox::new(Arc::default()));
            Stage { outbox, ledger: Arc::new(Ledger::new(1, Arc::default())), line: Rc::default() }
        }

        fn next(&self) -> Rc<Picker> {
            Picker::next_of(&self.line, &self.outbox, &self.ledger, 0)
        }

        fn tallies(&self) -> Tallies {
            assert_eq!(self.ledger.tallies(), self.ledger.of_all());
            self.ledger.tallies()
        }

        /// Tells whoever is there.
        fn tell(&self) -> Vec<u32> {
            let mut rows = Vec::new();
            self.outbox.empty_into(&mut rows);
            let what = rows.iter().map(Row::what).collect();
            for row in rows {
                match row.is_for_nobody() {
                    Some(why) => row.undelivered(why),
                    None => row.delivered(),
                }
            }
            what
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slip_is_put_there_once_with_its_last_holder_and_says_what_was_said_last() {
        let stage = Stage::new();
        let slip = stage.next().slip(1, 0, 7, 3, Instant::now());
        let same = slip.clone();
        slip.lost(Loss::Reset);
        drop(slip);
        assert!(stage.tell().is_empty() && stage.tallies().attempts == 1);
        same.answered(200, 5);
        same.lost(Loss::Nothing);
        drop(same);
        assert_eq!(stage.tell(), [200 | 3 << 24]);
        assert!(stage.tell().is_empty() && stage.tallies().delivered == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_of_a_line_is_told_of_what_those_before_chose() {
        let stage = Stage::new();
        let (first, before) = (stage.next(), Instant::now());
        let (early, late) = (first.slip(1, 0, 7, 0, before), first.slip(1, 0, 8, 0, before));
        drop(early);
        assert_eq!(stage.tell(), [(Loss::ClientGone as u32) << 16]);
        let _second = stage.next();
        drop(late);
        assert_eq!(stage.tell(), [(Loss::ClientGone as u32) << 16 | 1 << 31]);
        let never = first.slip(1, 0, 9, 0, before);
        stage.line.end(Undelivered::Refused);
        stage.line.end(Undelivered::Ended);
        drop(never);
        stage.tell();
        assert_eq!(stage.tallies().undelivered_for(Undelivered::Refused), 1);
        assert_eq!((stage.tallies().attempts, stage.tallies().delivered), (3, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn some_make_a_batch_and_fewer_wait_for_a_while() {
        let stage = Stage::new();
        let picker = stage.next();
        for number in 0..BATCH {
            assert!(!stage.outbox.has_batch(), "{number}");
            drop(picker.slip(1, 0, 0, 0, Instant::now()));
        }
        assert!(stage.outbox.has_batch() && !stage.outbox.is_due(Instant::now()));
        let look = stage.outbox.next_look().expect("something waits");
        advance(WAITS_MOST).await;
        assert!(look == Instant::now() && stage.outbox.is_due(look));
        assert_eq!(stage.tell().len(), BATCH);
        assert!(stage.outbox.next_look().is_none() && !stage.outbox.is_due(look));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_or_too_late_is_counted() {
        let stage = Stage::new();
        let picker = stage.next();
        for _ in 0..ROWS_MOST + 3 {
            drop(picker.slip(1, 0, 0, 0, Instant::now()));
        }
        assert_eq!(stage.tallies().undelivered_for(Undelivered::Full), 3);
        let late = picker.slip(1, 0, 0, 0, Instant::now());
        stage.outbox.close();
        drop(late);
        let tallies = stage.tallies();
        assert_eq!(tallies.undelivered_for(Undelivered::Ended), ROWS_MOST as u64 + 1);
        assert_eq!(tallies.attempts, tallies.all_undelivered());
    }
}
