//! The one face of both protocols: a request goes out on a connection, and its answer comes.

use super::{Connections, error::ExchangeError, h1, h2};
use crate::{
    figures::Attempt,
    net::{Body, Headers, Interim, Response},
};
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{future::poll_fn, rc::Rc, time::Duration};
use tokio::time::Instant;

/// A request's head as the backend shall get it. The host and what frames the body are written by the codec; where they
/// stand among `headers`, they are left out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// As the client sent it.
    pub method: &'a Method,
    /// Normalised.
    pub target: &'a PathAndQuery,
    /// Becomes `host`, or `:authority`.
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
    /// Bytes of a request's body that have to come in so long, before the answer begins; fewer are none.
    pub least: usize,
    /// When the answer's last byte must be there. Not of a tunnel.
    pub end: Option<Instant>,
    /// Without a byte of a tunnel in either direction.
    pub tunnel: Duration,
    /// From when on a stall of the backend ends the wait for the head; none: never, for the request cannot be repeated.
    pub stall: Option<Instant>,
}

/// A connection to a backend, or a place on one that is shared, for one exchange.
#[derive(Debug)]
pub struct Connection(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Http1 { link: Box<h1::Link>, home: Rc<Connections> },
    Http2(h2::Place),
}

impl Connection {
    /// Sends a request and waits for its answer's head; what the backend says before it goes to `before`. The answer's body
    /// reads from the connection itself, sends what is left of the request's body meanwhile, and gives the connection back
    /// at its end. Dropping this future, or the answer's body before its end, gives the exchange up: an HTTP/1.1 connection
    /// is closed, an HTTP/2 stream reset.
    pub async fn exchange(
        self,
        request: Outgoing<'_>,
        body: Body,
        attempt: Attempt,
        limits: Limits,
        before: &dyn Fn(Interim),
    ) -> Result<Response, ExchangeError> {
        match self.0 {
            Kind::Http1 { link, home } => {
                let mut exchange = h1::Exchange::begin(link, home, request, body, attempt, limits);
                match poll_fn(|cx| exchange.poll_head(before, cx)).await {
                    Ok(head) => Ok(exchange.into_response(head)),
                    Err(kind) => Err(exchange.fail(kind)),
                }
            }
            Kind::Http2(place) => {
                let mut exchange = h2::Exchange::begin(place, request, body, attempt, limits)?;
                match poll_fn(|cx| exchange.poll_head(before, cx)).await {
                    Ok(head) => Ok(exchange.into_response(head)),
                    Err(kind) => Err(exchange.fail(kind)),
                }
            }
        }
    }
}
