//! What the streams of a connection may put before the library in one turn. A client that opens all its windows and
//! then takes nothing has no more than this waiting for it, however many streams it opens.

use super::bells::{Bells, STREAMS};
use std::cell::{Cell, RefCell};

/// Bytes of bodies that the library holds and the wire has not taken.
const QUEUED_MOST: usize = 256 << 10;

/// Where streams put pieces of answers.
#[derive(Debug)]
pub(super) struct Outlet {
    queued: Cell<usize>,
    is_open: Cell<bool>,
    waiting: RefCell<Vec<usize>>,
}

impl Outlet {
    pub(super) fn new() -> Outlet {
        Outlet { queued: Cell::new(0), is_open: Cell::new(true), waiting: RefCell::new(Vec::new()) }
    }

    /// Whether this stream may go on; if not, its bell will ring when it may.
    pub(super) fn has_room(&self, stream: usize) -> bool {
        let has_room = self.is_open.get() && self.queued.get() < QUEUED_MOST;
        if !has_room {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() < STREAMS && !waiting.contains(&stream) {
                waiting.push(stream);
            }
        }
        has_room
    }

    /// A stream has put so many bytes.
    pub(super) fn put(&self, bytes: usize) {
        self.queued.set(self.queued.get() + bytes);
    }

    /// The client takes nothing for now.
    pub(super) fn close(&self) {
        self.is_open.set(false);
    }

    /// All that may go has gone.
    pub(super) fn open(&self, bells: &Bells) {
        self.is_open.set(true);
        self.queued.set(0);
        self.waiting.borrow_mut().drain(..).for_each(|stream| bells.ring_stream(stream));
    }
}
