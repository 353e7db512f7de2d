//! Version 2: twelve bytes that no other protocol begins with, then lengths, addresses and whatever more its sender has to
//! say.

use super::{BadHead, Ends, LEAST, checksum::crc32c};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, and the length of the rest, which is 64 KiB at the most.
const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// The kind of a checksum among what follows the addresses.
const CHECKSUM: u8 = 0x03;

pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let n = bytes.len().min(SIGNATURE.len());
    bytes[..n] == SIGNATURE[..n]
}

pub(super) async fn read<S: AsyncRead + Unpin>(begin: [u8; LEAST], stream: &mut S) -> Result<Option<Ends>, BadHead> {
    let mut head = begin.to_vec();
    head.push(stream.read_u8().await?);
    let length = u16::from_be_bytes([head[14], head[15]]);
    stream.take(length.into()).read_to_end(&mut head).await?;
    if head.len() < FIXED + usize::from(length) {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    parse(&head)
}

/// A whole head, as long as it says.
pub(super) fn parse(head: &[u8]) -> Result<Option<Ends>, BadHead> {
    let (fixed, rest) = head.split_at_checked(FIXED).ok_or(BadHead::Malformed("it is too short"))?;
    let too_short = || BadHead::Malformed("its addresses are cut off");
    let (ends, more) = match (fixed[12], fixed[13]) {
        (PROXY, TCP4) => {
            let (at, more) = rest.split_first_chunk::<12>().ok_or_else(too_short)?;
            let ip = |n: usize| IpAddr::V4(Ipv4Addr::new(at[n], at[n + 1], at[n + 2], at[n + 3]));
            let port = |n: usize| u16::from_be_bytes([at[n], at[n + 1]]);
            let (source, destination) = (SocketAddr::new(ip(0), port(8)), SocketAddr::new(ip(4), port(10)));
            (Some(Ends { source, destination }), more)
        }
        (PROXY, TCP6) => {
            let (at, more) = rest.split_first_chunk::<36>().ok_or_else(too_short)?;
            let ip = |n: usize| {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&at[n..n + 16]);
                IpAddr::V6(Ipv6Addr::from(bytes))
            };
            let port = |n: usize| u16::from_be_bytes([at[n], at[n + 1]]);
            let (source, destination) = (SocketAddr::new(ip(0), port(32)), SocketAddr::new(ip(16), port(34)));
            (Some(Ends { source, destination }), more)
        }
        // A check of the sender's own, or addresses of a kind that says nothing here: where what follows them begins is
        // not known, and nobody is named by it.
        (LOCAL, _) | (PROXY, _) => return Ok(None),
        _ => return Err(BadHead::Malformed("an unknown version or command")),
    };
    check(head, head.len() - more.len())?;
    Ok(ends)
}

/// Goes over what follows the addresses: kinds, lengths and values, each in its place; a checksum must be right.
fn check(head: &[u8], mut at: usize) -> Result<(), BadHead> {
    while at < head.len() {
        let cut_off = BadHead::Malformed("what follows its addresses is cut off");
        let Some(&[kind, high, low]) = head.get(at..at + 3) else { return Err(cut_off) };
        let (begin, end) = (at + 3, at + 3 + usize::from(u16::from_be_bytes([high, low])));
        let Some(value) = head.get(begin..end) else { return Err(cut_off) };
        if kind == CHECKSUM {
            // It is counted as zeros itself.
            let sum =
                crc32c(head.iter().enumerate().map(|(n, &byte)| if (begin..end).contains(&n) { 0 } else { byte }));
            if value != sum.to_be_bytes() {
                return Err(BadHead::Checksum);
            }
        }
        at = end;
    }
    Ok(())
}

pub(super) fn head(ends: Option<Ends>) -> Vec<u8> {
    let mut head = SIGNATURE.to_vec();
    let Some(Ends { source, destination }) = ends else {
        head.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return head;
    };
    let mut addresses = Vec::with_capacity(36);
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    for address in [source, destination] {
        addresses.extend_from_slice(&address.port().to_be_bytes());
    }
    let family = if source.is_ipv4() { TCP4 } else { TCP6 };
    head.extend_from_slice(&[PROXY, family, 0, addresses.len() as u8]);
    head.extend_from_slice(&addresses);
    head
}
