//! What a connection becomes once client and backend have agreed on another protocol: bytes both ways, about which the
//! proxy knows nothing. Whoever speaks with the client brings the client's end, over whichever version of HTTP it came.

use super::{
    Socket,
    duplex::{Cut, duplex},
};
use http::HeaderValue;
use socket2::SockRef;
use std::{any::Any, fmt, future::Future, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// What can be closed so that the other side sees it as an accident.
pub trait Abort {
    /// From now on closing resets the connection.
    fn abort(&self);
}

impl Abort for Socket {
    fn abort(&self) {
        if let Socket::Tcp(stream) = self {
            // Should the system refuse, the connection is closed as others are.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// One end of a tunnel.
pub trait TunnelEnd: AsyncRead + AsyncWrite + Abort + Unpin {}
impl<T: AsyncRead + AsyncWrite + Abort + Unpin> TunnelEnd for T {}

/// A tunnel to a backend that waits for its client's end. Dropping it closes the backend's connection.
pub struct Tunnel {
    /// What both have agreed on, as the backend said it.
    pub protocol: HeaderValue,
    /// What the backend sends comes out of it, beginning with what came together with its answer.
    pub backend: Box<dyn TunnelEnd>,
    /// Without a byte in either direction.
    pub idle: Duration,
    /// What the tunnel takes up for as long as it lasts, such as its place among the requests under way.
    pub holds: Option<Box<dyn Any>>,
}

impl Tunnel {
    /// Carries bytes both ways, until both sides have ended, one of them has broken off, nothing moved for too long, or
    /// `told` is ready. The client's end is left to its owner, half closed if the backend has ended; where the backend
    /// broke off it is aborted. Dropping this future closes the backend's connection.
    pub async fn carry(mut self, client: &mut impl TunnelEnd, told: impl Future<Output = ()>) {
        let Err(cut) = duplex(client, &mut self.backend, self.idle, told).await else { return };
        tracing::debug!(protocol = ?self.protocol, "a tunnel was cut: {cut}");
        // Nobody shall take what broke off for what ended.
        match cut {
            Cut::First(_) => self.backend.abort(),
            Cut::Second(_) => client.abort(),
            Cut::Idle(_) | Cut::Told => {}
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tunnel({:?})", self.protocol)
    }
}
