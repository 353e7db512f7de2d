//! Requests of a connection into the proxy; for HTTP/2 hyper's into ours, and our answers into hyper's.

use super::{
    listener::Entrance,
    pulse::{Pulse, UnderWay},
};
use crate::{
    net::{Body, BodyError, Connection, h1::BadMessage},
    proxy::{self, Worker},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
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
    fn serve(&self, request: Request<Body>) -> impl Future<Output = Response<Body>>;

    /// What a client gets whose message is none.
    fn refuse(&self, bad: BadMessage) -> Response<Body>;
}

impl Service for Session {
    fn serve(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> {
        proxy::serve(&self.worker, &self.entrance.policy, &self.connection, request)
    }

    fn refuse(&self, bad: BadMessage) -> Response<Body> {
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
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let under_way = UnderWay::begin(&pulse);
    let request = request.map(|body| match http_body::Body::is_end_stream(&body) {
        true => Body::Empty,
        false => Body::Incoming(body),
    });
    let response = service.serve(request).await;
    Ok(response.map(|body| Answer { body, _under_way: under_way }))
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
