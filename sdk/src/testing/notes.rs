//! What a balancer said beside its decision.

use crate::Position;

/// How long the text of a rejection may be, in bytes.
const REASON_MAX: usize = 1024;

/// How many backends one decision may rank for its retries.
const PREFERRED_MAX: usize = 8;

/// What the latest pick said beside its decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// What comes back with the outcome.
    pub token: u64,
    /// Whom it would have asked next, in order.
    pub preferred: Vec<Position>,
    /// Seconds, and why.
    pub rejection: Option<(Option<u32>, String)>,
    /// Whom the client is bound to.
    pub stick: Option<Stick>,
    /// Why it chose so.
    pub explanation: Option<String>,
}

/// Whom a client is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stick {
    /// The backend at this position.
    To(Position),
    /// Whoever gets the request.
    Chosen,
}

impl Notes {
    pub(crate) fn prefer(&mut self, of: Position) {
        self.preferred.push(of);
        let fits = self.preferred.len() <= PREFERRED_MAX;
        assert!(fits, "a pick prefers more than {PREFERRED_MAX} backends; a host stops the plugin here");
    }

    pub(crate) fn reject(&mut self, retry_after_s: Option<u32>, reason: &str) {
        let fits = reason.len() <= REASON_MAX && !reason.contains(char::is_control);
        assert!(fits, "a reason is one line of at most {REASON_MAX} bytes; a host stops the plugin here");
        self.rejection = Some((retry_after_s, reason.to_owned()));
    }
}
