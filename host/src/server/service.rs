//! hyper's requests into ours, and our answers into hyper's.

use super::{
    listener::Entrance,
    pulse::{Pulse, UnderWay},
};
use crate::{
    net::{Body, BodyError, Connection},
    proxy::{self, Worker},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
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
    pub pulse: Rc<Pulse>,
}

/// An answer's body; its request is under way until it is dropped.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

/// Serves one request. Dropping this future abandons it.
pub(super) async fn serve(session: Rc<Session>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let under_way = UnderWay::begin(&session.pulse);
    let version = request.version();
    let request = request.map(|body| match http_body::Body::is_end_stream(&body) {
        true => Body::Empty,
        false => Body::Incoming(body),
    });
    let response = proxy::serve(&session.worker, &session.entrance.policy, &session.connection, request).await;
    Ok(finished(response, version, under_way))
}

/// The response as hyper shall send it to a request of this version.
pub(super) fn finished(mut response: Response<Body>, version: Version, under_way: UnderWay) -> Response<Answer> {
    // The backend's version ends here: hyper would repeat it to the client.
    *response.version_mut() = Version::HTTP_11;
    // hyper may have read this request before it heard of the drain, and would invite the client to send another.
    if under_way.is_draining() && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Answer { body, _under_way: under_way })
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
