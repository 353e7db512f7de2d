//! One attempt's slip, and who chose it.

use super::{Ledger, Outbox, Undelivered};
use crate::figures::micros;
use std::{cell::Cell, rc::Rc, sync::Arc};
use tokio::time::Instant;

/// How an attempt went wrong, by its number in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Loss {
    /// It did not: the answer came to its end.
    Nothing,
    /// Nobody listened, or no way led there.
    Refused,
    /// No connection in time.
    ConnectTimeout,
    /// No agreement on TLS, or on a protocol in it.
    Tls,
    /// The connection or the stream broke before the answer or within it, or nothing more of the answer came in time.
    Reset,
    /// The request was not taken, or not answered, in time.
    RequestTimeout,
    /// What came was no answer.
    BadResponse,
    /// The client left, or broke its request off.
    ClientGone,
    /// The backend took no more.
    OverCapacity,
    /// Another backend that was asked as well answered first.
    Outrun,
}

/// Instances of which each took over the state of the one before. What one of them chose is told to the latest.
#[derive(Debug, Default)]
pub struct Line {
    latest: Cell<u32>,
    ended: Cell<Option<Undelivered>>,
}

impl Line {
    /// Nobody has the state any more.
    pub fn end(&self, why: Undelivered) {
        if self.ended.get().is_none() {
            self.ended.set(Some(why));
        }
    }
}

/// One instance as the slips of what it chose know it.
#[derive(Debug)]
pub struct Picker {
    outbox: Rc<Outbox>,
    line: Rc<Line>,
    number: u32,
    ledger: Arc<Ledger>,
    worker: usize,
}

impl Picker {
    /// The next of a line: from now on all that the line chose is told to it.
    pub fn next_of(line: &Rc<Line>, outbox: &Rc<Outbox>, ledger: &Arc<Ledger>, worker: usize) -> Rc<Picker> {
        let number = line.latest.get().wrapping_add(1);
        line.latest.set(number);
        Rc::new(Picker { outbox: outbox.clone(), line: line.clone(), number, ledger: ledger.clone(), worker })
    }

    /// The line that it is the latest of.
    pub fn line(&self) -> &Rc<Line> {
        &self.line
    }

    /// It chose `backend`, which stood at `position` then: the slip of that attempt.
    pub fn slip(self: &Rc<Self>, backend: u64, position: u32, token: u64, attempt: u32, now: Instant) -> Slip {
        self.ledger.begun(self.worker);
        Slip(Rc::new(Attempted {
            picker: self.clone(),
            backend,
            position,
            token,
            attempt: attempt.min(0x7f),
            begun: now,
            status: Cell::new(0),
            // Until it says otherwise: who lets go of an attempt without a word is who waited for it.
            loss: Cell::new(Loss::ClientGone),
            ttfb_us: Cell::new(0),
            sent: Cell::new(0),
            received: Cell::new(0),
        }))
    }
}

/// One attempt's report, filled in while it runs. All clones are the same slip: it is put into the outbox with the last.
#[derive(Clone, Debug)]
pub struct Slip(Rc<Attempted>);

#[derive(Debug)]
struct Attempted {
    picker: Rc<Picker>,
    backend: u64,
    position: u32,
    token: u64,
    attempt: u32,
    begun: Instant,
    status: Cell<u16>,
    loss: Cell<Loss>,
    ttfb_us: Cell<u32>,
    sent: Cell<u64>,
    received: Cell<u64>,
}

impl Slip {
    /// The head of an answer came, so long after the backend had the request. The answer is not at its end.
    pub fn answered(&self, status: u16, after_us: u64) {
        self.0.status.set(status);
        self.0.ttfb_us.set(narrow(after_us));
        self.0.loss.set(Loss::ClientGone);
    }

    /// It went wrong in this way; what is said last holds.
    pub fn lost(&self, loss: Loss) {
        self.0.loss.set(loss);
    }

    /// So many more bytes of the request's body were sent.
    pub fn sent(&self, bytes: usize) {
        self.0.sent.set(self.0.sent.get() + bytes as u64);
    }

    /// So many more bytes of the answer's body came.
    pub fn received(&self, bytes: usize) {
        self.0.received.set(self.0.received.get() + bytes as u64);
    }
}

impl Drop for Attempted {
    fn drop(&mut self) {
        let now = Instant::now();
        let row = Row {
            picker: self.picker.clone(),
            backend: self.backend,
            position: self.position,
            token: self.token,
            what: u32::from(self.status.get()) | (self.loss.get() as u32) << 16 | self.attempt << 24,
            ttfb_us: self.ttfb_us.get(),
            total_us: narrow(micros(now.saturating_duration_since(self.begun))),
            sent: self.sent.get(),
            received: self.received.get(),
        };
        self.picker.outbox.put(row, now);
    }
}

/// An attempt that is over. It is settled once: by [`Row::delivered`] or [`Row::undelivered`].
#[derive(Debug)]
#[must_use = "what is not settled is missing from the ledger"]
pub struct Row {
    picker: Rc<Picker>,
    /// Whom it was made at.
    pub backend: u64,
    /// Where that stood when it was chosen.
    pub position: u32,
    /// What the pick said.
    pub token: u64,
    what: u32,
    /// 0 without an answer.
    pub ttfb_us: u32,
    /// From the pick to the end.
    pub total_us: u32,
    /// Of the request's body.
    pub sent: u64,
    /// Of the answer's body.
    pub received: u64,
}

impl Row {
    /// Why nobody is to be told of it; none: the latest of its line is.
    pub fn is_for_nobody(&self) -> Option<Undelivered> {
        self.picker.line.ended.get()
    }

    /// Status, loss, attempt, and whether a predecessor chose it, as the contract packs them.
    pub fn what(&self) -> u32 {
        let inherited = self.picker.number != self.picker.line.latest.get();
        self.what | u32::from(inherited) << 31
    }

    /// The guest was told.
    pub fn delivered(self) {
        self.picker.ledger.delivered(self.picker.worker);
    }

    /// Nobody was.
    pub fn undelivered(self, why: Undelivered) {
        self.picker.ledger.undelivered(self.picker.worker, why);
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
