//! What can go wrong between the request and the last byte of its answer's head: what, whose side, may it be tried again.

use crate::{
    figures::{Attempt, Failure, Loss, Outcome},
    net::{BodyError, Side, h1::BadMessage},
};
use rustix::io::Errno;
use std::{io, time::Duration};
use tokio::time::Instant;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// What happened.
    pub kind: ErrorKind,
    /// Whether a byte of the request went out.
    pub sent: bool,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No TCP connection: nobody listens, or no way leads there.
    #[error("connect failed: {0}")]
    Connect(#[source] io::Error),
    /// No TLS on the connection: the certificate is not believed, or the two found nothing in common.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The backend did not agree on the only protocol that was offered.
    #[error("it does not agree on HTTP/2")]
    NotHttp2,
    /// The request would go on with another protocol, and nothing can be upgraded in HTTP/2.
    #[error("the backend speaks HTTP/2 alone, in which no request goes on with another protocol")]
    NoUpgrade,
    /// No connection in time: the host is down, or its queue is full, or it does not answer a handshake.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The backend closed the connection before the end of its answer's head.
    #[error("the backend closed the connection without an answer")]
    Closed,
    /// The connection broke before the end of the answer's head.
    #[error("the connection to the backend broke: {0}")]
    Broken(#[source] io::Error),
    /// The backend ends its connection, and has not looked at this request.
    #[error("the backend is about to close the connection, and did not take the request")]
    GoneAway,
    /// The backend takes no more streams now, and has not looked at this request.
    #[error("the backend refused the stream")]
    StreamRefused,
    /// The backend gave the request up before the end of its answer's head.
    #[error("the backend reset the stream: {0}")]
    StreamReset(String),
    /// What came is not HTTP/2: a buggy backend, or another protocol on that port.
    #[error("bad HTTP/2 from the backend: {0}")]
    BadStream(String),
    /// As many requests are under way on the connections to the backend as it takes.
    #[error("no place on a connection to the backend within {0:?}")]
    NoPlace(Duration),
    /// More wait for a place than may wait.
    #[error("too many requests wait for a place on a connection to the backend")]
    TooManyWait,
    /// As many connections to the backend are open as may be.
    #[error("none of the connections that the backend may have was free within {0:?}")]
    NoConnection(Duration),
    /// No answer in time: the backend hangs, or is overloaded.
    #[error("no answer from the backend in time")]
    HeadTimeout,
    /// No byte came, for this request or another, while other backends answered: it hangs.
    #[error("the backend stalled")]
    Stalled,
    /// The backend stopped taking the request's body.
    #[error("the backend took no byte of the request for {0:?}")]
    SendTimeout(Duration),
    /// What came is not an HTTP/1 answer: a buggy backend, or another protocol on that port.
    #[error("bad answer from the backend: {0}")]
    BadAnswer(#[source] BadMessage),
    /// The client's body broke off.
    #[error("request aborted: {0}")]
    RequestBody(#[source] BodyError),
    /// The client stopped sending its body.
    #[error("the client sent nothing of its request, or next to nothing, for {0:?}")]
    RequestTimeout(Duration),
}

/// When the request may be given to another backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// Any request: this backend saw nothing of it.
    Unsent,
    /// Only one that may be done twice: the backend may have acted on it.
    Idempotent,
    /// None.
    No,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, sent: bool) -> Error {
        Error { kind, sent }
    }

    /// When the request may be given to another backend, as far as this error goes.
    pub fn retry(&self) -> Retry {
        match self.kind {
            // The next backend would be asked in vain.
            _ if self.is_ours() => Retry::No,
            ErrorKind::Connect(_)
            | ErrorKind::ConnectTimeout(_)
            | ErrorKind::Handshake(_)
            | ErrorKind::NotHttp2
            | ErrorKind::GoneAway
            | ErrorKind::StreamRefused
            | ErrorKind::NoPlace(_)
            | ErrorKind::NoConnection(_)
            | ErrorKind::TooManyWait => Retry::Unsent,
            ErrorKind::Closed | ErrorKind::Broken(_) | ErrorKind::BadAnswer(_) | ErrorKind::BadStream(_)
                if !self.sent =>
            {
                Retry::Unsent
            }
            // What one backend answers badly another may answer well; after a timeout there may be time for another attempt,
            // where each has its own.
            ErrorKind::Closed
            | ErrorKind::Broken(_)
            | ErrorKind::BadAnswer(_)
            | ErrorKind::BadStream(_)
            | ErrorKind::StreamReset(_)
            | ErrorKind::HeadTimeout
            | ErrorKind::Stalled => Retry::Idempotent,
            // It would be so again, or there is nobody left to answer.
            ErrorKind::NoUpgrade
            | ErrorKind::SendTimeout(_)
            | ErrorKind::RequestBody(_)
            | ErrorKind::RequestTimeout(_) => Retry::No,
        }
    }

    /// As it is counted.
    pub fn failure(&self) -> Failure {
        match self.kind {
            ErrorKind::Connect(_) => Failure::Connect,
            ErrorKind::Handshake(_) | ErrorKind::NotHttp2 | ErrorKind::NoUpgrade => Failure::Handshake,
            ErrorKind::ConnectTimeout(_)
            | ErrorKind::NoPlace(_)
            | ErrorKind::NoConnection(_)
            | ErrorKind::TooManyWait => Failure::ConnectTimeout,
            ErrorKind::Closed
            | ErrorKind::Broken(_)
            | ErrorKind::GoneAway
            | ErrorKind::StreamRefused
            | ErrorKind::StreamReset(_) => Failure::Closed,
            ErrorKind::HeadTimeout => Failure::HeadTimeout,
            ErrorKind::Stalled => Failure::Stalled,
            ErrorKind::SendTimeout(_) => Failure::SendTimeout,
            ErrorKind::BadAnswer(_) | ErrorKind::BadStream(_) => Failure::BadAnswer,
            ErrorKind::RequestBody(_) | ErrorKind::RequestTimeout(_) => Failure::Client,
        }
    }

    /// As plugins are told.
    pub fn loss(&self) -> Loss {
        match self.failure() {
            _ if self.is_overload() => Loss::OverCapacity,
            Failure::Connect => Loss::Refused,
            Failure::ConnectTimeout => Loss::ConnectTimeout,
            Failure::Handshake => Loss::Tls,
            Failure::Closed => Loss::Reset,
            Failure::HeadTimeout | Failure::Stalled | Failure::SendTimeout => Loss::RequestTimeout,
            Failure::BadAnswer => Loss::BadResponse,
            Failure::Client => Loss::ClientGone,
        }
    }

    /// Says to an attempt that got no connection what that says about the backend.
    pub fn told_unconnected(&self, attempt: &mut Attempt) {
        attempt.ended(self.unconnected(), Instant::now());
        attempt.lost(self.loss());
    }

    /// Who is to blame.
    pub fn side(&self) -> Side {
        match self.kind {
            ErrorKind::RequestBody(_) | ErrorKind::RequestTimeout(_) => Side::Downstream,
            _ => Side::Upstream,
        }
    }

    /// Whether this process lacks what a connection needs: that says nothing about the backend.
    pub fn is_ours(&self) -> bool {
        matches!(&self.kind, ErrorKind::Connect(error) if is_ours(error))
    }

    /// What it says about a backend to which there is no connection. Our own limits, and what the client wanted of it, say
    /// nothing.
    fn unconnected(&self) -> Outcome {
        let is_nobodys = matches!(
            self.kind,
            ErrorKind::NoUpgrade | ErrorKind::NoPlace(_) | ErrorKind::NoConnection(_) | ErrorKind::TooManyWait
        );
        if self.is_ours() || is_nobodys { Outcome::Abandoned } else { Outcome::Unreached }
    }

    /// Whether a backend is there, and does not say what it should.
    pub fn is_disagreement(&self) -> bool {
        matches!(self.kind, ErrorKind::Handshake(_) | ErrorKind::NotHttp2)
    }

    /// Whether the backend is there and has too much to do: others get more of that by what it cannot take.
    pub fn is_overload(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::StreamRefused | ErrorKind::NoPlace(_) | ErrorKind::NoConnection(_) | ErrorKind::TooManyWait
        )
    }

    /// Whether waiting too long for the backend was the cause.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::ConnectTimeout(_) | ErrorKind::HeadTimeout | ErrorKind::Stalled | ErrorKind::SendTimeout(_)
        )
    }
}

