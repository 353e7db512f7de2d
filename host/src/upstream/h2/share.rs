//! What the requests of one worker to one backend share: a few sessions, and the line in which those wait who find all
//! places taken. What becomes free is handed to the first in the line before anybody else can see it, so nobody is
//! overtaken. One connects at a time, for the next may find room on what that one brings.

use super::session::{Place, Session};
use crate::config::model::PoolTimeout;
use crate::figures::{Opened, Unasked};
use crate::upstream::{
    Backend,
    error::{Error, ErrorKind},
    opening::{self, Leave},
    stream::Stream,
    transport::{Purpose, Speaks, Way},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// Connections of one worker to one backend.
const SESSIONS_MOST: usize = 4;
/// Requests of one worker that wait for a place at one backend.
const WAITING_MOST: usize = 1024;

/// Sessions of one worker with one backend.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Share {
    sessions: RefCell<Vec<Rc<Session>>>,
    /// Somebody connects.
    connecting: Cell<bool>,
    /// What the backend agreed on last.
    speaks: Cell<Option<Speaks>>,
    /// First come, first served. While somebody stands here no place is free, and nobody may connect.
    line: RefCell<VecDeque<Waiting>>,
    /// How long a session is kept unused.
    idle: Cell<Duration>,
    /// When it has been unused for too long; none: it was used since the last look.
    until: Cell<Option<Instant>>,
}

/// What a backend was reached by.
#[derive(Debug)]
pub(in crate::upstream) enum Reached {
    Http1(Stream, Opened),
    Http2(Place),
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    backend: Arc<Backend>,
    call: oneshot::Sender<Turn>,
}

/// What a request is called for.
#[derive(Debug)]
enum Turn {
    Place(Place),
    /// It may connect.
    Connect(Connecting),
    /// The backend speaks HTTP/1.1: each connects for itself.
    Alone,
}

impl Share {
    /// Whether the backend agreed on HTTP/1.1 when it was asked last.
    pub(in crate::upstream) fn speaks_http1(&self) -> bool {
        self.speaks.get() == Some(Speaks::Http1)
    }

    /// A place on a session, or a new connection on which HTTP/1.1 was agreed. Waits no longer than for a connect.
    pub(in crate::upstream) async fn checkout(
        self: &Rc<Self>,
        backend: &Arc<Backend>,
        timeout: &PoolTimeout,
    ) -> Result<Reached, Error> {
        self.idle.set(timeout.idle);
        let until = Instant::now() + timeout.connect;
        loop {
            let (turn, has_waited) = match self.turn(backend) {
                Some(turn) => (turn, false),
                None => (self.wait(backend, until, timeout.connect).await?, true),
            };
            // Held until the session stands, and has its first stream.
            let _connecting = match turn {
                Turn::Place(place) => return Ok(Reached::Http2(place)),
                Turn::Connect(connecting) => Some(connecting),
                Turn::Alone => None,
            };
            let connected = self.connect(backend, until, timeout).await.map_err(|kind| match kind {
                // It had only the rest of the time.
                ErrorKind::ConnectTimeout(limit) if has_waited => self.in_vain(backend, limit),
                kind => kind,
            });
            if let Some((stream, opened)) = connected.map_err(|kind| Error::new(kind, false))? {
                return Ok(Reached::Http1(stream, opened));
            }
            if let Some(place) = self.place(backend) {
                return Ok(Reached::Http2(place));
            }
        }
    }

