//! A TCP connection to a backend, in time.

use super::error::ErrorKind;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Connects. A dropped future gives the attempt up.
pub(super) async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, ErrorKind> {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Heads and short bodies leave at once instead of waiting for the acknowledgement of what went before.
            stream.set_nodelay(true).map_err(ErrorKind::Connect)?;
            Ok(stream)
        }
        Ok(Err(error)) => Err(ErrorKind::Connect(error)),
        Err(_) => Err(ErrorKind::ConnectTimeout(limit)),
    }
}
