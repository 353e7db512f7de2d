//! Our own HTTP/1.1 towards clients, the mirror of the codec towards backends: strict where a library repairs what must
//! be refused, and one task per connection without a channel in between.
//!
//! A [`head`] is read from the [`wire`], its body [`incoming`] while the service makes the [`answer`], which goes out
//! on the same wire; behind an answer that switches protocols the wire is one end of a [`tunnel`].

mod answer;
mod head;
mod incoming;
mod tunnel;
mod wire;

use super::{
    connection::Limits,
    pulse::{Pulse, UnderWay},
    service::Service,
    stream::Stream,
};
use crate::net::{Abort, Body, Interims, Request, Response};
pub(super) use answer::Broken;
#[cfg(any(test, fuzzing))]
pub(crate) use answer::written;
use answer::{Answer, Asked, Framing, Next};
use bytes::Bytes;
pub use head::read_requests;
use head::{Head, Refusal};
use http::{Method, Version};
use incoming::Incoming;
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::yield_now,
};
use tunnel::Client;
use wire::Wire;

/// Requests that are served in one turn, where they came together and wait for nothing.
pub(super) const TURN_MOST: u32 = 16;

/// How a conversation ended that did not break off.
pub(super) enum Ended<S> {
    /// With the connection.
    Closed,
    /// With its first word: that, and what came behind it, is HTTP/2.
    Http2(Stream<S>, Bytes),
}

/// Serves requests, one after the other, until the connection ends. Dropping this future closes it as it stands.
pub(super) async fn talk<S>(
    stream: Stream<S>,
    pulse: Rc<Pulse>,
    service: &impl Service,
    limits: Limits<'_>,
) -> Result<Ended<S>, Broken>
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + 'static,
{
    let wire = Rc::new(RefCell::new(Wire::new(stream, limits.limit)));
    let (mut is_first, mut turn) = (true, 0);
    loop {
        let mut waited = false;
        let head = poll_fn(|cx| {
            let head = wire.borrow_mut().poll_head(cx);
            waited |= head.is_pending();
            head
        });
        let head = match head.await {
            Some(Ok(head)) => head,
            Some(Err(Refusal::Http2)) if is_first => match Rc::try_unwrap(wire) {
                Ok(wire) => return Ok(wire.into_inner().into_http2()),
                // Nobody else can hold it before there was a request.
                Err(_) => return Ok(Ended::Closed),
            },
            Some(Err(refusal)) => {
                refuse(&wire, &pulse, service, refusal).await?;
                break;
            }
            None => break,
        };
        is_first = false;
        turn = if waited { 0 } else { turn + 1 };
        if turn == TURN_MOST {
            turn = 0;
            yield_now().await;
        }
        if !serve(&wire, &pulse, service, head).await? {
            break;
        }
        wire.borrow_mut().rest();
    }
    poll_fn(|cx| wire.borrow_mut().poll_close(cx)).await?;
    Ok(Ended::Closed)
}

/// Serves one request; whether the connection goes on.
async fn serve<S>(
    wire: &Rc<RefCell<Wire<S>>>,
    pulse: &Rc<Pulse>,
    service: &impl Service,
    head: Head,
) -> Result<bool, Broken>
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + 'static,
{
    let Head { request, body, keep, expects } = head;
    let asked = Asked { for_head: request.method == Method::HEAD, is_http_1_0: request.version == Version::HTTP_10 };
    let under_way = UnderWay::begin(pulse);
    let number = wire.borrow_mut().begin(body, expects);
    let interims = Interims::new(!asked.is_http_1_0);
    let response = {
        // Pinned where it was made: it is large, and moving it would cost more than polling it.
        let mut serving = pin!(service.serve(with_body(request, wire, number), &interims));
        poll_fn(|cx| {
            let served = serving.as_mut().poll(cx);
            let mut wire = wire.borrow_mut();
            wire.says_before(&interims.take());
            match served {
                Poll::Ready(response) => Poll::Ready(Ok(response)),
                Poll::Pending => wire.poll_unanswered(cx).map(Err),
            }
        })
        .await?
    };
    let close = !keep || under_way.is_draining() || pulse.is_closing();
    let goes_on = match send(wire, response, asked, close).await? {
        Next::Tunnel(tunnel) => {
            tunnel.carry(&mut Client(wire.clone()), under_way.drained(|| service.tunnels())).await;
            false
        }
        Next::Request => true,
        Next::End => false,
    };
    // What is left of the body is waited for no longer than for the next request.
    drop(under_way);
    Ok(goes_on && (wire.borrow().is_done(number) || poll_fn(|cx| wire.borrow_mut().poll_discard(cx)).await))
}

fn with_body<S>(mut request: Request, wire: &Rc<RefCell<Wire<S>>>, number: u64) -> Request
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if !wire.borrow().is_done(number) {
        request.body = Body::Stream(Box::pin(Incoming { wire: wire.clone(), number }));
    }
    request
}

/// Sends an answer, and says what may follow it.
async fn send<S>(wire: &RefCell<Wire<S>>, response: Response, asked: Asked, close: bool) -> Result<Next, Broken>
where
    S: AsyncRead + AsyncWrite + Abort + Unpin,
{
    let framing = Framing::of(&response, asked);
    let mut answer = {
        let mut wire = wire.borrow_mut();
        wire.answers();
        // Also where what is left of the body may still be wanted: nobody knows whether all of it will be.
        let close = close || !wire.can_go_on();
        Answer::begin(wire.outbox().text(), response, framing, asked, close)
    };
    let sent = poll_fn(|cx| answer.poll(wire, cx)).await;
    if sent.is_err() && framing == Framing::UntilClose {
        wire.borrow_mut().abort();
    }
    sent.map(|()| answer.next())
}

/// Says what is wrong, to a client that speaks HTTP.
async fn refuse<S>(
    wire: &RefCell<Wire<S>>,
    pulse: &Rc<Pulse>,
    service: &impl Service,
    refusal: Refusal,
) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Abort + Unpin,
{
    let Refusal::Bad(bad) = refusal else { return Ok(()) };
    let _under_way = UnderWay::begin(pulse);
    let asked = Asked { for_head: false, is_http_1_0: false };
    send(wire, service.refuse(bad), asked, true).await.map(drop)
}
