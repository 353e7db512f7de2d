//! The header lines of a head, and what they say about its message: for requests and for answers alike, so that neither
//! side reads a length that the other would not.

use super::{BadMessage, OPTIONS_MOST};
use crate::net::Headers;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};

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

/// All lines but `transfer-encoding`, and what `connection` says of one connection only, in a list with room for `room`
/// more; and what was said about the message.
pub fn fields(
    block: &Bytes,
    lines: &[httparse::Header<'_>],
    is_http_1_0: bool,
    room: usize,
) -> Result<(Headers, Said), BadMessage> {
    let mut headers = Headers::with_capacity(lines.len() + room);
    let mut said = Said::default();
    let mut options_named = 0;
    for line in lines {
        // By their bytes: what is not passed on is never made a header.
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
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
        let (name, value) = field(block, line)?;
        headers.append(name, value);
    }
    if said.chunked && said.length.is_some() {
        return Err(BadMessage::LengthAndEncoding);
    }
    Ok((headers, said))
}

/// A parsed line as our types, sharing the block's memory.
pub(super) fn field(block: &Bytes, line: &httparse::Header<'_>) -> Result<(HeaderName, HeaderValue), BadMessage> {
    let name = HeaderName::from_bytes(line.name.as_bytes());
    let value = HeaderValue::from_maybe_shared(block.slice_ref(line.value));
    name.ok().zip(value.ok()).ok_or(BadMessage::Malformed)
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
    1 + memchr::memchr_iter(b',', value).count()
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

    #[test]
    fn a_length_past_64_bits_is_none() {
        assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(length("000000000000000000000002"), Ok(2));
        assert_eq!(length("18446744073709551616"), Err(BadMessage::ContentLength));
        assert_eq!(length(""), Err(BadMessage::ContentLength));
    }
}
