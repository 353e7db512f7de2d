//! Kept-alive connections of one worker. Taking one out and putting it back costs a map look-up each: no clock is read,
//! no timer touched, no system call made. Whether a connection died meanwhile is known from the readiness that the
//! runtime has anyway; how long it stood unused is measured by a coarse clock that the sweep moves.

use super::{
    Backend,
    connect::connect,
    error::Error,
    h1::{Connection, Link},
};
use crate::{config::model::PoolTimeout, drain::Live};
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

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
        Rc::new(Connections { kept: RefCell::new(kept) })
    }

    /// A connection to this backend: the one used last, or a new one.
    pub async fn checkout(self: &Rc<Self>, backend: &Arc<Backend>, timeout: &PoolTimeout) -> Result<Connection, Error> {
        match self.take(backend) {
            Some(link) => Ok(Connection::new(link, self.clone())),
            None => self.connect(backend, timeout).await,
        }
    }

    /// A new connection to this backend.
    pub async fn connect(self: &Rc<Self>, backend: &Arc<Backend>, timeout: &PoolTimeout) -> Result<Connection, Error> {
        let stream = connect(&backend.address, timeout.connect).await.map_err(|kind| Error::new(kind, false))?;
        let link = Link::new(stream, backend.id, backend.address.clone(), timeout.idle);
        Ok(Connection::new(Box::new(link), self.clone()))
    }

    /// Closes what stood unused for too long, until the process drains; from then on nothing is kept. Spawned once by
    /// each worker. Dropping this future only stops the closing.
    pub async fn run(self: Rc<Self>, mut live: Live) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                now = ticks.tick() => self.kept.borrow_mut().sweep(now),
                () = live.draining() => return self.kept.borrow_mut().drain(),
            }
        }
    }

    /// Takes a connection back whose exchange is complete in both directions.
    pub(super) fn keep(&self, link: Box<Link>) {
        self.kept.borrow_mut().put(link);
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept.borrow().total
    }

    #[cfg(test)]
    pub(super) fn sweep(&self, now: Instant) {
        self.kept.borrow_mut().sweep(now);
    }

    /// The connection to this backend that was used last and is still good.
    fn take(&self, backend: &Backend) -> Option<Box<Link>> {
        let mut kept = self.kept.borrow_mut();
        loop {
            let link = kept.pop(backend.id)?;
            // A backend that kept its name may have moved.
            if link.is_quiet() && *link.address() == backend.address {
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
            unused.retain(|unused| now < unused.until && unused.link.is_quiet());
            !unused.is_empty()
        });
        self.total = self.by_backend.values().map(Vec::len).sum();
    }

    fn drain(&mut self) {
        self.draining = true;
        self.by_backend.clear();
        self.total = 0;
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
