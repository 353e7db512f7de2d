//! The PROXY protocol: a head names the same client however it is cut, ends where it says whatever follows it, and names the
//! same client once it was written again.

use super::pieces::{Pieces, at_once, ways_to_cut};
use crate::net::proxy_protocol::{Ends, Version, head, read};
use std::net::SocketAddr;

/// Stands behind a head: the connection's own first bytes.
const OWN: &[u8] = b"\x16\x03\x01GET / HTTP/1.1\r\n";

/// What proxies send before all else.
pub fn proxy_protocol(bytes: &[u8]) {
    let whole = told(&[bytes]);
    for pieces in ways_to_cut(bytes) {
        assert_eq!(told(&pieces), whole);
    }
    let Ok((ends, rest)) = whole else { return };
    let own = &bytes[..bytes.len() - rest.len()];
    assert!(told(&[&own[..own.len() - 1]]).is_err(), "it ends before its end");
    assert_eq!(told(&[own, OWN]), Ok((ends, OWN.to_vec())), "its end depends on what follows");
    for version in [Version::V1, Version::V2] {
        let written = head(version, ends);
        assert_eq!(told(&[&written, OWN]), Ok((ends.map(as_written), OWN.to_vec())), "{}", written.escape_ascii());
    }
}

/// Whom a head names and what stands behind it, or why it names nobody.
fn told(pieces: &[&[u8]]) -> Result<(Option<Ends>, Vec<u8>), String> {
    let mut connection = Pieces(pieces.iter().copied().collect());
    match at_once(read(&mut connection)) {
        Ok(ends) => Ok((ends, connection.0.into_iter().flatten().copied().collect())),
        Err(error) => Err(error.to_string()),
    }
}

/// An IPv4 address that was written as an IPv6 one is written as itself, where both are.
fn as_written(ends: Ends) -> Ends {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(ends.source), canonical(ends.destination));
    if source.is_ipv4() == destination.is_ipv4() { Ends { source, destination } } else { ends }
}
