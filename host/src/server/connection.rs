//! One connection: the handshake, then HTTP/1 or HTTP/2 by what it agreed on, until the client leaves, a limit is
//! reached, or the process drains.

use super::{
    arrival::{Arrival, arrival},
    h1, h2,
    listener::{Entrance, Open},
    pulse::{Pulse, Verdict},
    register::Place,
    service::{Service, Session},
    stream::Stream,
};
use crate::{
    config::model::{HeadLimit, ListenTimeout},
    drain::Live,
    net::{Abort, Connection, Socket},
    proxy::Worker,
};
use bytes::Bytes;
use std::{
    fmt::Display,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};

/// Serves one connection to its end. Dropping this future closes it as it stands. While `_live` lives, so does the
/// drain.
pub(super) async fn run(
    mut socket: Socket,
    peer: SocketAddr,
    entrance: Arc<Entrance>,
    worker: Rc<Worker>,
    place: Place,
    _live: Live,
    _open: Open,
) {
    let (pulse, number) = (&place.pulse, worker.index());
    let limits = Limits { listen: &entrance.timeout, limit: entrance.limit };
    let Arrival { peer, local, is_named, handshake } = match arrival(&mut socket, peer, &entrance).await {
        Ok(arrival) => arrival,
        Err(refused) => return tracing::debug!(%peer, %refused, "no connection"),
    };
    let session = |tls| {
        let connection = Arc::new(Connection::new(entrance.number, peer, tls).to(local).named(is_named));
        Session { worker, entrance: entrance.clone(), connection }
    };
    let Some(tls) = &entrance.tls else {
        return serve_either(socket, pulse, limits, session(None)).await;
    };
    // Boxed: what it needs is given back before the first request, and an idle connection has no room for it.
    let handshake = Box::pin(tls.accept(socket, handshake)).await;
    entrance.shook(number, &handshake);
    match handshake {
        Ok((stream, facts)) if facts.alpn.as_deref() == Some("h2") => {
            serve_http2(stream, pulse, limits, session(Some(facts))).await;
        }
        // Without an agreement on it there is no HTTP/2 (RFC 9113 §3.2).
        Ok((stream, facts)) => drop(serve_http1(stream, pulse, limits, &session(Some(facts))).await),
        Err(error) => tracing::debug!(%peer, %error, "no connection"),
    }
}

/// How long what may take, and how much may come.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) listen: &'a ListenTimeout,
    pub(super) limit: HeadLimit,
}

/// Without TLS there is nothing to agree with: who begins with the words of HTTP/2 knows that it is understood.
async fn serve_either<S>(stream: S, pulse: &Rc<Pulse>, limits: Limits<'_>, service: impl Service)
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + 'static,
{
    if let Some(h1::Ended::Http2(stream, before)) = serve_http1(stream, pulse, limits, &service).await {
        converse(h2::Conversation::new(stream, before, service, limits), pulse, limits).await;
    }
}

async fn serve_http1<S>(
    stream: S,
    pulse: &Rc<Pulse>,
    limits: Limits<'_>,
    service: &impl Service,
) -> Option<h1::Ended<S>>
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + 'static,
{
    let stream = Stream::new(stream, pulse.clone());
    // The pulse tells it when to end.
    drive(h1::talk(stream, pulse.clone(), service, limits), |_| {}, pulse, limits.listen).await
}

async fn serve_http2<S>(stream: S, pulse: &Rc<Pulse>, limits: Limits<'_>, service: impl Service)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let stream = Stream::new(stream, pulse.clone());
    converse(h2::Conversation::new(stream, Bytes::new(), service, limits), pulse, limits).await;
}

async fn converse<S, V>(conversation: h2::Conversation<S, V>, pulse: &Pulse, limits: Limits<'_>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    drive(conversation, |conversation| conversation.get_mut().finish(), pulse, limits.listen).await;
}

/// Lets a conversation go on until it ends, is told to finish, or is cut off. None: it broke off.
async fn drive<C, T, E>(
    conversation: C,
    finish: impl Fn(Pin<&mut C>),
    pulse: &Pulse,
    limits: &ListenTimeout,
) -> Option<T>
where
    C: Future<Output = Result<T, E>>,
    E: Display,
{
    // Boxed: its size would be that of every connection's task, also while it shakes hands.
    let mut conversation = Box::pin(conversation);
    pulse.begins();
    let mut alarm = pin!(sleep_until(Instant::now() + limits.idle));
    let talk = poll_fn(|cx| {
        pulse.wakes(cx.waker());
        loop {
            if let Poll::Ready(ended) = conversation.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            if pulse.shall_finish() {
                pulse.closes();
                finish(conversation.as_mut());
                continue;
            }
            match ready!(poll_limit(pulse, limits, alarm.as_mut(), cx)) {
                Verdict::Finish => {
                    pulse.closes();
                    finish(conversation.as_mut());
                }
                Verdict::Cut => return Poll::Ready(None),
            }
        }
    });
    // Clients break off all the time; what went wrong with a request was answered.
    talk.await?.inspect_err(|error| tracing::trace!(%error, "connection ended")).ok()
}

/// Ready when a limit is reached. The alarm is set again only when a deadline comes closer, or when it rings too early,
/// so that the requests of a busy connection leave it alone.
fn poll_limit(
    pulse: &Pulse,
    limits: &ListenTimeout,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Verdict> {
    loop {
        let Some((at, verdict)) = pulse.deadline(limits) else { return Poll::Pending };
        let rang = alarm.is_elapsed();
        if rang && alarm.deadline() >= at {
            return Poll::Ready(verdict);
        }
        if rang || alarm.deadline() > at {
            alarm.as_mut().reset(at);
        }
        ready!(alarm.as_mut().poll(cx));
    }
}

#[cfg(test)]
mod tests;
