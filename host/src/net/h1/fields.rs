//! The header lines of a head, and what they say about its message: for requests and for answers alike, so that neither
//! side reads a length that the other would not.

use super::{BadMessage, OPTIONS_MOST};
use crate::net::Headers;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

/// What the lines of a head say about its message and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// `content-length`; never together with `chunked`.
    pub length: Option<u64>,
    /// `transfer-encoding: chunked`.
    pub chunked: bool,
    /// `connection: close`.
    pub close: bool,
    /// `connection: keep-alive`.
    pub keep_alive: bool,
    /// `connection: upgrade`.
    pub upgrade: bool,
}

/// How many lines there may be, and how many more the list is to have room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// More are refused.
    pub most: usize,
    /// What others add to them.
    pub added: usize,
}

/// The first line of a head with its end, and where the others begin.
pub fn first_line(block: &[u8]) -> (&[u8], usize) {
    let end = memchr(b'\n', block).map_or(block.len(), |line_feed| line_feed + 1);
    (&block[..end], end)
}

/// All lines from `begin` on but `transfer-encoding`, and what `connection` says of one connection only; and what was said
/// about the message.
pub fn fields(block: &Bytes, begin: usize, is_http_1_0: bool, room: Room) -> Result<(Headers, Said), BadMessage> {
    let text = &block[begin..];
    let mut headers = Headers::with_capacity(count(text, room.most)? + room.added);
    let mut said = Said::default();
    let mut options_named = 0;
    for line in lines(text) {
        let line = line?;
        // By their bytes: what is not passed on is never made a header.
        let is = |name: &str| line.name.eq_ignore_ascii_case(name.as_bytes());
        if is("content-length") {
            let length = content_length(line.value)?;
            match said.length.replace(length) {
                Some(before) if before != length => return Err(BadMessage::ContentLength),
                Some(_) => continue,
                None => {}
            }
        } else if is("transfer-encoding") {
            // More than one coding, or the one twice, is more than is understood. HTTP/1.0 knows none.
            if said.chunked || is_http_1_0 || !line.value.eq_ignore_ascii_case(b"chunked") {
                return Err(BadMessage::TransferEncoding);
            }
            said.chunked = true;
            continue;
        } else if is("connection") {
            options_named += options(line.value);
            if options_named > OPTIONS_MOST {
                return Err(BadMessage::TooManyOptions);
            }
            said.close |= lists(line.value, b"close");
            said.keep_alive |= lists(line.value, b"keep-alive");
            if is_plain_connection(line.value) {
                continue;
            }
            said.upgrade |= lists(line.value, b"upgrade");
        }
        let (name, value) = field(block, &line)?;
        headers.append(name, value);
    }
    if said.chunked && said.length.is_some() {
        return Err(BadMessage::LengthAndEncoding);
    }
    Ok((headers, said))
}

/// A line as it stands, its value without the space around it. What may stand in either is said by [`field`].
pub(super) struct Line<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

/// How many lines there are before the empty one.
pub(super) fn count(text: &[u8], most: usize) -> Result<usize, BadMessage> {
    let count = memchr_iter(b'\n', text).count().saturating_sub(1);
    if count > most { Err(BadMessage::TooManyFields) } else { Ok(count) }
}

/// The lines of a block, or of its end, up to the empty one. That each ends in CRLF was seen to when its end was found. A
/// folded line (RFC 9112 §5.2) and a space before the colon (§5.1) are no names, so they are refused with them.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, BadMessage>> {
    let mut begin = 0;
    memchr_iter(b'\n', text).map_while(move |line_feed| {
        let line = &text[begin..line_feed];
        begin = line_feed + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then(|| {
            let colon = memchr(b':', line).ok_or(BadMessage::Malformed)?;
            Ok(Line { name: &line[..colon], value: trimmed(&line[colon + 1..]) })
        })
    })
}

/// Without the spaces and tabs around it: no other space is one here.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_ink = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(begin) = value.iter().position(is_ink) else { return &[] };
    let end = value.iter().rposition(is_ink).map_or(begin, |last| last + 1);
    &value[begin..end]
}

