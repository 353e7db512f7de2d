//! Answers before the answer (1xx): what a backend hints at while it makes the one that counts, and a client may make
//! use of.

use super::Headers;
use http::{StatusCode, Version};
use std::{
    cell::{Cell, RefCell},
    mem,
};

/// Bytes that are said before one answer. What would go beyond them is left out, for nobody depends on it.
const BYTES_MOST: usize = 16 << 10;
/// What one counts for, however little it says.
const BYTES_LEAST: usize = 64;

/// An answer before the answer: a head alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interim {
    /// Neither 100, which is between two neighbours, nor 101, which is an answer.
    pub status: StatusCode,
    /// What it came in.
    pub version: Version,
    /// All lines but `transfer-encoding`.
    pub headers: Headers,
}

/// Those of one request on their way to its client. Who makes the answer puts them here, and who sends it takes them
/// after each look at the other; as long as there are none it costs nothing.
#[derive(Debug)]
pub struct Interims {
    waiting: RefCell<Vec<Interim>>,
    /// Bytes that may still be said.
    room: Cell<usize>,
    are_any: Cell<bool>,
}

impl Interim {
    /// Of an answer with this status; none: it is for nobody but us, or the one that counts.
    pub fn new(status: StatusCode, version: Version, headers: impl Into<Headers>) -> Option<Interim> {
        let is_hint =
            status.is_informational() && !matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS);
        is_hint.then(|| Interim { status, version, headers: headers.into() })
    }

    fn bytes(&self) -> usize {
        let lines = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        BYTES_LEAST + lines.sum::<usize>()
    }
}

impl Interims {
    /// For a client that understands them, or does not.
    pub fn new(are_understood: bool) -> Interims {
        let room = if are_understood { BYTES_MOST } else { 0 };
        Interims { waiting: RefCell::default(), room: Cell::new(room), are_any: Cell::new(false) }
    }

    /// One more for the client, if there is room.
    pub fn put(&self, interim: Interim) {
        if let Some(left) = self.room.get().checked_sub(interim.bytes()) {
            self.room.set(left);
            self.are_any.set(true);
            self.waiting.borrow_mut().push(interim);
        }
    }

    /// Whether the client was told something, or is about to be.
    pub fn are_any(&self) -> bool {
        self.are_any.get()
    }

    /// From now on nothing is put here.
    pub fn close(&self) {
        self.room.set(0);
    }

    /// Those that came since this was asked last, in order.
    pub fn take(&self) -> Vec<Interim> {
        mem::take(&mut *self.waiting.borrow_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, header};

    fn hint(bytes: usize) -> Interim {
        let mut headers = Headers::default();
        headers.append(header::LINK, HeaderValue::from_str(&"x".repeat(bytes)).unwrap());
        Interim::new(StatusCode::EARLY_HINTS, Version::HTTP_11, headers).unwrap()
    }

    #[test]
    fn little_is_said_before_an_answer_and_in_order() {
        let interims = Interims::new(true);
        interims.put(hint(BYTES_MOST));
        assert!(!interims.are_any(), "it was left out");
        interims.put(hint(10));
        interims.put(hint(BYTES_MOST));
        interims.put(hint(20));
        assert_eq!(interims.take(), [hint(10), hint(20)]);
        (0..BYTES_MOST).for_each(|_| interims.put(hint(0)));
        assert!(interims.take().len() <= BYTES_MOST / BYTES_LEAST);
        interims.close();
        interims.put(hint(0));
        assert_eq!((interims.take(), interims.are_any()), (vec![], true));
        let old = Interims::new(false);
        old.put(hint(0));
        assert!(!old.are_any());
    }

    #[test]
    fn what_is_no_hint_is_none() {
        for (status, is_one) in [(100, false), (101, false), (102, true), (103, true), (199, true), (200, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Interim::new(status, Version::HTTP_11, HeaderMap::new()).is_some(), is_one, "{status}");
        }
    }
}
