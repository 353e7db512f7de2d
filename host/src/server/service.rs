//! Requests of a connection into the proxy; for HTTP/2 hyper's into ours, and our answers into hyper's.

use super::{
    listener::Entrance,
    pulse::{Pulse, UnderWay},
};
use crate::{
    net::{Body, BodyError, Connection, Request, Response, h1::BadMessage},
    proxy::{self, Worker},
};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

/// What all requests of one connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub worker: Rc<Worker>,
    pub entrance: Arc<Entrance>,
    pub connection: Arc<Connection>,
}

/// Who answers requests.
pub(super) trait Service: 'static {
    /// Serves one request. Dropping the future abandons it.
    fn serve(&self, request: Request) -> impl Future<Output = Response>;

    /// What a client gets whose message is none.
    fn refuse(&self, bad: BadMessage) -> Response;
}

impl Service for Session {
    fn serve(&self, request: Request) -> impl Future<Output = Response> {
        proxy::serve(&self.worker, &self.entrance.policy, &self.connection, request)
    }

    fn refuse(&self, bad: BadMessage) -> Response {
        proxy::refuse(&self.worker, bad)
    }
}

/// An answer's body; its request is under way until it is dropped.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

/// Serves one request of hyper's.
pub(super) async fn serve(
    service: Rc<impl Service>,
    pulse: Rc<Pulse>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Answer>, Infallible> {
    let under_way = UnderWay::begin(&pulse);
    let (parts, body) = request.into_parts();
    let request = Request {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers.into(),
        body: if body.is_end_stream() { Body::Empty } else { Body::Incoming(body) },
    };
    let Response { status, headers, body } = service.serve(request).await;
    let mut response = http::Response::new(Answer { body, _under_way: under_way });
    *response.status_mut() = status;
    *response.headers_mut() = headers.into();
    Ok(response)
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
