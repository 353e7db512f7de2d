//! Our HTTP/1.1 codec towards backends, used directly as the response's body: no task and no channel per connection.

use super::error::{Error, ErrorKind, ExchangeError};
use crate::{figures::Attempt, net::Body};
use http::{HeaderMap, HeaderValue, Method, Response, uri::PathAndQuery};
use std::time::Duration;
use tokio::time::Instant;

/// Why an answer is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Garbage, or another protocol.
    #[error("it does not begin with an HTTP/1.1 status line")]
    NotHttp,
}

/// A request's head as the backend shall get it. What frames the body (`content-length`, `transfer-encoding`) and `host`
/// are written by the codec and left out of `headers` if they stand there.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// As the client sent it.
    pub method: &'a Method,
    /// Normalised.
    pub target: &'a PathAndQuery,
    /// Becomes `host`.
    pub authority: &'a HeaderValue,
    /// Hop-by-hop headers taken out, forwarding headers put in.
    pub headers: &'a HeaderMap,
}

/// How long one exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When the answer's head must be there. While the client's body is still being sent `idle` holds instead, and the
    /// time left at the start counts again from the body's end.
    pub head: Instant,
    /// Without a byte of a body in either direction.
    pub idle: Duration,
    /// When the answer's last byte must be there.
    pub end: Option<Instant>,
}

/// A connection to a backend, for one exchange.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// Whether it served before.
    pub fn is_reused(&self) -> bool {
        false
    }

    /// Sends a request and waits for its answer's head. The answer's body reads from the connection itself, sends what is
    /// left of the request's body meanwhile, and gives the connection back at its end. Dropping this future, or the
    /// answer's body before its end, closes the connection.
    pub async fn exchange(
        self,
        _request: Outgoing<'_>,
        body: Body,
        _attempt: Attempt,
        _limits: Limits,
    ) -> Result<Response<Body>, ExchangeError> {
        let error = Error::new(ErrorKind::HeadTimeout, false);
        Err(ExchangeError { error, body: Some(body), answered: false, reused: false })
    }
}
