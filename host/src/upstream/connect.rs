//! A connection to a backend, in time.

use super::error::ErrorKind;
use crate::net::{Address, Socket};
use std::time::Duration;
use tokio::time::timeout;

/// Connects. A dropped future gives the attempt up.
pub(super) async fn connect(address: &Address, limit: Duration) -> Result<Socket, ErrorKind> {
    match timeout(limit, Socket::connect(address)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => Err(ErrorKind::Connect(error)),
        Err(_) => Err(ErrorKind::ConnectTimeout(limit)),
    }
}