/// A line as our types, which judge every byte of it; they share the block's memory.
#[inline]
pub(super) fn field(block: &Bytes, line: &Line<'_>) -> Result<(HeaderName, HeaderValue), BadMessage> {
    let name = HeaderName::from_bytes(line.name).map_err(|_| BadMessage::Malformed)?;
    let value = HeaderValue::from_maybe_shared(block.slice_ref(line.value)).map_err(|_| BadMessage::Malformed)?;
    Ok((name, value))
}

/// A `content-length`: digits and nothing else, no sign, no list, no overflow.
pub fn content_length(value: &[u8]) -> Result<u64, BadMessage> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadMessage::ContentLength);
    }
    let digit = |length: u64, &digit: &u8| length.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    value.iter().try_fold(0, digit).ok_or(BadMessage::ContentLength)
}

/// Whether a list has this element.
pub fn has_token(value: &HeaderValue, token: &[u8]) -> bool {
    lists(value.as_bytes(), token)
}

fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token))
}

/// How many elements a list has.
fn options(value: &[u8]) -> usize {
    1 + memchr_iter(b',', value).count()
}

/// Whether a `connection` line says nothing but what each connection decides for itself; it names no header to drop.
fn is_plain_connection(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn length(text: &str) -> Result<u64, BadMessage> {
        content_length(text.as_bytes())
    }

    proptest! {
        #[test]
        fn lengths_are_digits_and_nothing_else(number: u64) {
            prop_assert_eq!(length(&number.to_string()), Ok(number));
            for bad in [format!("+{number}"), format!("-{number}"), format!("{number} "), format!("{number},{number}")] {
                prop_assert_eq!(length(&bad), Err(BadMessage::ContentLength));
            }
        }
    }

    /// Names and values as we read them; none: refused.
    fn read(block: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let block = Bytes::copy_from_slice(block);
        let field = |line: Result<Line<'_>, BadMessage>| field(&block, &line.ok()?).ok();
        let told = |(name, value): (HeaderName, HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
        lines(&block).map(|line| field(line).map(told)).collect()
    }

    /// The same as a reader reads them that many use.
    fn read_by_httparse(block: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut room = [httparse::EMPTY_HEADER; 64];
        let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(block, &mut room) else { return None };
        Some(lines.iter().map(|line| (line.name.to_ascii_lowercase(), line.value.to_vec())).collect())
    }

    /// Lines of a block: what stands in them is of these pieces, or any bytes but those that end a line.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&str] =
            &["a", "x-b", "Host", ":", ": ", " ", "\t", " : ", "\r", "\0", "\x7f", "\x0c", "é", "\"", "(", "1"];
        let piece = prop_oneof![
            8 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::num::u8::ANY.prop_filter("ends no line", |byte| *byte != b'\n').prop_map(|byte| vec![byte]),
        ];
        let line = prop::collection::vec(piece, 1..8).prop_map(|pieces| [pieces.concat(), b"\r\n".to_vec()].concat());
        let is_more = |line: &Vec<u8>| line.len() > 2;
        prop::collection::vec(line.prop_filter("ends no block", is_more), 0..5).prop_map(|lines| lines.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn lines_are_read_as_others_read_them(text in text()) {
            let block = [&text[..], b"\r\n"].concat();
            prop_assert_eq!(read(&block), read_by_httparse(&block), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn every_byte_is_judged_as_others_judge_it() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != b'\n') {
            for length in [1, 2, 17, 40, 70] {
                for at in [0, length / 2, length - 1] {
                    let mut word = vec![b'a'; length];
                    word[at] = byte;
                    for block in [[&word[..], b": b\r\n\r\n"].concat(), [b"a:", &word[..], b"\r\n\r\n"].concat()] {
                        assert_eq!(read(&block), read_by_httparse(&block), "{}", block.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn a_length_past_64_bits_is_none() {
        assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(length("000000000000000000000002"), Ok(2));
        assert_eq!(length("18446744073709551616"), Err(BadMessage::ContentLength));
        assert_eq!(length(""), Err(BadMessage::ContentLength));
    }
}
