//! Version 1: a line such as `PROXY TCP4 192.0.2.1 198.51.100.2 35646 80`.

use super::{BadHead, Ends, LEAST};
use std::{
    fmt::Display,
    io::Write,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};
use tokio::io::{AsyncRead, AsyncReadExt};

const BEGIN: &[u8] = b"PROXY ";
/// Bytes of a line with its end.
const LINE_MOST: usize = 107;

pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let n = bytes.len().min(BEGIN.len());
    bytes[..n] == BEGIN[..n]
}

/// Where the line ends is known at its end only, so that what follows it is read byte by byte.
pub(super) async fn read<S: AsyncRead + Unpin>(begin: [u8; LEAST], stream: &mut S) -> Result<Option<Ends>, BadHead> {
    let mut line = begin.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() == LINE_MOST {
            return Err(BadHead::Malformed("its line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    parse(&line)
}

pub(super) fn parse(line: &[u8]) -> Result<Option<Ends>, BadHead> {
    let wrong = || BadHead::Malformed("its line has another form");
    let line = line.strip_prefix(BEGIN).and_then(|line| line.strip_suffix(b"\r\n")).ok_or_else(wrong)?;
    let line = std::str::from_utf8(line).map_err(|_| wrong())?;
    if line.contains(['\r', '\n']) {
        return Err(wrong());
    }
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    match family {
        // Whatever else it says is to be ignored.
        "UNKNOWN" => Ok(None),
        "TCP4" => ends::<std::net::Ipv4Addr>(rest).map(Some).ok_or_else(wrong),
        "TCP6" => ends::<std::net::Ipv6Addr>(rest).map(Some).ok_or_else(wrong),
        _ => Err(BadHead::Malformed("an unknown kind of address")),
    }
}

fn ends<A: FromStr + Into<IpAddr>>(rest: &str) -> Option<Ends> {
    let mut words = rest.split(' ');
    let source: A = words.next()?.parse().ok()?;
    let destination: A = words.next()?.parse().ok()?;
    let ends = Ends {
        source: SocketAddr::new(source.into(), port(words.next()?)?),
        destination: SocketAddr::new(destination.into(), port(words.next()?)?),
    };
    words.next().is_none().then_some(ends)
}

/// Digits, without a sign and without a zero before others.
fn port(word: &str) -> Option<u16> {
    let port: u16 = word.parse().ok()?;
    (port.to_string() == word).then_some(port)
}

pub(super) fn head(ends: Option<Ends>) -> Vec<u8> {
    let mut head = Vec::with_capacity(LINE_MOST);
    let Some(Ends { source, destination }) = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family: &dyn Display = if source.is_ipv4() { &"TCP4" } else { &"TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    // Writing to a Vec cannot fail.
    let _ = write!(head, "PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    head
}
