//! The one body type of the request path, streaming both ways; nothing here collects a body.

use super::Tunnel;
use bytes::Bytes;
use http::HeaderValue;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// A message's body on its way through, or a short one made here.
#[derive(Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// These bytes; none once they were taken.
    Full(Option<Bytes>),
    /// From the other side, or anything else that streams.
    Stream(Pin<Box<dyn Streaming>>),
    /// Of a request: none. The client would go on with one of these protocols instead of HTTP, if the backend agrees, and
    /// what comes behind the head belongs to the tunnel.
    Upgrade(HeaderValue),
    /// Of an answer: none. The backend has agreed, and whoever sends the answer carries the tunnel behind its head.
    Tunnel(Box<Tunnel>),
}

/// A body that comes piece by piece.
pub trait Streaming: http_body::Body<Data = Bytes, Error = BodyError> {
    /// Called instead of `poll_frame` while nobody can take a piece: what else hangs on this body goes on, such as the
    /// request on its way up beside an answer. An error: the body will not come to its end.
    fn go_on(self: Pin<&mut Self>, _: &mut Context<'_>) -> Result<(), BodyError> {
        Ok(())
    }
}

/// Who is to blame when a body breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Downstream,
    /// The backend.
    Upstream,
}

/// A body that ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct BodyError {
    /// Whose body it was.
    pub side: Side,
    /// What happened.
    pub what: String,
}

impl BodyError {
    /// A body of this side broke off.
    pub fn new(side: Side, what: impl Into<String>) -> BodyError {
        BodyError { side, what: what.into() }
    }
}

impl Body {
    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::Empty } else { Body::Full(Some(bytes)) }
    }

    /// See [`Streaming::go_on`].
    pub fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        match self {
            Body::Stream(body) => body.as_mut().go_on(cx),
            _ => Ok(()),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Empty | Body::Upgrade(_) | Body::Tunnel(_) => Poll::Ready(None),
            Body::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Upgrade(_) | Body::Tunnel(_) => true,
            Body::Full(bytes) => bytes.is_none(),
            Body::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty | Body::Upgrade(_) | Body::Tunnel(_) => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Body::Stream(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Body::Empty => "Body::Empty",
            Body::Full(_) => "Body::Full",
            Body::Stream(_) => "Body::Stream",
            Body::Upgrade(_) => "Body::Upgrade",
            Body::Tunnel(_) => "Body::Tunnel",
        })
    }
}