    /// A place on a session that is there.
    pub(in crate::upstream) fn place(&self, backend: &Backend) -> Option<Place> {
        self.until.set(None);
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|session| session.way.leads_to(backend) && !session.is_over());
        sessions.iter().find_map(Session::place)
    }

    /// Something may be had again: whoever waits is served, in the order in which they came.
    pub(super) fn serve(self: &Rc<Self>) {
        loop {
            let Some(first) = self.line.borrow_mut().pop_front() else { return };
            if first.call.is_closed() {
                continue;
            }
            let Some(turn) = self.turn(&first.backend) else { return self.line.borrow_mut().push_front(first) };
            // Whoever left gives it back by that.
            drop(first.call.send(turn));
        }
    }

    /// Lets go of sessions that are over, or were unused for too long.
    pub(in crate::upstream) fn sweep(self: &Rc<Self>, now: Instant) {
        let idle = self.idle.get();
        self.sessions.borrow_mut().retain(|session| !session.is_over() && !session.is_stale(now, idle));
        // What is gone makes room for another one.
        self.serve();
    }

    /// Lets go of those that are not used, if another worker waits for a connection.
    pub(in crate::upstream) fn yield_wanted(&self) {
        self.sessions.borrow_mut().retain(|session| !(session.is_unused() && session.way.wanted() > 0));
    }

    /// Lets go of all sessions; streams under way come to their ends.
    pub(in crate::upstream) fn drain(&self) {
        self.sessions.borrow_mut().clear();
    }

    /// Whether it may be forgotten: what the backend speaks is known for as long as connections are kept.
    pub(in crate::upstream) fn is_stale(self: &Rc<Self>, now: Instant) -> bool {
        let until = self.until.get().unwrap_or(now + self.idle.get());
        self.until.set(Some(until));
        now >= until && self.sessions.borrow().is_empty() && Rc::strong_count(self) == 1
    }

    /// What a request may have now.
    fn turn(self: &Rc<Self>, backend: &Backend) -> Option<Turn> {
        if let Some(place) = self.place(backend) {
            return Some(Turn::Place(place));
        }
        if self.speaks_http1() {
            return Some(Turn::Alone);
        }
        self.may_connect(backend).then(|| Turn::Connect(Connecting::begin(self)))
    }

    /// A session that has not said how much it takes is waited for; and where there is one, a place on it, if there may be
    /// no further connection.
    fn may_connect(&self, backend: &Backend) -> bool {
        let sessions = self.sessions.borrow();
        let may_be = sessions.is_empty() || !backend.is_connected_out();
        may_be && !self.connecting.get() && self.has_room() && sessions.iter().all(|session| session.is_settled())
    }

    /// Whether there may be one more session.
    fn has_room(&self) -> bool {
        self.sessions.borrow().len() < SESSIONS_MOST
    }

    /// One more session; or a connection on which HTTP/1.1 was agreed.
    async fn connect(
        self: &Rc<Self>,
        backend: &Backend,
        until: Instant,
        timeout: &PoolTimeout,
    ) -> Result<Option<(Stream, Opened)>, ErrorKind> {
        let Leave { opened, too_late } = opening::open(backend, until, timeout.connect).await?;
        let connecting = async {
            let (stream, speaks) = backend.transport.reach(backend, None, Purpose::Exchange).await?;
            self.speaks.set(Some(speaks));
            if speaks == Speaks::Http1 {
                return Ok(Some((stream, opened)));
            }
            let session = Session::open(stream, Way::to(backend, opened), self, timeout.ping).await?;
            // Where HTTP/1.1 was spoken, many may have connected at the same time.
            if self.has_room() {
                self.sessions.borrow_mut().push(Rc::new(session));
            }
            Ok(None)
        };
        timeout_at(until, connecting).await.unwrap_or_else(|_| Err(too_late(timeout.connect)))
    }

    /// Until it is called.
    async fn wait(&self, backend: &Arc<Backend>, until: Instant, limit: Duration) -> Result<Turn, Error> {
        let called = self.join(backend).ok_or_else(|| Error::new(ErrorKind::TooManyWait, false))?;
        let _unasked = self.is_full(backend).then(|| Unasked::begin(&backend.figures));
        let in_vain = || Error::new(self.in_vain(backend, limit), false);
        timeout_at(until, called).await.ok().and_then(Result::ok).ok_or_else(in_vain)
    }

    /// What it was that took too long.
    fn in_vain(&self, backend: &Backend, limit: Duration) -> ErrorKind {
        if self.is_full(backend) { ErrorKind::NoPlace(limit) } else { ErrorKind::ConnectTimeout(limit) }
    }

    /// Whether the line is for what others have. Behind one that connects first of all it is the backend that all wait for.
    fn is_full(&self, backend: &Backend) -> bool {
        !self.sessions.borrow().is_empty() || backend.is_connected_out()
    }

    /// Joins the line; none: it is too long.
    fn join(&self, backend: &Arc<Backend>) -> Option<oneshot::Receiver<Turn>> {
        let mut line = self.line.borrow_mut();
        if line.len() >= WAITING_MOST {
            line.retain(|waiting| !waiting.call.is_closed());
        }
        let (call, called) = oneshot::channel();
        (line.len() < WAITING_MOST).then(|| line.push_back(Waiting { backend: backend.clone(), call }))?;
        Some(called)
    }
}

/// While this lives, nobody else connects.
#[derive(Debug)]
struct Connecting(Rc<Share>);

impl Connecting {
    fn begin(share: &Rc<Share>) -> Connecting {
        share.connecting.set(true);
        Connecting(share.clone())
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.serve();
    }
}
