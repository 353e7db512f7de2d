//! An answer's head: status, headers, and what it says about its body.

use crate::net::{
    Headers,
    h1::{
        BadMessage, Block, Decoder, FIELDS_MOST, HEAD_MOST, INTERIMS_MOST, OPTIONS_MOST, complaint, content_length,
        field, has_token, is_plain_connection, options,
    },
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
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

/// Room for what the proxy adds to an answer's headers, so that the list does not grow.
const HEADERS_ADDED: usize = 2;

/// What the headers say about the message.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    /// Elements of `connection`.
    options: usize,
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
    pub(in crate::upstream) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<AnswerHead>, BadMessage> {
        loop {
            begins_well(buffer)?;
            let Some(block) = self.block.take(buffer, HEAD_MOST, BadMessage::HeadTooLarge)? else { return Ok(None) };
            if let Some(head) = parse(block, self.asked_for_head)? {
                return Ok(Some(head));
            }
            self.interims += 1;
            if self.interims > INTERIMS_MOST {
                return Err(BadMessage::TooManyInterims);
            }
        }
    }
}

/// Another protocol is known by its first bytes, and not waited for.
fn begins_well(buffer: &[u8]) -> Result<(), BadMessage> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let n = buffer.len().min(BEGIN.len());
    if buffer[..n] == BEGIN[..n] { Ok(()) } else { Err(BadMessage::NotHttp) }
}

/// Reads a head; none when it is an interim one.
fn parse(block: Bytes, asked_for_head: bool) -> Result<Option<AnswerHead>, BadMessage> {
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
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadMessage::SwitchedProtocols);
    }

    let mut headers = Headers::with_capacity(parsed.headers.len() + HEADERS_ADDED);
    let mut said = Said { close: version == 0, ..Said::default() };
    for line in parsed.headers.iter() {
        let (name, value) = field(&block, line)?;
        if name == header::CONTENT_LENGTH {
            let length = content_length(&value)?;
            match said.length.replace(length) {
                Some(before) if before != length => return Err(BadMessage::ContentLength),
                Some(_) => continue,
                None => {}
            }
        } else if name == header::TRANSFER_ENCODING {
            // More than one coding, or the one twice, is more than was asked for. HTTP/1.0 knows none.
            if said.chunked || version == 0 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(BadMessage::TransferEncoding);
            }
            said.chunked = true;
            continue;
        } else if name == header::CONNECTION {
            said.options += options(&value);
            if said.options > OPTIONS_MOST {
                return Err(BadMessage::TooManyOptions);
            }
            said.close |= has_token(&value, b"close");
            if is_plain_connection(&value) {
                continue;
            }
        }
        headers.append(name, value);
    }
    if said.chunked && said.length.is_some() {
        return Err(BadMessage::LengthAndEncoding);
    }
    if status.is_informational() {
        return Ok(None);
    }
    Ok(Some(finish(status, headers, said, asked_for_head)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Status and headers of the first answer in these pieces, with what was left over.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<(StatusCode, Headers, BytesMut)>, BadMessage> {
        let (mut reader, mut buffer) = (HeadReader::new(false), BytesMut::new());
        let mut pieces = pieces.into_iter();
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            if let Some(head) = reader.take(&mut buffer)? {
                pieces.for_each(|rest| buffer.extend_from_slice(rest));
                return Ok(Some((head.status, head.headers, buffer)));
            }
        }
        Ok(None)
    }

    /// What answers, good and bad, are made of.
    fn scraps() -> impl Strategy<Value = Vec<u8>> {
        let scrap = prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 103 Early Hints\r\n",
            "HTTP/1.0 404\r\n",
            "HTTP/1.",
            "content-length: 2\r\n",
            "content-length: 3\r\n",
            "transfer-encoding: chunked\r\n",
            "connection: close\r\n",
            "x-a:  \t b \r\n",
            ": x\r\n",
            " x\r\n",
            "\r\n",
            "\r\n",
            "\r\n",
            "\n",
            "\r",
            "\0",
            "ok",
        ]);
        prop::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_head_reads_the_same_however_it_is_cut(bytes in scraps(), piece in 1_usize..40) {
            prop_assert_eq!(read(bytes.chunks(piece)).ok(), read([&bytes[..]]).ok());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>, begin: bool) {
            let begin = if begin { &b"HTTP/1.1 200 OK\r\n"[..] } else { b"" };
            let _ = read([begin, &bytes, b"\r\n\r\n"]);
        }
    }
}
