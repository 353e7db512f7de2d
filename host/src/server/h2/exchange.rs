//! One request and its answer: one stream of a connection, from its head to the last byte of either.

use super::{
    answer::Answer,
    incoming::{Incoming, Invitation},
    outlet::Outlet,
};
use crate::{
    net::{Body, Request},
    server::{pulse::UnderWay, service::Service},
};
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{StatusCode, header};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

/// Where a stream stands in its connection.
#[derive(Debug)]
pub(super) struct Seat {
    /// Of its bell.
    pub(super) number: usize,
    pub(super) outlet: Rc<Outlet>,
    /// How long a client may leave an answer's window closed.
    pub(super) patience: Duration,
    /// Until this is dropped the request is under way.
    pub(super) _under_way: UnderWay,
}

/// Whether a request was answered to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    /// The client gave it up, or it broke off.
    Broken,
}

/// Serves a request. Dropping this future abandons it.
pub(super) async fn serve(
    service: Rc<impl Service>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seat: Seat,
) -> End {
    let expects = request.headers().get(header::EXPECT).is_some_and(|value| value.as_bytes() == b"100-continue");
    let invitation = Invitation::new(expects);
    let response = {
        // Pinned where it was made: it is large, and moving it would cost more than polling it.
        let mut serving = pin!(service.serve(ours(request, &invitation)));
        poll_fn(|cx| {
            if respond.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            let response = serving.as_mut().poll(cx);
            if response.is_pending() && invitation.take_wanted() {
                invite(&mut respond);
            }
            response.map(Some)
        })
        .await
    };
    invitation.withdraw();
    let Some(response) = response else { return End::Broken };
    let Some(mut answer) = Answer::begin(&mut respond, response) else { return End::Broken };
    poll_fn(|cx| answer.poll(&seat, cx)).await
}

/// A request of the library's as ours.
fn ours(request: http::Request<RecvStream>, invitation: &Rc<Invitation>) -> Request {
    let (parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        Body::Empty
    } else {
        // What is there is a number: the library resets what it cannot read.
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Body::Stream(Box::pin(Incoming::new(body, length, invitation.clone())))
    };
    Request { method: parts.method, uri: parts.uri, version: parts.version, headers: parts.headers.into(), body }
}

/// Tells a client that its body is welcome.
fn invite(respond: &mut SendResponse<Bytes>) {
    let mut interim = http::Response::new(());
    *interim.status_mut() = StatusCode::CONTINUE;
    // An error is a stream that has ended: whoever waits for its body hears of it there.
    let _ = respond.send_informational(interim);
}
