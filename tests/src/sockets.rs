//! Addresses that stay ours while nobody listens on them, so that a backend can die and come back where it was.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted; more than any story opens at once.
const BACKLOG: i32 = 1024;

/// A loopback address on a port that the system chose. Nobody listens there until [`Place::listen`], so connects are
/// refused; and nobody else is given the port while this lives.
#[derive(Debug)]
pub struct Place {
    address: SocketAddr,
    _held: Socket,
}

impl Place {
    /// A fresh one.
    pub fn new() -> Place {
        Place::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// One that another process of ours holds as well.
    pub fn at(address: SocketAddr) -> Place {
        let held = bound(address).expect("a free loopback port");
        let address = held.local_addr().unwrap().as_socket().unwrap();
        Place { address, _held: held }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Somebody listens there from now on, until the listener is dropped.
    pub fn listen(&self) -> TcpListener {
        let socket = bound(self.address).expect("the held port takes a second socket");
        socket.listen(BACKLOG).expect("listen");
        socket.set_nonblocking(true).unwrap();
        TcpListener::from_std(socket.into()).expect("inside a runtime")
    }
}

/// Somebody who listens and never answers: the system takes [`Deaf::PLACES`] connections for it, and no more, so that the
/// next connect hangs as one to a dead host does.
#[derive(Debug)]
pub struct Deaf {
    socket: Socket,
    callers: Vec<Socket>,
}

impl Deaf {
    /// Connects that succeed before [`Deaf::fill`].
    pub const PLACES: i32 = 4;

    /// A fresh one.
    pub fn new() -> Deaf {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free loopback port");
        socket.listen(Deaf::PLACES).expect("listen");
        Deaf { socket, callers: Vec::new() }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    /// Takes all its places, and a few that are not there. Who connects from now on waits.
    pub fn fill(&mut self) {
        for _ in 0..2 * Deaf::PLACES {
            let caller = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            caller.set_nonblocking(true).unwrap();
            // Err: it is under way, as it should be.
            let _ = caller.connect(&self.address().into());
            self.callers.push(caller);
        }
    }
}

impl Default for Deaf {
    fn default() -> Self {
        Deaf::new()
    }
}

impl Default for Place {
    fn default() -> Self {
        Place::new()
    }
}

/// Bound, not listening: such a socket gets no connections, but keeps its port, and lets others of ours share it.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
