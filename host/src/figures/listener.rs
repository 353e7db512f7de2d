//! What is counted of a listener.

use super::{Classes, Count, PerWorker};

/// The counts of one listener. They outlive reloads.
pub type ListenerFigures = PerWorker<ListenerCounts>;

/// What one worker counts of one listener. A new count is a field here, a line in `app/metrics.rs` and a line of the
/// manual's page on metrics.
#[derive(Debug, Default)]
pub struct ListenerCounts {
    /// Connections taken.
    pub accepted: Count,
    /// Of these, those that have ended.
    pub closed: Count,
    /// Connections closed at the door: there were too many.
    pub refused: Count,
    /// HTTP/2 connections ended with `ENHANCE_YOUR_CALM`.
    pub sent_away: Count,
    /// TLS handshakes from the beginning.
    pub handshakes_full: Count,
    /// TLS handshakes that took up an earlier session.
    pub handshakes_resumed: Count,
    /// TLS handshakes that came to no end.
    pub handshakes_failed: Count,
    /// Requests by their answer, errors answered here among them.
    pub answers: Classes,
    /// Requests whose client left before an answer's head.
    pub left: Count,
}
