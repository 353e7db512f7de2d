//! How much of what costs us and brings nothing a client may send: frames that are no request, no answer taken and no
//! piece of a body. Requests and bodies have limits of their own; an honest client meets none of these.
//!
//! Each allowance is a stock that fills up with time and with honest work. The clock is read by those alone who have
//! used theirs up.

use super::{
    STREAMS_MOST,
    frames::{CONTINUATION, DATA, Frame, HEADERS, RST_STREAM, SETTINGS},
};
use std::fmt;
use tokio::time::Instant;

/// Streams that end before their answer by the client's doing: it resets them, or has us reset them. A browser that
/// leaves a page gives up all that it has under way; it may do so twice in a row.
const RESETS_MOST: u32 = 2 * STREAMS_MOST;
/// More of them in each second, as nghttp2 allows. Beside it, each stream that is answered to its end allows one more:
/// who takes as many answers as it gives up costs no more than twice of what it asks for.
const RESETS_PER_SECOND: u32 = 33;

/// Frames that carry nothing of a message: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones, empty DATA. Each
/// costs well below a microsecond, so this many are a millisecond or two.
const OVERHEAD_MOST: u32 = 2048;
/// More of them in each second: a client that keeps a connection alive sends one in some seconds, one that measures its
/// round trip some tens in a second.
const OVERHEAD_PER_SECOND: u32 = 128;
/// What SETTINGS cost: they are said once, and changing the windows goes over all streams.
const SETTINGS_COST: u32 = 32;
/// What a stream, a piece of a body and a piece of an answer allow. Clients open two windows per piece that they take,
/// and some say each stream's window and priority at its begin.
const OVERHEAD_EARNED: u32 = 4;

/// Streams that a client may open before it has heard how many there may be, and that we refuse without blaming it.
/// Some programs open all that they want at once; nobody wants more.
const EARLY_MOST: u32 = 2048;

/// Codes of our resets that say: that was your mistake.
const BLAMING: &[u32] = &[PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM];
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;

/// What a client does too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// It resets streams, or provokes resets.
    Resets,
    /// It sends frames that carry nothing.
    Overhead,
    /// What the library under us counts: fragments of heads, small pieces of bodies that wait, heads far too large.
    Fragments,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flood::Resets => "streams reset before their answer",
            Flood::Overhead => "frames that carry nothing",
            Flood::Fragments => "heads and bodies in far too many or too large pieces",
        })
    }
}

/// What one client did of it.
#[derive(Debug)]
pub(super) struct Calm {
    resets: Allowance,
    overhead: Allowance,
    /// Heads that came before the client had acknowledged our SETTINGS, less those of them that we may have refused.
    early: u32,
    /// It has acknowledged them.
    is_settled: bool,
    flood: Option<Flood>,
}

impl Calm {
    pub(super) fn new() -> Calm {
        let now = Instant::now();
        Calm {
            resets: Allowance { left: RESETS_MOST, most: RESETS_MOST, per_second: RESETS_PER_SECOND, since: now },
            overhead: Allowance {
                left: OVERHEAD_MOST,
                most: OVERHEAD_MOST,
                per_second: OVERHEAD_PER_SECOND,
                since: now,
            },
            early: 0,
            is_settled: false,
            flood: None,
        }
    }

    /// What the client did too much of.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.flood
    }

    /// The client sent this.
    pub(super) fn came(&mut self, frame: Frame) {
        match frame.kind {
            HEADERS => {
                self.overhead.earn(OVERHEAD_EARNED);
                if !self.is_settled {
                    self.early = (self.early + 1).min(EARLY_MOST);
                }
            }
            DATA if !frame.is_empty_data() => self.overhead.earn(OVERHEAD_EARNED),
            // The library bounds how many there are of one head.
            CONTINUATION => {}
            RST_STREAM => self.reset(),
            SETTINGS if !frame.is_ack() => self.carries_nothing(SETTINGS_COST),
            _ => {
                self.is_settled |= frame.kind == SETTINGS;
                self.carries_nothing(1);
            }
        }
    }

    /// We sent this.
    pub(super) fn went(&mut self, frame: Frame) {
        match frame.kind {
            DATA => self.overhead.earn(OVERHEAD_EARNED),
            RST_STREAM if frame.code == Some(REFUSED_STREAM) && self.early > 0 => self.early -= 1,
            RST_STREAM if frame.code.is_some_and(|code| BLAMING.contains(&code)) => self.reset(),
            _ => {}
        }
    }

    /// A stream was answered to its end.
    pub(super) fn answered(&mut self) {
        self.resets.earn(1);
    }

    fn reset(&mut self) {
        if !self.resets.spend(1) {
            self.flood = self.flood.or(Some(Flood::Resets));
        }
    }

    fn carries_nothing(&mut self, cost: u32) {
        if !self.overhead.spend(cost) {
            self.flood = self.flood.or(Some(Flood::Overhead));
        }
    }
}

/// A stock that fills up.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    per_second: u32,
    /// When time was counted last.
    since: Instant,
}

impl Allowance {
    fn earn(&mut self, more: u32) {
        self.left = (self.left + more).min(self.most);
    }

    /// Whether there was as much.
    fn spend(&mut self, cost: u32) -> bool {
        if self.left < cost {
            self.count_time();
        }
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn count_time(&mut self) {
        let now = Instant::now();
        let won = now.duration_since(self.since).as_millis() * u128::from(self.per_second) / 1000;
        if won > 0 {
            self.since = now;
            self.earn(u32::try_from(won).unwrap_or(self.most).min(self.most));
        }
    }
}

#[cfg(test)]
mod tests;
