//! HTTP/2 towards clients, on the `h2` library: one future per connection, whatever it has under way. A request is an
//! [`exchange`] with a seat and a bell of its own ([`bells`]), so that a wake polls one of them and not all; what they
//! say goes through one [`wire`] in one write. Below the library each frame is counted, and [`calm`] says when a client
//! has sent too many that bring nothing.

mod answer;
mod bells;
mod calm;
mod exchange;
mod frames;
mod incoming;
mod outlet;
mod tunnel;
mod wire;

use super::{
    connection::Limits,
    pulse::{Pulse, UnderWay},
    service::Service,
    stream::Stream,
};
use crate::config::model::{HeadLimit, ListenTimeout};
use bells::Bells;
use bytes::Bytes;
use calm::Flood;
use exchange::{End, Seat};
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, Handshake, SendResponse},
};
use outlet::Outlet;
use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop,
};
use wire::Wire;

/// Requests that one connection has under way.
const STREAMS_MOST: u32 = bells::STREAMS as u32;
/// Bytes that a client may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes that a client may send ahead on all streams of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one answer that wait to go out.
const STREAM_BUFFER_BYTES_MOST: usize = 128 << 10;
/// Streams that we reset and remember, so that what was on its way to them is no mistake.
const REMEMBERED_MOST: usize = bells::STREAMS;
/// How long.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Streams that are polled in one turn: then the other connections of the worker come first.
const TURN_MOST: usize = 32;

/// A connection that ended otherwise than in peace.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Library(#[from] h2::Error),
    #[error("{0}")]
    Write(#[from] io::Error),
}

/// One connection: a future that ends when the connection does. Dropping it closes the connection as it stands.
pub(super) struct Conversation<S, V> {
    wire: Rc<RefCell<Wire<S>>>,
    stage: Stage<S>,
    /// Made at the first poll, which knows the task.
    bells: Option<Bells>,
    exchanges: Exchanges,
    outlet: Rc<Outlet>,
    service: Rc<V>,
    pulse: Rc<Pulse>,
    /// How long a client may take nothing of an answer, and what is nothing.
    listen: ListenTimeout,
    limit: HeadLimit,
    /// It did too much of something.
    is_sent_away: bool,
}

enum Stage<S> {
    Shaking(Handshake<wire::End<S>, Bytes>),
    Talking(Connection<wire::End<S>, Bytes>),
    /// The process drains before the client has said what it speaks.
    Over,
}

/// What came of a turn.
enum Turn {
    /// The connection has ended.
    Ended,
    /// It has more to do, after others.
    Yields,
    /// Nothing is ready.
    Rests,
}

/// What a connection has under way, by seat.
#[derive(Default)]
struct Exchanges {
    seats: Vec<Option<Pin<Box<dyn Future<Output = End>>>>>,
    free: Vec<usize>,
}

