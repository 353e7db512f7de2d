//! Why a request has no backend's answer: what, and whose side is to blame. Status and text follow from it in `respond`.

use crate::{net::Side, upstream};
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
    /// The head is larger than the limit.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// A method that a reverse proxy does not serve.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// A coding or feature that is not offered.
    #[error("not implemented: {0}")]
    NotImplemented(&'static str),
    /// No route matches.
    #[error("no such route")]
    NotFound,
    /// The pool's plugin had it rejected.
    #[error("rejected")]
    Rejected(u16),
    /// A filter cannot say whether the request may pass.
    #[error("a filter of this route is unavailable")]
    FilterUnavailable,
    /// No backend may be chosen.
    #[error("no backend available")]
    NobodyReady,
    /// The backend, or the way to it, failed.
    #[error("{0}")]
    Upstream(#[source] upstream::Error),
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error { kind, pool: None, backend: None }
    }
}

impl Error {
    /// Who is to blame; none: ourselves, or a plugin.
    pub fn side(&self) -> Option<Side> {
        match &self.kind {
            Kind::BadRequest(_)
            | Kind::HeadTooLarge
            | Kind::MethodNotAllowed
            | Kind::NotImplemented(_)
            | Kind::NotFound => Some(Side::Downstream),
            Kind::NobodyReady => Some(Side::Upstream),
            Kind::Upstream(error) => Some(error.side()),
            Kind::Rejected(_) | Kind::FilterUnavailable => None,
        }
    }
}
