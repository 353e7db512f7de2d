//! The host that a test talks to: one per thread, so tests do not meet.

use crate::{Position, host::log::Level, testing::Request};
use std::cell::RefCell;

thread_local!(static HOST: RefCell<Host> = RefCell::default());

/// The host of this thread, to set what it will answer and to see what it was told.
///
/// ```
/// # use pointsman_sdk::{host::figures, testing};
/// testing::host(|host| host.figures = vec![testing::Figures { in_flight: 2, ..Default::default() }]);
/// assert_eq!(figures::in_flight(0), 2);
/// ```
pub fn host<R>(act: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(act)
}

/// What the plugin is told, and what it said.
#[derive(Debug, Default)]
pub struct Host {
    /// The request at hand.
    pub request: Request,
    /// Where it has been.
    pub tried: Vec<Position>,
    /// Of each backend, by position.
    pub figures: Vec<Figures>,
    /// What the plugin logged.
    pub log: Vec<(Level, String)>,
    /// What the filter answered in place of a backend.
    pub answer: Option<Answer>,
    pub(super) counters: Vec<(String, u64)>,
}

impl Host {
    pub(crate) fn figures(&self, of: Position) -> &Figures {
        match self.figures.get(of as usize) {
            Some(figures) => figures,
            None => panic!("the plugin asked for position {of} of {}; a host stops it here", self.figures.len()),
        }
    }

    pub(crate) fn counter(&mut self, name: &str) -> u32 {
        let known = self.counters.iter().position(|(known, _)| known == name);
        let handle = known.unwrap_or_else(|| {
            self.counters.push((name.to_owned(), 0));
            self.counters.len() - 1
        });
        handle as u32
    }

    pub(crate) fn add(&mut self, counter: u32, delta: u64) -> u64 {
        let Some((_, value)) = self.counters.get_mut(counter as usize) else {
            panic!("counter {counter} is not of this host: make it in `new`, after the bench");
        };
        let before = *value;
        *value = before.wrapping_add(delta);
        before
    }
}

/// Live figures of one backend; by default those of one that has not served yet.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests under way.
    pub in_flight: u32,
    /// Moving average of the time to the first byte.
    pub latency_us: u32,
    /// The same, quick to rise and slow to fall.
    pub peak_latency_us: u32,
    /// Share of attempts that got an answer below 500.
    pub success_permille: u32,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Since it joined.
    pub age_ms: u64,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            in_flight: 0,
            latency_us: 0,
            peak_latency_us: 0,
            success_permille: 1000,
            consecutive_failures: 0,
            age_ms: 0,
        }
    }
}

/// What a filter answered in place of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whole.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: Vec<(String, Vec<u8>)>, body: &[u8]) -> Answer {
        assert!((200..600).contains(&status), "status {status}: a host takes 200 to 599");
        Answer { status, headers, body: body.to_vec() }
    }
}
