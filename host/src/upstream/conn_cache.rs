//! Kept-alive connections of one worker. Taking one out and putting it back costs a map look-up each: no clock is read,
//! no timer touched, no system call made. Whether a connection died meanwhile is known from the readiness that the
//! runtime has anyway; how long it stood unused is measured by a coarse clock that the sweep moves.

use super::{
    Backend, Connection,
    connection::Kind,
    error::Error,
    h1::Link,
    h2::{Reached, Share},
    opening::{self, Leave, WANTED},
    stream::Stream,
    transport::Purpose,
};
use crate::{config::model::PoolTimeout, drain::Live, figures::Opened, net::Head};
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Unused connections that one worker keeps to one backend. What comes back beyond it is closed.
const KEPT_PER_BACKEND_MOST: usize = 256;
/// Unused connections that one worker keeps. What comes back beyond it is closed.
const KEPT_MOST: usize = 4096;
/// Between two looks for connections that are closed, or unused for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Kept-alive connections of one worker, by backend.
#[derive(Debug)]
pub struct Connections {
    kept: RefCell<Kept>,
    /// Of backends that may speak HTTP/2.
    shares: RefCell<HashMap<u64, Rc<Share>, BuildHasherDefault<IdHasher>>>,
}

#[derive(Debug)]
struct Kept {
    /// The one used last is last, so that what is not needed stays unused and grows old.
    by_backend: HashMap<u64, Vec<Unused>, BuildHasherDefault<IdHasher>>,
    total: usize,
    /// As of the last sweep.
    now: Instant,
    /// Nothing is kept any more.
    draining: bool,
}

#[derive(Debug)]
struct Unused {
    link: Box<Link>,
    until: Instant,
}

impl Connections {
    /// None yet. Its worker has to spawn [`Connections::run`].
    pub fn new() -> Rc<Connections> {
        let kept = Kept { by_backend: HashMap::default(), total: 0, now: Instant::now(), draining: false };
        Rc::new(Connections { kept: RefCell::new(kept), shares: RefCell::default() })
    }

    /// A connection to this backend: the one used last, a place on one that is shared, or a new one.
    pub async fn checkout(
        self: &Rc<Self>,
        backend: &Arc<Backend>,
        request: &Head,
        purpose: Purpose,
        timeout: &PoolTimeout,
    ) -> Result<Connection, Error> {
        if backend.transport.may_share(purpose) {
            return self.share(backend, timeout, true).await;
        }
        match self.take(backend) {
            Some(link) => Ok(self.exclusive(link)),
            None => self.connect(backend, request, purpose, timeout).await,
        }
    }

    /// A new connection to this backend; where one is shared, a place on one that did not fail.
    pub async fn connect(
        self: &Rc<Self>,
        backend: &Arc<Backend>,
        request: &Head,
        purpose: Purpose,
        timeout: &PoolTimeout,
    ) -> Result<Connection, Error> {
        if backend.transport.may_share(purpose) {
            return self.share(backend, timeout, false).await;
        }
        let until = Instant::now() + timeout.connect;
        let opened = opening::open(backend, until, timeout.connect).await;
        let Leave { opened, too_late } = opened.map_err(|kind| Error::new(kind, false))?;
        let connected = timeout_at(until, backend.transport.reach(backend, Some(request), purpose)).await;
        let connected = connected.unwrap_or_else(|_| Err(too_late(timeout.connect)));
        let (stream, _) = connected.map_err(|kind| Error::new(kind, false))?;
        Ok(self.fresh(stream, opened, backend, timeout))
    }

    /// A place on a connection that others use too, or a connection for one where the backend wants it so.
    async fn share(
        self: &Rc<Self>,
        backend: &Arc<Backend>,
        timeout: &PoolTimeout,
        kept: bool,
    ) -> Result<Connection, Error> {
        let share = self.shares.borrow_mut().entry(backend.id).or_default().clone();
        if let Some(place) = share.place(backend) {
            return Ok(Connection(Kind::Http2(place)));
        }
        if kept
            && share.speaks_http1()
            && let Some(link) = self.take(backend)
        {
            return Ok(self.exclusive(link));
        }
        // Boxed: the future of every request would have to hold what only the first ones need.
        match Box::pin(share.checkout(backend, timeout)).await? {
            Reached::Http1(stream, opened) => Ok(self.fresh(stream, opened, backend, timeout)),
            Reached::Http2(place) => Ok(Connection(Kind::Http2(place))),
        }
    }

