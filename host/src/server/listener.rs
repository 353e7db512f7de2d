//! A listener on one worker: accepts under limits, and at a drain takes in what waits before it closes. How it takes
//! connections in can change while it serves.

use super::{Sockets, connection, gate::Gate, register::Register};
use crate::{
    config::model::{HeadLimit, ListenTimeout},
    drain::{Drain, Live},
    figures::ListenerCounts,
    net::{NOBODY, Socket, TlsFacts},
    proxy::Worker,
    sources::Place,
    state::Policy,
    tls,
};
use arc_swap::ArcSwap;
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::spawn_local,
    time::{Instant, sleep},
};

/// After an accept that failed for want of files or memory: idle connections end meanwhile, and the loop does not spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Between two warnings that accepts fail: while files are short, some succeed in between.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Accepts in a row that may fail before a queue is given up with who waits in it.
const FAILURES_MOST: u32 = 20;

/// A listener ready to serve.
#[derive(Debug)]
pub struct Listener {
    /// Bound already.
    pub sockets: Sockets,
    /// How connections come in.
    pub porter: Arc<Porter>,
}

/// How a listener takes a connection in. A reload replaces it as a whole; a connection keeps the one it came in by.
#[derive(Debug)]
pub struct Entrance {
    /// What routes know the listener by; the same as long as it is open.
    pub number: usize,
    /// None: plain HTTP.
    pub tls: Option<tls::Acceptor>,
    /// Limits of a connection's life.
    pub timeout: ListenTimeout,
    /// Limits of requests' heads.
    pub limit: HeadLimit,
    /// Whether connections begin with a head of the PROXY protocol.
    pub proxy_protocol: bool,
    /// What holds for requests at the time; from then on it is for the snapshots to say.
    pub policy: Arc<Policy>,
}

/// What the workers share of a listener, and `app` changes while they serve.
#[derive(Debug)]
pub struct Porter {
    entrance: ArcSwap<Entrance>,
    /// Who is in has been asked for something else than who comes now.
    renewed: watch::Sender<()>,
    /// What is live: its sockets, and the connections.
    drain: Drain,
}

impl Porter {
    /// Open.
    pub fn new(entrance: Entrance) -> Arc<Porter> {
        let (drain, _) = Drain::new();
        Arc::new(Porter { entrance: ArcSwap::from_pointee(entrance), renewed: watch::Sender::new(()), drain })
    }

    /// How the next connection comes in.
    pub fn entrance(&self) -> Arc<Entrance> {
        self.entrance.load_full()
    }

    /// Has connections come in another way from now on. Those that are open stay as they are.
    pub fn change(&self, entrance: Entrance) {
        self.entrance.store(Arc::new(entrance));
    }

    /// Has those that are in come anew: their connections end when nothing is under way on them.
    pub fn renew(&self) {
        self.renewed.send_replace(());
    }

    /// Takes in what waits and then no more; connections end when nothing is under way on them.
    pub fn close(&self) {
        self.drain.start();
    }

    /// Waits until it is closed and its connections have ended, this long at the most.
    pub async fn closed(&self, most: Duration) {
        self.drain.wait(most).await;
    }

    /// Something of it is live as long as this is.
    pub(super) fn enter(&self) -> Live {
        self.drain.enter()
    }
}

impl Entrance {
    /// Counts a handshake on a worker by how it went.
    pub(super) fn shook<S>(&self, worker: usize, handshake: &Result<(S, TlsFacts), tls::HandshakeError>) {
        let counts = self.policy.figures.of(worker);
        match handshake {
            Ok((_, facts)) if facts.resumed => counts.handshakes_resumed.up(),
            Ok(_) => counts.handshakes_full.up(),
            Err(_) => counts.handshakes_failed.up(),
        }
    }
}

/// Where the connections of a listener go on one worker.
#[derive(Debug)]
pub(super) struct Reception {
    pub porter: Arc<Porter>,
    /// Of the listener.
    pub own: Live,
    pub worker: Rc<Worker>,
    pub register: Rc<Register>,
    /// Of the process.
    pub live: Live,
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    entrance: Arc<Entrance>,
    worker: usize,
    _place: Option<Place>,
    _own: Live,
}

