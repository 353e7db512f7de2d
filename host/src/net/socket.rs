//! One connected socket, of the network or of a file; what is above it need not know which.

use super::{Address, NOBODY, stream_of_either};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::{TcpStream, UnixStream};

/// Without a byte until the system asks the other end whether it is still there, and between two such questions.
const PROBED_AFTER: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer before the connection is broken.
const PROBES_MOST: u32 = 3;

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Of the network.
    Tcp(TcpStream),
    /// Of a file.
    Unix(UnixStream),
}

stream_of_either!(Socket: Tcp | Unix);

impl Socket {
    /// Connects. A dropped future gives the attempt up.
    pub async fn connect(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(*address).await?;
                // Heads and short bodies leave at once instead of waiting for the acknowledgement of what went before.
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }

    /// Where the other end connected to; [`NOBODY`] where that has no address.
    pub fn local(&self) -> SocketAddr {
        match self {
            Socket::Tcp(stream) => stream.local_addr().unwrap_or(NOBODY),
            Socket::Unix(_) => NOBODY,
        }
    }

    /// Has the system ask the other end whether it is still there, whenever nothing comes for long: the host may be gone
    /// without a goodbye, while nothing is to be sent that would show it. A limit for what is sent and not acknowledged
    /// (`TCP_USER_TIMEOUT`) would also end what only reads slowly; that has limits of its own.
    pub fn probe(&self) {
        if let Socket::Tcp(stream) = self {
            let how =
                TcpKeepalive::new().with_time(PROBED_AFTER).with_interval(PROBE_INTERVAL).with_retries(PROBES_MOST);
            // Should the system refuse, other limits have to do.
            let _ = SockRef::from(stream).set_tcp_keepalive(&how);
        }
    }

    /// Reads what there is, without waiting; no system call while nothing came.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buffer),
            Socket::Unix(stream) => stream.try_read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_system_asks_a_silent_end_when_told_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = Socket::connect(&listener.local_addr().unwrap().into()).await.unwrap();
        let Socket::Tcp(stream) = &socket else { panic!("of the network") };
        let told = || (SockRef::from(stream).keepalive().unwrap(), SockRef::from(stream).tcp_keepalive_time().unwrap());
        assert!(!told().0);
        socket.probe();
        assert_eq!(told(), (true, PROBED_AFTER));
    }
}
