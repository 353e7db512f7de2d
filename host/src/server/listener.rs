//! A listener on one worker: accepts under limits, and at a drain takes in what waits before it closes.

use super::{Sockets, connection, register::Register};
use crate::{
    config::model::ListenTimeout,
    drain::Live,
    proxy::{Policy, Worker},
    tls,
};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::sleep,
};

/// After an accept that failed for want of files or memory: connections end meanwhile, and the loop does not spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A listener ready to serve.
#[derive(Debug)]
pub struct Listener {
    /// Bound already.
    pub sockets: Sockets,
    /// None: plain HTTP.
    pub tls: Option<tls::Acceptor>,
    /// Limits of a connection's life.
    pub timeout: ListenTimeout,
    /// What is believed of the headers, and passed on.
    pub policy: Policy,
}

/// What the workers share of a listener.
#[derive(Debug)]
pub(super) struct Entrance {
    /// Index of the listener in the configuration.
    pub index: usize,
    pub tls: Option<tls::Acceptor>,
    pub timeout: ListenTimeout,
    pub policy: Policy,
}

/// Where the connections of a listener go on one worker.
#[derive(Debug)]
pub(super) struct Reception {
    pub entrance: Arc<Entrance>,
    pub worker: Rc<Worker>,
    pub register: Rc<Register>,
    pub live: Live,
}

impl Reception {
    /// Accepts until the process drains, and then what still waits. Dropping this future closes the socket; connections
    /// stay.
    pub(super) async fn run(self, socket: TcpListener) {
        let mut live = self.live.clone();
        let mut draining = pin!(live.draining());
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => break,
                accepted = self.accept(&socket) => accepted,
            };
            match accepted {
                Ok((connection, peer)) => {
                    is_failing = false;
                    self.admit(connection, peer);
                }
                // The client was faster: it has left already.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(listener = self.entrance.index, %error, "no connection can be accepted for now");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
        self.admit_queue(socket);
        self.register.drain();
    }

    async fn accept(&self, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        self.register.room().await;
        socket.accept().await
    }

    /// Takes in what waits in the queue, which the kernel would reset when the socket closes; then closes it.
    fn admit_queue(&self, socket: TcpListener) {
        // Asked directly: the runtime may not know yet of the connections that came last.
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((connection, peer)) = socket.accept() {
            let connection = connection.set_nonblocking(true).and_then(|()| TcpStream::from_std(connection));
            if let Ok(connection) = connection {
                self.admit(connection, peer);
            }
        }
    }

    fn admit(&self, connection: TcpStream, peer: SocketAddr) {
        let (entrance, worker) = (self.entrance.clone(), self.worker.clone());
        let place = self.register.enter();
        spawn_local(connection::run(connection, peer, entrance, worker, place, self.live.clone()));
    }
}
