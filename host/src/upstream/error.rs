//! What can go wrong between the request and the last byte of its answer's head: what, whose side, may it be tried again.

use crate::{
    figures::Failure,
    net::{BodyError, Side, h1::BadMessage},
};
use rustix::io::Errno;
use std::{io, time::Duration};

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
    /// No TCP connection in time: the host is down, or its queue is full.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The backend closed the connection before the end of its answer's head.
    #[error("the backend closed the connection without an answer")]
    Closed,
    /// The connection broke before the end of the answer's head.
    #[error("the connection to the backend broke: {0}")]
    Broken(#[source] io::Error),
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
    #[error("the client sent no byte of its request for {0:?}")]
    RequestTimeout(Duration),
}

/// When the request may be given to another backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            ErrorKind::Connect(_) | ErrorKind::ConnectTimeout(_) => Retry::Unsent,
            ErrorKind::Closed | ErrorKind::Broken(_) if !self.sent => Retry::Unsent,
            // After a timeout there may be time for another attempt, where each has its own.
            ErrorKind::Closed | ErrorKind::Broken(_) | ErrorKind::HeadTimeout | ErrorKind::Stalled => Retry::Idempotent,
            // The answer would be bad again, or there is nobody left to answer.
            ErrorKind::SendTimeout(_)
            | ErrorKind::BadAnswer(_)
            | ErrorKind::RequestBody(_)
            | ErrorKind::RequestTimeout(_) => Retry::No,
        }
    }

    /// As it is counted.
    pub fn failure(&self) -> Failure {
        match self.kind {
            ErrorKind::Connect(_) => Failure::Connect,
            ErrorKind::ConnectTimeout(_) => Failure::ConnectTimeout,
            ErrorKind::Closed | ErrorKind::Broken(_) => Failure::Closed,
            ErrorKind::HeadTimeout => Failure::HeadTimeout,
            ErrorKind::Stalled => Failure::Stalled,
            ErrorKind::SendTimeout(_) => Failure::SendTimeout,
            ErrorKind::BadAnswer(_) => Failure::BadAnswer,
            ErrorKind::RequestBody(_) | ErrorKind::RequestTimeout(_) => Failure::Client,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_shortage_is_tried_on_no_other_backend() {
        let refused = Error::new(ErrorKind::Connect(Errno::CONNREFUSED.into()), false);
        assert_eq!((refused.is_ours(), refused.retry()), (false, Retry::Unsent));
        let shortage = Error::new(ErrorKind::Connect(Errno::MFILE.into()), false);
        assert_eq!((shortage.is_ours(), shortage.retry()), (true, Retry::No));
    }
}
