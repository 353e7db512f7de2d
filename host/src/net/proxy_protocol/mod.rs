//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before the connection's own first byte. One
//! codec for what comes in and what goes out; read strictly, for whoever is believed here names the client.

mod checksum;
mod v1;
mod v2;

use std::{io, net::SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Which of the two is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Whose connection it is, and where it was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// Why a head is none.
#[derive(Debug, thiserror::Error)]
pub enum BadHead {
    /// Another protocol, or a client that came by another way.
    #[error("it does not begin as the PROXY protocol does")]
    NotOne,
    /// It breaks the rules of its version.
    #[error("a malformed PROXY protocol head: {0}")]
    Malformed(&'static str),
    /// It was damaged on its way.
    #[error("the checksum of the PROXY protocol head is wrong")]
    Checksum,
    /// The connection ended or broke.
    #[error("no whole PROXY protocol head: {0}")]
    Broken(#[from] io::Error),
}

/// What both versions have at least, so that so much can be read without reading beyond the head.
const LEAST: usize = 15;

/// Reads a head and not a byte more; none: it says nothing of the client, as that of a health check. Dropping this future
/// loses what was read.
///
/// # Errors
/// It is none, or the connection broke; there is no way on then.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<Ends>, BadHead> {
    let mut begin = [0; LEAST];
    // Byte by byte at first: another protocol may wait for an answer before it has sent so many.
    let mut at = 0;
    while at < LEAST {
        at += match stream.read(&mut begin[at..]).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            n => n,
        };
        if !v1::may_begin(&begin[..at]) && !v2::may_begin(&begin[..at]) {
            return Err(BadHead::NotOne);
        }
    }
    if v1::may_begin(&begin) { v1::read(begin, stream).await } else { v2::read(begin, stream).await }
}

/// A head that tells of this client; none: it says that there is nothing to tell.
pub fn head(version: Version, ends: Option<Ends>) -> Vec<u8> {
    let ends = ends.map(of_one_family);
    match version {
        Version::V1 => v1::head(ends),
        Version::V2 => v2::head(ends),
    }
}

/// A head has room for addresses of one kind.
fn of_one_family(ends: Ends) -> Ends {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(ends.source), canonical(ends.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Ends { source, destination };
    }
    let mapped = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        std::net::IpAddr::V6(_) => address,
    };
    Ends { source: mapped(source), destination: mapped(destination) }
}

#[cfg(test)]
mod tests;
