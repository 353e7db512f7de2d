//! What is counted of a pool.

use super::{Classes, Count, Histogram, PerWorker};

/// The counts of one pool. They outlive reloads.
pub type PoolFigures = PerWorker<PoolCounts>;

/// What one worker counts of one pool. A new count is a field here, a line in `app/metrics.rs` and a line of the manual's
/// page on metrics.
#[derive(Debug)]
pub struct PoolCounts {
    /// Requests by their answer, errors answered here among them.
    pub answers: Classes,
    /// From a request's head to its answer's.
    pub took: Histogram,
    /// Requests given to another backend after one may have seen them.
    pub retries: Count,
    /// Requests that might have been, but for the budget.
    pub retries_refused: Count,
    /// Requests that were asked of a second backend while the first took its time.
    pub hedges: Count,
    /// Picks that were given to a backend which would have had less than its least share.
    pub share_least: Count,
    /// Picks that were taken from a backend which would have had more than the greatest share.
    pub share_most: Count,
    /// Attempts without an answer, by what happened.
    failures: [Count; Failure::ALL.len()],
}

impl Default for PoolCounts {
    fn default() -> PoolCounts {
        PoolCounts {
            answers: Classes::default(),
            took: Histogram::of_requests(),
            retries: Count::default(),
            retries_refused: Count::default(),
            hedges: Count::default(),
            share_least: Count::default(),
            share_most: Count::default(),
            failures: Default::default(),
        }
    }
}

impl PoolCounts {
    /// One more attempt without an answer.
    pub fn failed(&self, failure: Failure) {
        if let Some(count) = self.failures.get(failure as usize) {
            count.up();
        }
    }

    /// Attempts without an answer for this reason.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures.get(failure as usize).map_or(0, Count::get)
    }
}

/// Why an attempt had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection.
    Connect,
    /// There was none in time.
    ConnectTimeout,
    /// The two sides did not agree on TLS, or on what to speak.
    Handshake,
    /// The connection ended or broke before the answer's head.
    Closed,
    /// The answer's head did not come in time.
    HeadTimeout,
    /// The backend hangs, as others of its requests tell.
    Stalled,
    /// The backend took no byte of the request.
    SendTimeout,
    /// What came is no answer.
    BadAnswer,
    /// The client's body broke off or did not come in time.
    Client,
}

impl Failure {
    /// Each at the place of its number.
    pub const ALL: [Failure; 9] = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::Handshake,
        Failure::Closed,
        Failure::HeadTimeout,
        Failure::Stalled,
        Failure::SendTimeout,
        Failure::BadAnswer,
        Failure::Client,
    ];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::ConnectTimeout => "connect-timeout",
            Failure::Handshake => "handshake",
            Failure::Closed => "closed",
            Failure::HeadTimeout => "head-timeout",
            Failure::Stalled => "stalled",
            Failure::SendTimeout => "send-timeout",
            Failure::BadAnswer => "bad-answer",
            Failure::Client => "client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_the_place_of_its_number() {
        for (number, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, number, "{}", failure.as_str());
        }
    }
}
