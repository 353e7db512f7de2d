//! What the requests of one worker to one backend share: a few sessions, and the order in which those wait who find all
//! places taken. One connects at a time, for the next may find room on what that one brings.

use super::session::{Place, Session};
use crate::config::model::PoolTimeout;
use crate::upstream::{
    Backend,
    error::{Error, ErrorKind},
    stream::Stream,
    transport::{Speaks, Way},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tokio::{
    sync::Notify,
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
    waiting: Cell<usize>,
    news: Notify,
    /// How long a session is kept unused.
    idle: Cell<Duration>,
}

/// What a backend was reached by.
#[derive(Debug)]
pub(in crate::upstream) enum Reached {
    Http1(Stream),
    Http2(Place),
}

impl Share {
    /// Whether the backend agreed on HTTP/1.1 when it was asked last.
    pub(in crate::upstream) fn speaks_http1(&self) -> bool {
        self.speaks.get() == Some(Speaks::Http1)
    }

    /// A place on a session, or a new connection on which HTTP/1.1 was agreed. Waits no longer than for a connect.
    pub(in crate::upstream) async fn checkout(
        self: &Rc<Self>,
        backend: &Backend,
        timeout: &PoolTimeout,
    ) -> Result<Reached, Error> {
        self.idle.set(timeout.idle);
        let limit = timeout.connect;
        let until = Instant::now() + limit;
        loop {
            if self.speaks_http1() || self.may_connect() {
                if let Some(stream) = self.connect(backend, until, limit).await? {
                    return Ok(Reached::Http1(stream));
                }
            } else {
                self.wait(until, limit).await?;
            }
            if let Some(place) = self.place(backend) {
                return Ok(Reached::Http2(place));
            }
        }
    }

    /// A place may be had again.
    pub(super) fn has_room(&self) {
        if self.waiting.get() > 0 {
            self.news.notify_one();
        }
    }

    /// Whoever waits shall look again.
    pub(super) fn changed(&self) {
        self.news.notify_waiters();
    }

    /// Lets go of sessions that are over, or were unused for too long.
    pub(in crate::upstream) fn sweep(&self, now: Instant) {
        let idle = self.idle.get();
        self.sessions.borrow_mut().retain(|session| !session.is_over() && !session.is_stale(now, idle));
    }

    /// Lets go of all sessions; streams under way come to their ends.
    pub(in crate::upstream) fn drain(&self) {
        self.sessions.borrow_mut().clear();
    }

    /// Whether it may be forgotten.
    pub(in crate::upstream) fn is_unused(self: &Rc<Self>) -> bool {
        self.sessions.borrow().is_empty() && Rc::strong_count(self) == 1
    }

    /// A place on a session that is there.
    pub(in crate::upstream) fn place(&self, backend: &Backend) -> Option<Place> {
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|session| session.way.leads_to(backend) && !session.is_over());
        sessions.iter().find_map(Session::place)
    }

    /// A session that has not said how much it takes is waited for.
    fn may_connect(&self) -> bool {
        let sessions = self.sessions.borrow();
        !self.connecting.get() && sessions.len() < SESSIONS_MOST && sessions.iter().all(|session| session.is_settled())
    }

    /// One more session; or a connection on which HTTP/1.1 was agreed.
    async fn connect(
        self: &Rc<Self>,
        backend: &Backend,
        until: Instant,
        limit: Duration,
    ) -> Result<Option<Stream>, Error> {
        let _connecting = Connecting::begin(self);
        let unsent = |kind| Error::new(kind, false);
        let left = until.saturating_duration_since(Instant::now());
        let connected = timeout_at(until, backend.transport.connect(backend, None, left)).await;
        let (stream, speaks) = connected.map_err(|_| unsent(ErrorKind::ConnectTimeout(limit)))?.map_err(unsent)?;
        self.speaks.set(Some(speaks));
        if speaks == Speaks::Http1 {
            return Ok(Some(stream));
        }
        let session = timeout_at(until, Session::open(stream, Way::to(backend), self)).await;
        let session = session.map_err(|_| unsent(ErrorKind::ConnectTimeout(limit)))?.map_err(unsent)?;
        self.sessions.borrow_mut().push(Rc::new(session));
        Ok(None)
    }

    /// Until something changed.
    async fn wait(&self, until: Instant, limit: Duration) -> Result<(), Error> {
        if self.waiting.get() >= WAITING_MOST {
            return Err(Error::new(ErrorKind::TooManyWait, false));
        }
        let _waiting = Waiting::begin(&self.waiting);
        timeout_at(until, self.news.notified()).await.map_err(|_| Error::new(ErrorKind::NoPlace(limit), false))
    }
}

/// While this lives, nobody else connects.
struct Connecting<'a>(&'a Share);

impl<'a> Connecting<'a> {
    fn begin(share: &'a Share) -> Connecting<'a> {
        share.connecting.set(true);
        Connecting(share)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.changed();
    }
}

/// Counts as one while this lives.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn begin(count: &'a Cell<usize>) -> Waiting<'a> {
        count.set(count.get() + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