impl<S, V> Conversation<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    /// `before`: what was read of the stream already.
    pub(super) fn new(stream: Stream<S>, before: Bytes, service: V, limits: Limits<'_>) -> Conversation<S, V> {
        let pulse = stream.pulse().clone();
        let wire = Rc::new(RefCell::new(Wire::new(stream, before)));
        Conversation {
            stage: Stage::Shaking(settings(limits.limit).handshake(wire::End(wire.clone()))),
            wire,
            bells: None,
            exchanges: Exchanges::default(),
            outlet: Rc::new(Outlet::new()),
            service: Rc::new(service),
            pulse,
            listen: *limits.listen,
            limit: limits.limit,
            is_sent_away: false,
        }
    }

    /// Has the client told to bring no more requests, and ends when those under way have.
    pub(super) fn finish(&mut self) {
        match &mut self.stage {
            Stage::Shaking(_) => self.stage = Stage::Over,
            Stage::Talking(connection) => connection.graceful_shutdown(),
            Stage::Over => {}
        }
        if let Some(bells) = &self.bells {
            bells.ring_frames();
            // Tunnels look whether the process drains.
            (0..self.exchanges.seats.len()).for_each(|number| bells.ring_stream(number));
        }
    }

    /// One turn of the task: until nothing is ready, or until others have to come first.
    fn turn(&mut self, bells: &mut Bells) -> Result<Turn, Broken> {
        self.wire.borrow_mut().begin_turn();
        let mut polls = 0;
        loop {
            while polls < TURN_MOST
                && coop::has_budget_remaining()
                && let Some(number) = bells.take_stream()
            {
                polls += 1;
                self.exchanges.poll(number, bells, &self.wire);
            }
            // After the streams: what they said goes out together.
            if bells.take_frames() && self.poll_frames(bells)?.is_ready() {
                return Ok(Turn::Ended);
            }
            let is_over = polls >= TURN_MOST || !coop::has_budget_remaining();
            if is_over || !bells.is_stream_rung() {
                self.send(bells)?;
            }
            if is_over || (self.wire.borrow().has_read_enough() && !bells.is_stream_rung()) {
                bells.ring_frames();
                return Ok(Turn::Yields);
            }
            if !bells.is_any_rung() {
                return Ok(Turn::Rests);
            }
        }
    }

    /// Reads and writes frames, and takes in new requests; ready at the end of the connection.
    fn poll_frames(&mut self, bells: &mut Bells) -> Poll<Result<(), Broken>> {
        let waker = bells.frames().clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            let connection = match &mut self.stage {
                Stage::Shaking(handshake) => {
                    let connection = ready!(Pin::new(handshake).poll(cx))?;
                    self.stage = Stage::Talking(connection);
                    continue;
                }
                Stage::Talking(connection) => connection,
                Stage::Over => return Poll::Ready(Ok(())),
            };
            let accepted = match self.exchanges.is_full() {
                true => connection.poll_closed(cx).map(|ended| ended.err().map(Err)),
                false => connection.poll_accept(cx),
            };
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond, bells),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broke(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let flood = self.wire.borrow().flood().filter(|_| !self.is_sent_away);
                    let Some(flood) = flood else { return Poll::Pending };
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    self.send_away(flood);
                }
            }
        }
    }

    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>, bells: &Bells) {
        if self.is_sent_away {
            return;
        }
        let number = self.exchanges.take_seat();
        let (outlet, listen, limit) = (self.outlet.clone(), self.listen, self.limit);
        let seat = Seat { number, outlet, listen, limit, under_way: UnderWay::begin(&self.pulse) };
        let exchange = exchange::serve(self.service.clone(), request, respond, seat);
        self.exchanges.seats[number] = Some(Box::pin(exchange));
        bells.ring_stream(number);
    }

    /// What the client asked for is given up at once.
    fn send_away(&mut self, flood: Flood) {
        self.is_sent_away = true;
        self.exchanges = Exchanges::default();
        self.service.sent_away(&flood);
    }

    fn broke(&mut self, error: h2::Error) -> Broken {
        if error.is_go_away() && error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            self.send_away(Flood::Fragments);
        }
        error.into()
    }

    /// Sends what was gathered. Streams that waited for it go on.
    fn send(&mut self, bells: &Bells) -> io::Result<()> {
        let waker = bells.frames().clone();
        let mut wire = self.wire.borrow_mut();
        match wire.poll_out(&mut Context::from_waker(&waker)) {
            Poll::Ready(sent) => {
                self.outlet.open(bells);
                sent
            }
            Poll::Pending => {
                self.outlet.close();
                Ok(())
            }
        }
    }
}

impl<S, V> Future for Conversation<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    type Output = Result<(), Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let this = self.get_mut();
        let mut bells = this.bells.take().unwrap_or_else(|| Bells::new(cx.waker()));
        bells.wake_up(cx.waker());
        let turn = this.turn(&mut bells);
        bells.rest(matches!(turn, Ok(Turn::Yields)));
        this.bells = Some(bells);
        match turn {
            Ok(Turn::Ended) => Poll::Ready(Ok(())),
            Ok(Turn::Yields | Turn::Rests) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Exchanges {
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.seats.len() == bells::STREAMS
    }

    /// Only while there is one.
    fn take_seat(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        })
    }

    fn poll<S>(&mut self, number: usize, bells: &mut Bells, wire: &RefCell<Wire<S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let waker = bells.stream(number).clone();
        // A bell may ring for who is gone.
        let Some(exchange) = self.seats.get_mut(number).and_then(Option::as_mut) else { return };
        let Poll::Ready(end) = exchange.as_mut().poll(&mut Context::from_waker(&waker)) else { return };
        if self.is_full() {
            // Others may wait for the seat.
            bells.ring_frames();
        }
        self.seats[number] = None;
        self.free.push(number);
        if end == End::Answered {
            wire.borrow_mut().answered();
        }
    }
}

fn settings(limit: HeadLimit) -> Builder {
    let mut settings = Builder::new();
    settings
        .max_header_list_size(u32::try_from(limit.head).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MOST)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(STREAM_BUFFER_BYTES_MOST)
        .max_concurrent_reset_streams(REMEMBERED_MOST)
        .reset_stream_duration(REMEMBERED)
        // Both are counted below the library, where time and honest work count too.
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(usize::MAX)
        // RFC 8441.
        .enable_connect_protocol();
    settings
}