    fn fresh(self: &Rc<Self>, stream: Stream, opened: Opened, backend: &Backend, timeout: &PoolTimeout) -> Connection {
        self.exclusive(Box::new(Link::new(stream, backend, opened, timeout.idle)))
    }

    fn exclusive(self: &Rc<Self>, link: Box<Link>) -> Connection {
        Connection(Kind::Http1 { link, home: self.clone() })
    }

    /// Closes what stood unused for too long, until the process drains; from then on nothing is kept. Spawned once by
    /// each worker. Dropping this future only stops the closing.
    pub async fn run(self: Rc<Self>, mut live: Live) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                now = ticks.tick() => self.sweep(now),
                () = WANTED.notified() => self.yield_wanted(),
                () = live.draining() => return self.drain(),
            }
        }
    }

    /// Closes all that are unused: files are short. Those that are shared stay: they are few, and the next request would need
    /// the file at once.
    pub fn shed(&self) {
        self.kept.borrow_mut().shed();
    }

    /// Takes a connection back whose exchange is complete in both directions, and which may serve another client.
    pub(super) fn keep(&self, link: Box<Link>) {
        if link.serves_one || link.wanted() > 0 {
            return;
        }
        self.kept.borrow_mut().put(link);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.borrow().total
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.kept.borrow_mut().sweep(now);
        // A ring may have come while nobody listened.
        self.yield_wanted();
        self.shares.borrow_mut().retain(|_, share| {
            share.sweep(now);
            !share.is_stale(now)
        });
    }

    /// Closes as many unused connections to each backend as other workers wait for.
    fn yield_wanted(&self) {
        self.kept.borrow_mut().yield_wanted();
        self.shares.borrow().values().for_each(|share| share.yield_wanted());
    }

    fn drain(&self) {
        self.kept.borrow_mut().drain();
        self.shares.borrow().values().for_each(|share| share.drain());
    }

    /// The connection to this backend that was used last and is still good.
    fn take(&self, backend: &Backend) -> Option<Box<Link>> {
        let mut kept = self.kept.borrow_mut();
        loop {
            let mut link = kept.pop(backend.id)?;
            if link.is_quiet() && link.leads_to(backend) {
                return Some(link);
            }
        }
    }
}

impl Kept {
    fn put(&mut self, link: Box<Link>) {
        if self.draining || self.total >= KEPT_MOST {
            return;
        }
        let unused = self.by_backend.entry(link.backend()).or_default();
        if unused.len() < KEPT_PER_BACKEND_MOST {
            let until = self.now + link.idle();
            unused.push(Unused { link, until });
            self.total += 1;
        }
    }

    fn pop(&mut self, backend: u64) -> Option<Box<Link>> {
        let unused = self.by_backend.get_mut(&backend)?.pop()?;
        self.total -= 1;
        Some(unused.link)
    }

    fn sweep(&mut self, now: Instant) {
        self.now = now;
        self.by_backend.retain(|_, unused| {
            unused.retain_mut(|unused| now < unused.until && unused.link.is_quiet());
            !unused.is_empty()
        });
        self.total = self.by_backend.values().map(Vec::len).sum();
    }

    fn yield_wanted(&mut self) {
        for unused in self.by_backend.values_mut() {
            // One ring may have been for many.
            let wanted = unused.first().map_or(0, |unused| unused.link.wanted()).min(unused.len());
            // The first were unused for longest.
            unused.drain(..wanted);
            self.total -= wanted;
        }
    }

    fn shed(&mut self) {
        self.by_backend.clear();
        self.total = 0;
    }

    fn drain(&mut self) {
        self.draining = true;
        self.shed();
    }
}

/// Ids are hashes already.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}