/// No file, buffer or port is left here.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
}

/// An exchange that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ExchangeError {
    /// Why.
    #[source]
    pub error: Error,
    /// Whether any byte of an answer came.
    pub answered: bool,
    /// Whether the connection had served before: then it may have died of old age, and says nothing about the backend.
    pub reused: bool,
}

impl ExchangeError {
    /// Says to the attempt what it says about the backend.
    pub(super) fn told(self, attempt: &mut Attempt) -> ExchangeError {
        attempt.ended(self.outcome(), Instant::now());
        attempt.lost(self.error.loss());
        self
    }

    /// What it says about the backend, over either protocol.
    fn outcome(&self) -> Outcome {
        match self.error.kind {
            _ if self.error.side() == Side::Downstream => Outcome::Abandoned,
            // It goes away in order, or has no room and says so.
            ErrorKind::GoneAway | ErrorKind::StreamRefused => Outcome::Abandoned,
            // Of old age, and all the requests on it at once: the next connection tells more.
            ErrorKind::Closed | ErrorKind::Broken(_) if self.reused && !self.answered => Outcome::Abandoned,
            _ => Outcome::Failed,
        }
    }

    /// Whether it forbids more than the other one: of two losses of one request, that one decides what may follow.
    pub fn is_worse_than(&self, other: &ExchangeError) -> bool {
        let weight = |lost: &ExchangeError| (lost.error.retry(), lost.error.sent);
        weight(self) > weight(other)
    }

