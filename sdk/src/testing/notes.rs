//! What a balancer said beside its decision.

use crate::Position;

/// How long the text of a rejection may be, in bytes.
const REASON_MAX: usize = 1024;

/// What the latest pick said beside its decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
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
    pub(crate) fn reject(&mut self, retry_after_s: Option<u32>, reason: &str) {
        let fits = reason.len() <= REASON_MAX && !reason.contains(char::is_control);
        assert!(fits, "a reason is one line of at most {REASON_MAX} bytes; a host stops the plugin here");
        self.rejection = Some((retry_after_s, reason.to_owned()));
    }
}
