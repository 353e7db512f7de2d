//! Where the connections of a listener come in on one worker.

use super::socket::Bound;
use crate::net::{NOBODY, Socket, SocketFile};
use std::{io, iter, net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listening socket inside a worker's runtime.
#[derive(Debug)]
pub(super) enum Gate {
    Tcp(TcpListener),
    Unix(UnixListener, Arc<SocketFile>),
}

impl Gate {
    /// Only inside a runtime.
    pub(super) fn open(bound: Bound) -> io::Result<Gate> {
        Ok(match bound {
            Bound::Tcp(listener) => Gate::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Gate::Unix(UnixListener::from_std(listener)?, file),
        })
    }

    /// The next connection, and who is at its other end.
    pub(super) async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Gate::Tcp(listener) => listener.accept().await.map(|(stream, peer)| (Socket::Tcp(stream), peer)),
            Gate::Unix(listener, _) => listener.accept().await.map(|(stream, _)| (Socket::Unix(stream), NOBODY)),
        }
    }

    /// What still waits, and then the gate is closed. The system is asked directly, for the runtime may not know yet of
    /// the connections that came last.
    pub(super) fn into_queue(self) -> impl Iterator<Item = (Socket, SocketAddr)> {
        let closed = match self {
            Gate::Tcp(listener) => listener.into_std().map(Bound::Tcp),
            Gate::Unix(listener, file) => listener.into_std().map(|listener| Bound::Unix(listener, file)),
        };
        let closed = closed.ok();
        iter::from_fn(move || {
            let waiting = closed.as_ref()?;
            // One that cannot be taken in is passed over.
            loop {
                let (socket, peer) = waiting.accept()?;
                if let Ok(socket) = socket {
                    return Some((socket, peer));
                }
            }
        })
    }
}

impl Bound {
    /// None: nobody waits.
    fn accept(&self) -> Option<(io::Result<Socket>, SocketAddr)> {
        match self {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().ok()?;
                let nonblocking = stream.set_nonblocking(true);
                Some((nonblocking.and_then(|()| TcpStream::from_std(stream)).map(Socket::Tcp), peer))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept().ok()?;
                let nonblocking = stream.set_nonblocking(true);
                Some((nonblocking.and_then(|()| UnixStream::from_std(stream)).map(Socket::Unix), NOBODY))
            }
        }
    }
}
