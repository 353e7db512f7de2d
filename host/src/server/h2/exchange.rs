//! One request and its answer: one stream of a connection, from its head to the last byte of either.

use super::{
    answer::{Answer, fields, send_head},
    incoming::{Incoming, Invitation},
    outlet::Outlet,
    tunnel::Client,
};
use crate::{
    config::model::{HeadLimit, ListenTimeout},
    net::{Body, Interim, Interims, Request, Response, h1::BadMessage, waits_for_continue},
    server::{pulse::UnderWay, service::Service},
};
use bytes::Bytes;
use h2::{RecvStream, ext::Protocol, server::SendResponse};
use http::{HeaderMap, StatusCode, header};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};

/// Where a stream stands in its connection.
#[derive(Debug)]
pub(super) struct Seat {
    /// Of its bell.
    pub(super) number: usize,
    pub(super) outlet: Rc<Outlet>,
    /// How long a client may leave an answer's window closed, and how far it has to open it.
    pub(super) listen: ListenTimeout,
    pub(super) limit: HeadLimit,
    /// Until this is dropped the request is under way.
    pub(super) under_way: UnderWay,
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
    let invitation = Invitation::new(waits_for_continue(request.headers().get_all(header::EXPECT)));
    let interims = Interims::new(true);
    let (request, carried) = ours(request, &invitation);
    let response = if let Some(bad) = beyond(&request, seat.limit) {
        Some(service.refuse(bad))
    } else {
        // Pinned where it was made: it is large, and moving it would cost more than polling it.
        let mut serving = pin!(service.serve(request, &interims));
        poll_fn(|cx| {
            if respond.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            let response = serving.as_mut().poll(cx);
            if response.is_pending() && invitation.take_wanted() {
                say_before(&mut respond, StatusCode::CONTINUE, HeaderMap::new());
            }
            for Interim { status, headers, .. } in interims.take() {
                say_before(&mut respond, status, headers.into());
            }
            response.map(Some)
        })
        .await
    };
    invitation.withdraw();
    let Some(response) = response else { return End::Broken };
    if let (Body::Tunnel(_), Some(incoming)) = (&response.body, carried) {
        return carry(&*service, response, incoming, respond, seat).await;
    }
    let Some(mut answer) = Answer::begin(&mut respond, response) else { return End::Broken };
    poll_fn(|cx| answer.poll(&seat, cx)).await
}

/// What the listener does not allow. The size of the whole head is the library's to watch.
fn beyond(request: &Request, limit: HeadLimit) -> Option<BadMessage> {
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let too_long = (target > limit.target).then_some(BadMessage::TargetTooLong);
    too_long.or((request.headers.len() > limit.headers).then_some(BadMessage::TooManyFields))
}

/// A request of the library's as ours; with what comes behind its head, if that may become a tunnel.
fn ours(request: http::Request<RecvStream>, invitation: &Rc<Invitation>) -> (Request, Option<RecvStream>) {
    let (parts, body) = request.into_parts();
    let (body, carried) = match parts.extensions.get::<Protocol>().map(|protocol| protocol.as_str().parse()) {
        Some(Ok(protocol)) => (Body::Upgrade(protocol), Some(body)),
        _ if body.is_end_stream() => (Body::Empty, None),
        _ => {
            // What is there is a number: the library resets what it cannot read.
            let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            (Body::Stream(Box::pin(Incoming::new(body, length, invitation.clone()))), None)
        }
    };
    let headers = parts.headers.into();
    (Request { method: parts.method, uri: parts.uri, version: parts.version, headers, body }, carried)
}

/// Sends the head of an answer that opens a tunnel, and carries it to its end.
async fn carry(
    service: &impl Service,
    response: Response,
    incoming: RecvStream,
    mut respond: SendResponse<Bytes>,
    seat: Seat,
) -> End {
    let Response { status, headers, body, .. } = response;
    let fields = fields(headers, status, &body);
    let Some(outgoing) = send_head(&mut respond, status, fields, false) else { return End::Broken };
    if let Body::Tunnel(tunnel) = body {
        let mut client = Client::new(incoming, outgoing, &seat);
        tunnel.carry(&mut client, seat.under_way.drained(|| service.tunnels())).await;
    }
    End::Answered
}

/// Says something before the answer.
fn say_before(respond: &mut SendResponse<Bytes>, status: StatusCode, headers: HeaderMap) {
    let mut interim = http::Response::new(());
    *interim.status_mut() = status;
    *interim.headers_mut() = headers;
    // An error is a stream that has ended: whoever waits for its body hears of it there.
    let _ = respond.send_informational(interim);
}
