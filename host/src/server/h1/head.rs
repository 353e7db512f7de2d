//! A request's head, read so that no other reader can see another request in it.

use crate::{
    config::model::HeadLimit,
    net::{
        Body, Headers, Request,
        h1::{
            BadMessage, Block, Decoder, complaint, fields,
            reading::{self, Message, Reading, lines},
        },
        waits_for_continue,
    },
};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, Uri, Version, header};
use std::mem::MaybeUninit;

/// The first byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a method: the longest that is registered has seventeen.
const METHOD_MOST: usize = 32;
/// How HTTP/2 begins where nobody agreed on it (RFC 9113 §3.4), up to the first empty line.
pub(super) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    /// Without its body; what it would go on with stands there.
    pub(super) request: Request,
    /// Reads the body.
    pub(super) body: Decoder,
    /// Whether the connection may serve another request.
    pub(super) keep: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another protocol: an answer would not be understood.
    Foreign,
    /// HTTP/2, which begins with [`H2_PREFACE`].
    Http2,
    /// A request that is not one.
    Bad(BadMessage),
}

impl From<BadMessage> for Refusal {
    fn from(bad: BadMessage) -> Refusal {
        Refusal::Bad(bad)
    }
}

/// Waits for the head of a request.
#[derive(Debug)]
pub(super) struct HeadReader {
    pub(super) limit: HeadLimit,
    block: Block,
    /// An empty line was read over; one is what old clients send behind a body (RFC 9112 §2.2).
    skipped: bool,
    /// The first line was looked at.
    has_line: bool,
}

impl HeadReader {
    pub(super) fn new(limit: HeadLimit) -> HeadReader {
        HeadReader { limit, block: Block::default(), skipped: false, has_line: false }
    }

    /// Takes the head when all of it is there.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Head>, Refusal> {
        if !self.skipped && buffer.starts_with(b"\r\n") {
            self.skipped = true;
            self.block = Block::default();
            buffer.advance(2);
        }
        begins_well(buffer)?;
        let most = self.limit.head;
        let is_line_too_long = buffer.len() > most && !buffer[..most].contains(&b'\n');
        let too_large = if is_line_too_long { BadMessage::TargetTooLong } else { BadMessage::HeadTooLarge };
        let Some(block) = self.block.take(buffer, most, too_large)? else {
            return self.first_line(buffer);
        };
        *self = HeadReader::new(self.limit);
        if block == H2_PREFACE {
            return Err(Refusal::Http2);
        }
        Ok(Some(parse(block, self.limit)?))
    }

    /// HTTP/0.9 has no version and no headers: nothing would follow its one line.
    fn first_line(&mut self, buffer: &[u8]) -> Result<Option<Head>, Refusal> {
        if !self.has_line
            && let Some(end) = memchr::memchr(b'\n', buffer)
        {
            self.has_line = true;
            let line = buffer[..end].trim_ascii_end();
            if !line.ends_with(b" HTTP/1.1") && !line.ends_with(b" HTTP/1.0") && !H2_PREFACE.starts_with(line) {
                return Err(BadMessage::RequestLine.into());
            }
        }
        Ok(None)
    }
}

/// What is no request is known by its first bytes, and not waited for.
fn begins_well(buffer: &[u8]) -> Result<(), Refusal> {
    let begin = &buffer[..buffer.len().min(METHOD_MOST + 1)];
    let method = begin.split(|&byte| byte == b' ').next().unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match buffer.first() {
        Some(&TLS_HANDSHAKE) => Err(Refusal::Foreign),
        // Half an empty line may be the beginning of a whole one.
        Some(b'\r') if buffer.len() == 1 => Ok(()),
        _ if method.len() <= METHOD_MOST && method.iter().all(is_name) => Ok(()),
        _ => Err(BadMessage::RequestLine.into()),
    }
}

fn parse(block: Bytes, limit: HeadLimit) -> Result<Head, BadMessage> {
    let mut room = [const { MaybeUninit::uninit() }; LINES_MOST];
    let lines = &mut room[..limit.headers.min(LINES_MOST)];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(&block, lines) {
        Ok(httparse::Status::Complete(read)) if read == block.len() => {}
        Ok(_) | Err(httparse::Error::Token) => return Err(BadMessage::RequestLine),
        Err(error) => return Err(complaint(error)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(BadMessage::RequestLine);
    };
    if target.len() > limit.target {
        return Err(BadMessage::TargetTooLong);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| BadMessage::RequestLine)?;
    let uri = uri(&block, target)?;
    let (headers, said) = fields(&block, parsed.headers, version == 0, HEADERS_ADDED)?;
    let body =
        if said.chunked { Decoder::Chunked(Default::default()) } else { Decoder::Exact(said.length.unwrap_or(0)) };
    let expects = version > 0 && !matches!(body, Decoder::Exact(0)) && waits_for_continue(headers.all(&header::EXPECT));
    let keep = !said.close && (version > 0 || said.keep_alive);
    let upgrade = version > 0 && said.upgrade && matches!(body, Decoder::Exact(0));
    let asked = if upgrade { protocols(&headers).map_or(Body::Empty, Body::Upgrade) } else { Body::Empty };
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    Ok(Head { request: Request { method, uri, version, headers, body: asked }, body, keep, expects })
}

/// Room for header lines: no listener allows more.
const LINES_MOST: usize = 512;
/// Room for what the proxy adds to a request's headers, so that the list does not grow.
const HEADERS_ADDED: usize = 4;

/// `http` cuts a fragment off without a word; no target has one.
fn uri(block: &Bytes, target: &str) -> Result<Uri, BadMessage> {
    if target.contains('#') {
        return Err(BadMessage::RequestLine);
    }
    Uri::from_maybe_shared(block.slice_ref(target.as_bytes())).map_err(|_| BadMessage::RequestLine)
}

/// What the client would go on with; none where it says so twice, for backends may read either.
fn protocols(headers: &Headers) -> Option<HeaderValue> {
    let mut lines = headers.all(&header::UPGRADE);
    lines.next().filter(|line| lines.next().is_none() && !line.is_empty()).cloned()
}

/// What is read out of a client's bytes that come in these pieces.
pub fn read_requests<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut reader = HeadReader::new(HeadLimit::default());
    reading::read(pieces, |buffer| {
        let head = match reader.take(buffer) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(Refusal::Foreign | Refusal::Http2) => return Err(None),
            Err(Refusal::Bad(why)) => return Err(Some(why)),
        };
        let request = head.request;
        let first = format!("{} {}", request.method, request.uri);
        let message = Message { first, headers: lines(&request.headers), ..Message::default() };
        Ok(Some((message, head.body, head.keep)))
    })
}

#[cfg(test)]
mod tests;
