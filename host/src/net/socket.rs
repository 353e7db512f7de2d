//! One connected socket, of the network or of a file; what is above it need not know which.

use super::{Address, NOBODY, stream_of_either};
use std::{io, net::SocketAddr};
use tokio::net::{TcpStream, UnixStream};

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

    /// Reads what there is, without waiting; no system call while nothing came.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buffer),
            Socket::Unix(stream) => stream.try_read(buffer),
        }
    }
}
