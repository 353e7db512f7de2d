//! One connection: how many streams it has and may have, whether it still serves, and the task that moves its frames.

use super::{
    pulse::{Beat, Listened, Pulse},
    share::Share,
};
use crate::{
    net::h1::HEAD_MOST,
    upstream::{error::ErrorKind, stream::Stream, transport::Way},
};
use bytes::Bytes;
use h2::{
    Ping,
    client::{Builder, Connection, SendRequest},
};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    task::spawn_local,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

/// Streams of one connection at the same time; fewer where the backend says so.
const STREAMS_MOST: usize = 128;
/// Bytes that a backend may send ahead on one stream.
const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes that a backend may send ahead on all streams: so many that a client which takes nothing holds up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MOST as u32;
/// Bytes of a request that wait for the backend to open one stream's window.
const STREAM_BUFFER_MOST: usize = 128 << 10;
/// Streams that we reset and remember, so that what was on its way to them is no mistake.
const REMEMBERED_MOST: usize = 2 * STREAMS_MOST;
/// How long.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Until the backend has said how many streams there may be.
const NOT_SAID: usize = usize::MAX >> 1;

/// A connection on which requests can be sent. It ends when this is dropped and its last stream has ended.
#[derive(Debug)]
pub(super) struct Session {
    sender: RefCell<SendRequest<Bytes>>,
    pub(super) way: Way,
    pub(super) scheme: &'static str,
    state: Rc<State>,
}

/// What the session and its task know.
#[derive(Debug)]
struct State {
    open: Cell<usize>,
    most: Cell<usize>,
    is_over: Cell<bool>,
    has_served: Cell<bool>,
    /// When it has been unused for too long; none: it was used since the last look.
    until: Cell<Option<Instant>>,
    pulse: Rc<Pulse>,
    share: Weak<Share>,
}

/// A place for one stream. Dropping it gives the place back.
#[derive(Debug)]
pub(in crate::upstream) struct Place {
    pub(super) session: Rc<Session>,
    pub(super) reused: bool,
}

impl Session {
    /// Begins to speak HTTP/2 on this stream; `ping`: after how long without a byte it is asked whether it is alive.
    pub(super) async fn open(
        stream: Stream,
        way: Way,
        share: &Rc<Share>,
        ping: Option<Duration>,
    ) -> Result<Session, ErrorKind> {
        let scheme = stream.scheme();
        // For a stream that is silent for longer than PINGs ask.
        stream.probe();
        let pulse = Rc::new(Pulse::default());
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(NOT_SAID)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(STREAM_BUFFER_MOST)
            .max_header_list_size(HEAD_MOST as u32)
            .max_concurrent_reset_streams(REMEMBERED_MOST)
            .reset_stream_duration(REMEMBERED)
            // What comes late for one that is forgotten would be counted for the connection's whole life, until clients that
            // gave up their own requests had ended everybody's.
            .max_local_error_reset_streams(None)
            .handshake::<_, Bytes>(Listened { stream, pulse: pulse.clone() })
            .await
            .map_err(super::kind)?;
        let state = Rc::new(State {
            open: Cell::new(0),
            most: Cell::new(NOT_SAID),
            is_over: Cell::new(false),
            has_served: Cell::new(false),
            until: Cell::new(None),
            pulse,
            share: Rc::downgrade(share),
        });
        spawn_local(drive(connection, state.clone(), ping.map(beats)));
        Ok(Session { sender: RefCell::new(sender), way, scheme, state })
    }

    /// Whether the backend has said how many streams there may be.
    pub(super) fn is_settled(&self) -> bool {
        self.state.most.get() != NOT_SAID
    }

    /// Whether no request can be sent on it any more: it broke, or the backend takes no new streams.
    pub(super) fn is_over(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.sender.borrow_mut().poll_ready(&mut cx);
        self.state.is_over.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    /// A place, if one is free. Before the backend has said how many there are, there is one.
    pub(super) fn place(self: &Rc<Self>) -> Option<Place> {
        let state = &self.state;
        let most = if self.is_settled() { state.most.get().min(STREAMS_MOST) } else { 1 };
        if state.open.get() >= most {
            return None;
        }
        state.open.set(state.open.get() + 1);
        state.until.set(None);
        Some(Place { session: self.clone(), reused: state.has_served.replace(true) })
    }

    /// Whether no stream is open on it.
    pub(super) fn is_unused(&self) -> bool {
        self.state.open.get() == 0
    }

    /// Whether it has been unused for this long.
    pub(super) fn is_stale(&self, now: Instant, idle: Duration) -> bool {
        if self.state.open.get() > 0 {
            return false;
        }
        let until = self.state.until.get().unwrap_or(now + idle);
        self.state.until.set(Some(until));
        now >= until
    }

    /// Where a request is sent.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.borrow().clone()
    }
}

impl Place {
    /// A head or a piece of an answer came.
    pub(super) fn answered(&self) {
        self.session.state.pulse.answered();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.session.state;
        state.open.set(state.open.get() - 1);
        if let Some(share) = state.share.upgrade() {
            share.serve();
        }
    }
}

impl State {
    /// It takes no new streams from now on.
    fn is_over(&self) {
        self.is_over.set(true);
        self.changed();
    }

    fn changed(&self) {
        if let Some(share) = self.share.upgrade() {
            share.serve();
        }
    }
}

/// When a connection's pulse is taken.
fn beats(interval: Duration) -> Interval {
    let mut beats = interval_at(Instant::now() + interval, interval);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// Moves the frames of a connection until it ends. Dropping this future breaks all its streams.
async fn drive(mut connection: Connection<Listened, Bytes>, state: Rc<State>, mut beats: Option<Interval>) {
    let mut pings = connection.ping_pong();
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.err());
        }
        state.most.set(connection.max_concurrent_send_streams());
        // There may be more places; or none any more, after a goodbye, and the next in the line may connect.
        state.changed();
        let (Some(pings), Some(beats)) = (&mut pings, &mut beats) else { return Poll::Pending };
        // That it came is known from its bytes.
        let _ = pings.poll_pong(cx);
        while beats.poll_tick(cx).is_ready() {
            match state.pulse.beat(state.open.get() > 0) {
                Beat::Well => {}
                // Refused while the last one is under way, which is as good.
                Beat::Ask => drop(pings.send_ping(Ping::opaque())),
                Beat::Doubtful => state.is_over(),
                Beat::Dead => return Poll::Ready(None),
            }
        }
        Poll::Pending
    })
    .await;
    if let Some(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection to a backend ended");
    }
    state.is_over();
}
