//! An answer's head: status, headers, and what it says about its body.

use super::{BadAnswer, Block, Decoder, block};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::mem::MaybeUninit;

/// Bytes of one head.
pub(super) const HEAD_MOST: usize = 64 << 10;
/// Answers with a status below 200 before the one that counts.
pub(super) const INTERIMS_MOST: usize = 16;

/// An answer's head.
#[derive(Debug)]
pub(in crate::upstream) struct AnswerHead {
    pub(in crate::upstream) status: StatusCode,
    /// Without `transfer-encoding`: how a message is framed ends at each connection.
    pub(in crate::upstream) headers: HeaderMap,
    /// Reads the body.
    pub(in crate::upstream) decoder: Decoder,
    /// Whether the connection may serve again once the body was read.
    pub(in crate::upstream) keep: bool,
}

/// What the headers say about the message.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

/// Waits for the head of an answer.
#[derive(Debug)]
pub(in crate::upstream) struct HeadReader {
    block: Block,
    interims: usize,
    asked_for_head: bool,
}

impl HeadReader {
    /// `asked_for_head`: the request is `HEAD`, its answer has no body.
    pub(in crate::upstream) fn new(asked_for_head: bool) -> HeadReader {
        HeadReader { block: Block::default(), interims: 0, asked_for_head }
    }

    /// Takes the head when all of it is there. Interim answers before it are read over: nobody waits for them.
    pub(in crate::upstream) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<AnswerHead>, BadAnswer> {
        loop {
            begins_well(buffer)?;
            let Some(block) = self.block.take(buffer, HEAD_MOST, BadAnswer::HeadTooLarge)? else { return Ok(None) };
            if let Some(head) = parse(block, self.asked_for_head)? {
                return Ok(Some(head));
            }
            self.interims += 1;
            if self.interims > INTERIMS_MOST {
                return Err(BadAnswer::TooManyInterims);
            }
        }
    }
}

/// Another protocol is known by its first bytes, and not waited for.
fn begins_well(buffer: &[u8]) -> Result<(), BadAnswer> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let n = buffer.len().min(BEGIN.len());
    if buffer[..n] == BEGIN[..n] { Ok(()) } else { Err(BadAnswer::NotHttp) }
}

/// Reads a head; none when it is an interim one.
fn parse(block: Bytes, asked_for_head: bool) -> Result<Option<AnswerHead>, BadAnswer> {
    let mut lines = [const { MaybeUninit::uninit() }; block::FIELDS_MOST];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut parsed, &block, &mut lines).map_err(block::complaint)? {
        httparse::Status::Complete(read) if read == block.len() => {}
        // The parser skips empty lines before a head; we do not.
        _ => return Err(BadAnswer::NotHttp),
    }
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else { return Err(BadAnswer::NotHttp) };
    let status = StatusCode::from_u16(code).map_err(|_| BadAnswer::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadAnswer::SwitchedProtocols);
    }

    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    let mut said = Said { close: version == 0, ..Said::default() };
    for line in parsed.headers.iter() {
        let (name, value) = block::field(&block, line)?;
        if name == header::CONTENT_LENGTH {
            let length = length(value.as_bytes())?;
            match said.length.replace(length) {
                Some(before) if before != length => return Err(BadAnswer::ContentLength),
                Some(_) => continue,
                None => {}
            }
        } else if name == header::TRANSFER_ENCODING {
            // More than one coding, or the one twice, is more than was asked for. HTTP/1.0 knows none.
            if said.chunked || version == 0 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(BadAnswer::TransferEncoding);
            }
            said.chunked = true;
            continue;
        } else if name == header::CONNECTION {
            said.close |= has_token(&value, b"close");
        }
        block::append(&mut headers, name, value)?;
    }
    if said.chunked && said.length.is_some() {
        return Err(BadAnswer::LengthAndEncoding);
    }
    if status.is_informational() {
        return Ok(None);
    }
    Ok(Some(finish(status, headers, said, asked_for_head)))
}

/// RFC 9112 §6.3: where the body ends, and whether the connection is good for another one.
fn finish(status: StatusCode, mut headers: HeaderMap, said: Said, asked_for_head: bool) -> AnswerHead {
    if asked_for_head || status == StatusCode::NOT_MODIFIED {
        return AnswerHead { status, headers, decoder: Decoder::Exact(0), keep: !said.close };
    }
    if status == StatusCode::NO_CONTENT {
        // One that announces a body all the same may send it, too, and the next answer would begin with it.
        let announced = said.chunked || said.length.is_some_and(|length| length > 0);
        headers.remove(header::CONTENT_LENGTH);
        return AnswerHead { status, headers, decoder: Decoder::Exact(0), keep: !said.close && !announced };
    }
    let decoder = match said.length {
        _ if said.chunked => Decoder::Chunked(Default::default()),
        Some(length) => Decoder::Exact(length),
        None => Decoder::UntilClose,
    };
    let keep = !said.close && !matches!(decoder, Decoder::UntilClose);
    AnswerHead { status, headers, decoder, keep }
}

/// Digits and nothing else: no sign, no list, no overflow.
fn length(value: &[u8]) -> Result<u64, BadAnswer> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadAnswer::ContentLength);
    }
    let digit = |length: u64, &digit: &u8| length.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    value.iter().try_fold(0, digit).ok_or(BadAnswer::ContentLength)
}

fn has_token(value: &HeaderValue, token: &[u8]) -> bool {
    value.as_bytes().split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token))
}
