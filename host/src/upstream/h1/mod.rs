//! Our HTTP/1.1 codec towards backends, used directly as the answer's body: no task and no channel per connection, which
//! makes a proxied request several microseconds cheaper than a client library with both.
//!
//! An [`exchange`] begins with a head that [`encode`] writes, goes out through [`upload`], is answered by a [`head`],
//! and goes on as the [`answer`]'s body until the connection, a [`link`], is given back; or as a [`tunnel`].

mod answer;
mod encode;
mod exchange;
mod head;
mod link;
mod tunnel;
mod upload;

pub use head::read_answers;
pub(super) use head::{AnswerHead, HeadReader};
pub(super) use link::Link;

use super::{conn_cache::Connections, error::ExchangeError};
use crate::{
    figures::Attempt,
    net::{Body, Headers, Response},
};
use exchange::Exchange;
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{future::poll_fn, rc::Rc, time::Duration};
use tokio::time::Instant;

/// A request's head as the backend shall get it. `host` and what frames the body are written by the codec; where they
/// stand among `headers`, they are left out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// As the client sent it.
    pub method: &'a Method,
    /// Normalised.
    pub target: &'a PathAndQuery,
    /// Becomes `host`.
    pub authority: &'a HeaderValue,
    /// Hop-by-hop headers taken out, forwarding headers put in.
    pub headers: &'a Headers,
}

/// How long one exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When the answer's head must be there. A request with a body has `idle` for each piece of it, and what was left
    /// of this time at the start once more from its end.
    pub head: Instant,
    /// Without a byte of a body in either direction.
    pub idle: Duration,
    /// When the answer's last byte must be there. Not of a tunnel.
    pub end: Option<Instant>,
    /// Without a byte of a tunnel in either direction.
    pub tunnel: Duration,
    /// From when on a stall of the backend ends the wait for the head; none: never, for the request cannot be repeated.
    pub stall: Option<Instant>,
}

/// A connection to a backend, for one exchange.
#[derive(Debug)]
pub struct Connection {
    link: Box<Link>,
    home: Rc<Connections>,
}

impl Connection {
    pub(super) fn new(link: Box<Link>, home: Rc<Connections>) -> Connection {
        Connection { link, home }
    }

    /// Sends a request and waits for its answer's head. The answer's body reads from the connection itself, sends what is
    /// left of the request's body meanwhile, and gives the connection back at its end. Dropping this future, or the
    /// answer's body before its end, closes the connection.
    pub async fn exchange(
        self,
        request: Outgoing<'_>,
        body: Body,
        attempt: Attempt,
        limits: Limits,
    ) -> Result<Response, ExchangeError> {
        let mut exchange = Exchange::begin(self, request, body, attempt, limits);
        match poll_fn(|cx| exchange.poll_head(cx)).await {
            Ok(head) => Ok(exchange.into_response(head)),
            Err(kind) => Err(exchange.fail(kind)),
        }
    }
}