impl Open {
    /// None: there are as many as there may be.
    fn new(entrance: &Arc<Entrance>, own: &Live, worker: usize, peer: SocketAddr) -> Option<Open> {
        let policy = &entrance.policy;
        let counts = policy.figures.of(worker);
        let place = match &policy.sources {
            Some(sources) => {
                // A trusted proxy speaks for many, and who comes over a socket file has no address.
                let place = sources.enter(peer.ip(), peer != NOBODY && !policy.trusts(peer.ip()));
                if place.is_none() {
                    counts.refused.up();
                    return None;
                }
                place
            }
            None => None,
        };
        counts.accepted.up();
        Some(Open { entrance: entrance.clone(), worker, _place: place, _own: own.clone() })
    }

    fn counts(&self) -> &ListenerCounts {
        self.entrance.policy.figures.of(self.worker)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counts().closed.up();
    }
}

impl Reception {
    /// Accepts until the listener or the process drains, and then what still waits. Dropping this future closes the
    /// socket; connections stay.
    pub(super) async fn run(self, gate: Gate) {
        let (mut live, mut own) = (self.live.clone(), self.own.clone());
        let mut renewed = self.porter.renewed.subscribe();
        let mut draining = pin!(async {
            tokio::select! {
                () = live.draining() => {}
                () = own.draining() => {}
            }
        });
        let mut warned: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => break,
                // Never an error: the sender is the porter's, which is held here.
                Ok(()) = renewed.changed() => {
                    self.register.drain(self.porter.entrance().number);
                    continue;
                }
                accepted = self.accept(&gate) => accepted,
            };
            match accepted {
                Ok((connection, peer)) => self.admit(connection, peer),
                // The client was faster: it has left already.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        let listener = &self.porter.entrance().policy.listener;
                        tracing::warn!(%listener, %error, "no connection can be accepted for now");
                    }
                    self.shed();
                    sleep(BACK_OFF).await;
                }
            }
        }
        // What waits in the queue would be reset by the kernel when the socket closes.
        if let Ok(queue) = gate.into_queue() {
            empty(|| queue.accept(), |(connection, peer)| self.admit(connection, peer), || self.shed()).await;
        }
        self.register.drain(self.porter.entrance().number);
    }

    async fn accept(&self, gate: &Gate) -> io::Result<(Socket, SocketAddr)> {
        self.register.room().await;
        gate.accept().await
    }

    /// Files are short: what is idle gives up its own.
    fn shed(&self) {
        self.register.shed();
        self.worker.connections().shed();
    }

    fn admit(&self, connection: Socket, peer: SocketAddr) {
        let (entrance, worker) = (self.porter.entrance(), self.worker.clone());
        let Some(open) = Open::new(&entrance, &self.own, self.worker.index(), peer) else { return };
        let place = self.register.enter(entrance.number);
        spawn_local(connection::run(connection, peer, entrance, worker, place, self.live.clone(), open));
    }
}

/// Takes in all who wait. An accept that fails says nothing about those behind it: the client has left, or files are
/// short.
async fn empty<T>(mut accept: impl FnMut() -> io::Result<T>, mut admit: impl FnMut(T), shed: impl Fn()) {
    let mut failures = 0;
    while failures < FAILURES_MOST {
        match accept() {
            Ok(connection) => {
                failures = 0;
                admit(connection);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                failures += 1;
                shed();
                sleep(BACK_OFF).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is taken in of a queue in which accepts go like this, and how often idle connections ended.
    async fn taken(accepts: impl IntoIterator<Item = Result<u32, ErrorKind>>) -> (Vec<u32>, u32) {
        let mut accepts = accepts.into_iter();
        let (mut taken, shed) = (Vec::new(), std::cell::Cell::new(0));
        let accept = || accepts.next().unwrap_or(Err(ErrorKind::WouldBlock)).map_err(io::Error::from);
        empty(accept, |one| taken.push(one), || shed.set(shed.get() + 1)).await;
        (taken, shed.get())
    }

    #[tokio::test(start_paused = true)]
    async fn one_accept_that_fails_does_not_lose_who_waits_behind_it() {
        let (aborted, no_files) = (Err(ErrorKind::ConnectionAborted), Err(ErrorKind::Other));
        assert_eq!(taken([Ok(1), aborted, Ok(2), no_files, no_files, Ok(3)]).await, (vec![1, 2, 3], 3));
        assert_eq!(taken(std::iter::repeat(no_files)).await, (vec![], FAILURES_MOST), "it comes to an end");
    }
}
