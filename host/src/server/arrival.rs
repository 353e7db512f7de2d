//! Who a connection is from and where it was made to: what the socket says, or, on a listener that expects it, what a
//! trusted proxy says in the PROXY protocol before anything else.

use super::listener::Entrance;
use crate::net::{
    Socket,
    proxy_protocol::{self, BadHead, Ends},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, timeout};

/// Where a connection comes from and leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub peer: SocketAddr,
    /// [`NOBODY`] where it has no address.
    pub local: SocketAddr,
    /// Whether a trusted proxy named both.
    pub is_named: bool,
    /// What is left of the time for the handshake.
    pub handshake: Duration,
}

/// Why a connection is closed before a byte of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Anybody could say anything.
    #[error("it is no trusted proxy")]
    Stranger,
    #[error("no PROXY protocol head within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    BadHead(#[from] BadHead),
}

/// Reads what there is to read of it. Dropping this future closes the connection.
pub(super) async fn arrival(socket: &mut Socket, peer: SocketAddr, entrance: &Entrance) -> Result<Arrival, Refused> {
    let most = entrance.timeout.handshake;
    // Always asked for: a pool may begin to tell its backends while this connection is open.
    let direct = Arrival { peer, local: socket.local(), is_named: false, handshake: most };
    if !entrance.proxy_protocol {
        return Ok(direct);
    }
    if !entrance.policy.trusts(peer.ip()) {
        return Err(Refused::Stranger);
    }
    let begun = Instant::now();
    // Boxed: its buffers would be in the task of every connection.
    let told = timeout(most, Box::pin(proxy_protocol::read(socket))).await.map_err(|_| Refused::Timeout(most))??;
    let handshake = most.saturating_sub(begun.elapsed());
    Ok(match told {
        Some(Ends { source, destination }) => Arrival { peer: source, local: destination, is_named: true, handshake },
        None => Arrival { handshake, ..direct },
    })
}
