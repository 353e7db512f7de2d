//! An answer's head: status, headers, and what it says about its body.

use crate::net::{
    Headers, Interim,
    h1::{
        BadMessage, Block, Decoder, FIELDS_MOST, HEAD_MOST, INTERIMS_MOST, Said, complaint, fields, has_token,
        reading::{self, Message, Reading, lines},
    },
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version, header};
use std::mem::MaybeUninit;

/// An answer's head.
#[derive(Debug)]
pub(in crate::upstream) struct AnswerHead {
    pub(in crate::upstream) status: StatusCode,
    /// Without `transfer-encoding`: how a message is framed ends at each connection.
    pub(in crate::upstream) headers: Headers,
    /// Reads the body.
    pub(in crate::upstream) decoder: Decoder,
    /// Whether the connection may serve again once the body was read.
    pub(in crate::upstream) keep: bool,
}

/// What a head of the backend's is.
enum Heard {
    Answer(AnswerHead),
    /// An interim answer; none: one that nobody waits for.
    Before(Option<Interim>),
}

/// Room for what the proxy adds to an answer's headers, so that the list does not grow.
const HEADERS_ADDED: usize = 2;

/// Waits for the head of an answer.
#[derive(Debug)]
pub(in crate::upstream) struct HeadReader {
    block: Block,
    interims: usize,
    asked_for_head: bool,
    /// What the request would go on with.
    protocols: Option<HeaderValue>,
}

impl HeadReader {
    /// `asked_for_head`: the request is `HEAD`, its answer has no body.
    pub(in crate::upstream) fn new(asked_for_head: bool) -> HeadReader {
        HeadReader { block: Block::default(), interims: 0, asked_for_head, protocols: None }
    }

    /// The request would go on with one of these protocols: 101 is an answer to it.
    pub(super) fn may_switch_to(&mut self, protocols: HeaderValue) {
        self.protocols = Some(protocols);
    }

    /// Takes the head when all of it is there; what the backend says before it goes to `before`.
    pub(in crate::upstream) fn take(
        &mut self,
        buffer: &mut BytesMut,
        mut before: impl FnMut(Interim),
    ) -> Result<Option<AnswerHead>, BadMessage> {
        loop {
            begins_well(buffer)?;
            let Some(block) = self.block.take(buffer, HEAD_MOST, BadMessage::HeadTooLarge)? else { return Ok(None) };
            match self.parse(block)? {
                Heard::Answer(head) => return Ok(Some(head)),
                Heard::Before(interim) => interim.into_iter().for_each(&mut before),
            }
            self.interims += 1;
            if self.interims > INTERIMS_MOST {
                return Err(BadMessage::TooManyInterims);
            }
        }
    }

    fn parse(&self, block: Bytes) -> Result<Heard, BadMessage> {
        let mut lines = [const { MaybeUninit::uninit() }; FIELDS_MOST];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        match parser.parse_response_with_uninit_headers(&mut parsed, &block, &mut lines).map_err(complaint)? {
            httparse::Status::Complete(read) if read == block.len() => {}
            // The parser skips empty lines before a head; we do not.
            _ => return Err(BadMessage::NotHttp),
        }
        let (Some(code), Some(version)) = (parsed.code, parsed.version) else { return Err(BadMessage::NotHttp) };
        let status = StatusCode::from_u16(code).map_err(|_| BadMessage::Status)?;

        let (headers, mut said) = fields(&block, parsed.headers, version == 0, HEADERS_ADDED)?;
        said.close |= version == 0;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switched(status, headers, said.upgrade && version > 0).map(Heard::Answer);
        }
        if status.is_informational() {
            return Ok(Heard::Before(Interim::new(status, Version::HTTP_11, headers)));
        }
        Ok(Heard::Answer(finish(status, headers, said, self.asked_for_head)))
    }

    /// What the backend goes on with; it must have been asked for.
    fn switched(&self, status: StatusCode, mut headers: Headers, upgrade: bool) -> Result<AnswerHead, BadMessage> {
        let is_asked_for = |protocol: &HeaderValue| {
            upgrade && self.protocols.as_ref().is_some_and(|asked| has_token(asked, protocol.as_bytes()))
        };
        if !headers.get(&header::UPGRADE).is_some_and(is_asked_for) {
            return Err(BadMessage::SwitchedProtocols);
        }
        headers.remove(&header::CONTENT_LENGTH);
        Ok(AnswerHead { status, headers, decoder: Decoder::Exact(0), keep: false })
    }
}

/// Another protocol is known by its first bytes, and not waited for.
fn begins_well(buffer: &[u8]) -> Result<(), BadMessage> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let n = buffer.len().min(BEGIN.len());
    if buffer[..n] == BEGIN[..n] { Ok(()) } else { Err(BadMessage::NotHttp) }
}

/// RFC 9112 §6.3: where the body ends, and whether the connection is good for another one.
fn finish(status: StatusCode, mut headers: Headers, said: Said, asked_for_head: bool) -> AnswerHead {
    if asked_for_head || status == StatusCode::NOT_MODIFIED {
        return AnswerHead { status, headers, decoder: Decoder::Exact(0), keep: !said.close };
    }
    if status == StatusCode::NO_CONTENT {
        // One that announces a body all the same may send it, too, and the next answer would begin with it.
        let announced = said.chunked || said.length.is_some_and(|length| length > 0);
        headers.remove(&header::CONTENT_LENGTH);
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

/// What is read out of a backend's bytes that come in these pieces, as answers to GET.
pub fn read_answers<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut reader = HeadReader::new(false);
    reading::read(pieces, |buffer| {
        let Some(head) = reader.take(buffer, |_| {}).map_err(Some)? else { return Ok(None) };
        reader = HeadReader::new(false);
        let message =
            Message { first: head.status.as_str().to_owned(), headers: lines(&head.headers), ..Message::default() };
        Ok(Some((message, head.decoder, head.keep)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::h1::testing::{first, scraps};
    use proptest::prelude::*;

    /// Status and headers of the first answer in these pieces, with what was left over.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<(StatusCode, Headers, BytesMut)>, BadMessage> {
        let mut reader = HeadReader::new(false);
        let read = first(pieces, |buffer| reader.take(buffer, |_| {}))?;
        Ok(read.map(|(head, rest)| (head.status, head.headers, rest)))
    }

    const FIRST_LINES: &[&str] =
        &["HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\n", "HTTP/1.0 404\r\n", "HTTP/1."];

    proptest! {
        #[test]
        fn a_head_reads_the_same_however_it_is_cut(bytes in scraps(FIRST_LINES, 12), piece in 1_usize..40) {
            prop_assert_eq!(read(bytes.chunks(piece)).ok(), read([&bytes[..]]).ok());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>, begin: bool) {
            let begin = if begin { &b"HTTP/1.1 200 OK\r\n"[..] } else { b"" };
            let _ = read([begin, &bytes, b"\r\n\r\n"]);
        }
    }
}
