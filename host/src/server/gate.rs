//! Where the connections of a listener come in on one worker.

use super::socket::Bound;
use crate::net::{NOBODY, Socket, SocketFile};
use std::{io, net::SocketAddr, sync::Arc};
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

    /// Takes what still waits; dropping it closes the gate.
    pub(super) fn into_queue(self) -> io::Result<Queue> {
        Ok(Queue(match self {
            Gate::Tcp(listener) => Bound::Tcp(listener.into_std()?),
            Gate::Unix(listener, file) => Bound::Unix(listener.into_std()?, file),
        }))
    }
}

/// Connections that came before a gate is closed. The system is asked directly, for the runtime may not know yet of
/// those that came last.
#[derive(Debug)]
pub(super) struct Queue(Bound);

impl Queue {
    /// The next connection; `WouldBlock` when nobody waits any more.
    pub(super) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Tcp(TcpStream::from_std(stream)?), peer))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(UnixStream::from_std(stream)?), NOBODY))
            }
        }
    }
}
