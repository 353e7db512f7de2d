//! Why a request has no backend's answer: what, and whose side is to blame. Status and text follow from it in `respond`.

use crate::{
    net::{Side, h1},
    plugin::Rejection,
    upstream,
};
use std::sync::Arc;

/// A request that a backend did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// The pool it was for, once a route had said so.
    pub pool: Option<Arc<str>>,
    /// Who was asked.
    pub backend: Option<Arc<str>>,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
pub enum Kind {
    /// Two parsers could read the request in two ways, or it is no HTTP: a buggy client, or an attack.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// Neither that nor HTTP/1.1 as it stands on the wire.
    #[error("bad request: {0}")]
    Malformed(#[source] h1::BadMessage),
    /// The head is larger than the limit.
    #[error("the request's head is too large: {0}")]
    HeadTooLarge(#[source] h1::BadMessage),
    /// The target is longer than the limit.
    #[error("the request's target is too long")]
    TargetTooLong,
    /// A method that a reverse proxy does not serve.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// No route matches.
    #[error("no such route")]
    NotFound,
    /// The host asks clients for certificates, and the connection was made for another name.
    #[error("misdirected request: this host wants a connection of its own")]
    Misdirected,
    /// Its source asks too often; in so many seconds it may again.
    #[error("too many requests")]
    TooManyRequests(u64),
    /// The pool's plugin had it rejected, with these words if it had any.
    #[error("{}", .1.as_ref().map_or("rejected", |told| told.reason()))]
    Rejected(u16, Option<Box<Rejection>>),
    /// A filter cannot say whether the request may pass.
    #[error("a filter of this route is unavailable")]
    FilterUnavailable,
    /// No backend may be chosen.
    #[error("no backend available")]
    NobodyReady,
    /// The client would speak another protocol from here on, and nobody behind agreed.
    #[error("the backend does not speak that protocol")]
    NotSwitched,
    /// As many requests are under way in this process as may.
    #[error("too many requests at the moment")]
    Overloaded,
    /// As many requests wait for the pool as may.
    #[error("too many requests wait already")]
    QueueFull,
    /// The pool had no room in time.
    #[error("no room for the request in time")]
    WaitedInVain,
    /// The backend, or the way to it, failed.
    #[error("{0}")]
    Upstream(#[source] upstream::Error),
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error { kind, pool: None, backend: None }
    }
}

impl From<h1::BadMessage> for Kind {
    fn from(bad: h1::BadMessage) -> Kind {
        match bad {
            h1::BadMessage::HeadTooLarge | h1::BadMessage::TooManyFields => Kind::HeadTooLarge(bad),
            h1::BadMessage::TargetTooLong => Kind::TargetTooLong,
            bad => Kind::Malformed(bad),
        }
    }
}

impl Error {
    /// Whether the request is no request, and what follows it may be a part of it.
    pub fn is_doubtful(&self) -> bool {
        let is_understood = matches!(self.kind, Kind::NotFound | Kind::Misdirected | Kind::TooManyRequests(_));
        self.side() == Some(Side::Downstream) && !is_understood
    }

    /// Who is to blame; none: ourselves, or a plugin.
    pub fn side(&self) -> Option<Side> {
        match &self.kind {
            Kind::BadRequest(_)
            | Kind::Malformed(_)
            | Kind::HeadTooLarge(_)
            | Kind::TargetTooLong
            | Kind::MethodNotAllowed
            | Kind::NotFound
            | Kind::Misdirected
            | Kind::TooManyRequests(_) => Some(Side::Downstream),
            Kind::NobodyReady | Kind::NotSwitched | Kind::QueueFull | Kind::WaitedInVain => Some(Side::Upstream),
            Kind::Upstream(error) => Some(error.side()),
            Kind::Rejected(..) | Kind::FilterUnavailable | Kind::Overloaded => None,
        }
    }
}