    /// The worse of the two; this one where they are alike.
    pub fn or_worse(self, other: ExchangeError) -> ExchangeError {
        if other.is_worse_than(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_blamed_for_what_it_did_alone() {
        let lost = |kind, answered, reused| ExchangeError { error: Error::new(kind, true), answered, reused }.outcome();
        let broken = || ErrorKind::Broken(Errno::CONNRESET.into());
        for (kind, answered, reused, outcome) in [
            (broken(), false, true, Outcome::Abandoned),
            (broken(), false, false, Outcome::Failed),
            (broken(), true, true, Outcome::Failed),
            (ErrorKind::Closed, false, true, Outcome::Abandoned),
            (ErrorKind::GoneAway, false, false, Outcome::Abandoned),
            (ErrorKind::StreamRefused, false, false, Outcome::Abandoned),
            (ErrorKind::RequestTimeout(Duration::ZERO), false, false, Outcome::Abandoned),
            (ErrorKind::HeadTimeout, false, true, Outcome::Failed),
            (ErrorKind::StreamReset(String::new()), false, true, Outcome::Failed),
        ] {
            let told = format!("{kind:?} {answered} {reused}");
            assert_eq!(lost(kind, answered, reused), outcome, "{told}");
        }
        for (kind, outcome) in [
            (ErrorKind::Connect(Errno::CONNREFUSED.into()), Outcome::Unreached),
            (ErrorKind::ConnectTimeout(Duration::ZERO), Outcome::Unreached),
            (ErrorKind::Connect(Errno::MFILE.into()), Outcome::Abandoned),
            (ErrorKind::NoPlace(Duration::ZERO), Outcome::Abandoned),
            (ErrorKind::NoConnection(Duration::ZERO), Outcome::Abandoned),
            (ErrorKind::TooManyWait, Outcome::Abandoned),
            (ErrorKind::NoUpgrade, Outcome::Abandoned),
        ] {
            assert_eq!(Error::new(kind, false).unconnected(), outcome);
        }
    }

    #[test]
    fn our_own_shortage_is_tried_on_no_other_backend() {
        let refused = Error::new(ErrorKind::Connect(Errno::CONNREFUSED.into()), false);
        assert_eq!((refused.is_ours(), refused.retry()), (false, Retry::Unsent));
        let shortage = Error::new(ErrorKind::Connect(Errno::MFILE.into()), false);
        assert_eq!((shortage.is_ours(), shortage.retry()), (true, Retry::No));
    }

    #[test]
    fn of_two_losses_the_one_that_forbids_more_decides() {
        let lost = |kind, sent| ExchangeError { error: Error::new(kind, sent), answered: false, reused: false };
        let refused = || lost(ErrorKind::Connect(Errno::CONNREFUSED.into()), false);
        let bad = |sent| lost(ErrorKind::BadAnswer(BadMessage::NotHttp), sent);
        let ascending = [refused(), bad(true), lost(ErrorKind::SendTimeout(Duration::ZERO), true)];
        for (at, worse) in ascending.iter().enumerate() {
            assert!(ascending[..at].iter().all(|less| worse.is_worse_than(less) && !less.is_worse_than(worse)), "{at}");
        }
        assert!(refused().or_worse(bad(true)).error.sent && bad(true).or_worse(refused()).error.sent);
        assert!(!bad(false).is_worse_than(&refused()), "nobody saw anything of it");
    }
}
