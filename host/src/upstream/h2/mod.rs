//! HTTP/2 towards backends, on the `h2` crate: one task for each connection, none for a stream. The requests of a worker to
//! one backend share a few [`session`]s; who finds all places taken waits, within limits, in the [`share`]. An
//! [`exchange`] is a stream, used directly as the answer's body.

mod ask;
mod exchange;
mod head;
mod pulse;
mod session;
mod share;
#[cfg(test)]
mod tests;
mod upload;

pub(super) use ask::{Answered, Question, ask};
pub(super) use exchange::Exchange;
pub(super) use session::Place;
pub(super) use share::{Reached, Share};

use super::error::ErrorKind;
use h2::{Error, Reason};
use std::io;

/// What a stream's error says about the request: whether the backend saw it, and who is to blame.
fn kind(error: Error) -> ErrorKind {
    let from_backend = error.is_remote();
    // A stream gets the backend's GOAWAY as its error only when its number is above the last one that was looked at.
    if error.is_go_away() && from_backend {
        return ErrorKind::GoneAway;
    }
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if from_backend => ErrorKind::StreamRefused,
        Some(reason) if from_backend => ErrorKind::StreamReset(reason.description().into()),
        // We ended the connection, with all that was under way there: that is no word about this one request.
        Some(_) if error.is_go_away() => ErrorKind::Broken(io::Error::other(error)),
        Some(_) => ErrorKind::BadStream(error.to_string()),
        None => match error.into_io() {
            Some(error) => ErrorKind::Broken(error),
            None => ErrorKind::Closed,
        },
    }
}
