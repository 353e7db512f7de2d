//! A block of lines up to its empty line: a head, or trailers.

use super::BadMessage;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

/// Header lines of one head or trailer section.
pub const FIELDS_MOST: usize = 128;

/// Finds the end of a block of lines. It remembers how far it has looked, so that a block that comes byte by byte costs
/// no more than one that comes at once.
#[derive(Debug, Default)]
pub struct Block {
    looked_at: usize,
}

impl Block {
    /// Takes the block, with its empty line, when all of it is there. With more than `most` bytes it is `too_large`.
    pub fn take(
        &mut self,
        buffer: &mut BytesMut,
        most: usize,
        too_large: BadMessage,
    ) -> Result<Option<Bytes>, BadMessage> {
        for found in memchr::memchr_iter(b'\n', &buffer[self.looked_at..]) {
            let line_feed = self.looked_at + found;
            let before = &buffer[..line_feed];
            if !before.ends_with(b"\r") {
                return Err(BadMessage::BareLineFeed);
            }
            if before.ends_with(b"\n\r") || before.len() == 1 {
                self.looked_at = 0;
                let block = buffer.split_to(line_feed + 1).freeze();
                return if block.len() > most { Err(too_large) } else { Ok(Some(block)) };
            }
        }
        self.looked_at = buffer.len();
        if buffer.len() > most { Err(too_large) } else { Ok(None) }
    }
}

/// A parsed line as our types, sharing the block's memory.
pub fn field(block: &Bytes, line: &httparse::Header<'_>) -> Result<(HeaderName, HeaderValue), BadMessage> {
    let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| BadMessage::Malformed)?;
    let value = HeaderValue::from_maybe_shared(block.slice_ref(line.value)).map_err(|_| BadMessage::Malformed)?;
    Ok((name, value))
}

/// What the parser's complaint means.
pub fn complaint(error: httparse::Error) -> BadMessage {
    match error {
        httparse::Error::TooManyHeaders => BadMessage::TooManyFields,
        httparse::Error::Version => BadMessage::NotHttp,
        httparse::Error::Status => BadMessage::Status,
        _ => BadMessage::Malformed,
    }
}

/// A `content-length`: digits and nothing else, no sign, no list, no overflow.
pub fn content_length(value: &HeaderValue) -> Result<u64, BadMessage> {
    let value = value.as_bytes();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadMessage::ContentLength);
    }
    let digit = |length: u64, &digit: &u8| length.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    value.iter().try_fold(0, digit).ok_or(BadMessage::ContentLength)
}

/// Whether a list has this element.
pub fn has_token(value: &HeaderValue, token: &[u8]) -> bool {
    value.as_bytes().split(|&b| b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token))
}

/// How many elements a list has.
pub fn options(value: &HeaderValue) -> usize {
    1 + memchr::memchr_iter(b',', value.as_bytes()).count()
}

/// Whether a `connection` line says nothing but what each connection decides for itself; it names no header to drop.
pub fn is_plain_connection(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of a block that arrives in pieces of this size.
    fn taken(bytes: &[u8], piece: usize) -> Result<Option<(Bytes, BytesMut)>, BadMessage> {
        let (mut block, mut buffer) = (Block::default(), BytesMut::new());
        let mut pieces = bytes.chunks(piece);
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            if let Some(taken) = block.take(&mut buffer, 32, BadMessage::HeadTooLarge)? {
                pieces.for_each(|rest| buffer.extend_from_slice(rest));
                return Ok(Some((taken, buffer)));
            }
        }
        Ok(None)
    }

    #[test]
    fn its_end_is_found_however_it_comes() {
        let bytes = b"one\r\ntwo: \r\n\r\nrest\n";
        for piece in 1..=bytes.len() {
            let (block, rest) = taken(bytes, piece).unwrap().unwrap();
            assert_eq!(block, &b"one\r\ntwo: \r\n\r\n"[..], "pieces of {piece}");
            assert_eq!(rest, &b"rest\n"[..], "pieces of {piece}");
        }
        assert_eq!(taken(b"\r\nrest", 1).unwrap().unwrap().0, &b"\r\n"[..]);
        assert!(taken(b"one\r\ntwo\r\n", 3).unwrap().is_none());
    }

    #[test]
    fn there_is_a_limit_to_it() {
        for piece in [1, 7, 40] {
            assert_eq!(taken(&[b'a'; 40], piece).unwrap_err(), BadMessage::HeadTooLarge);
        }
        let whole = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
        assert_eq!(taken(whole, whole.len()).unwrap_err(), BadMessage::HeadTooLarge);
    }

    #[test]
    fn a_bare_line_feed_ends_nothing() {
        for bytes in [&b"one\ntwo\r\n\r\n"[..], b"one\r\n\n", b"\n", b"one\r\ntwo\r\n\r\r\n\n"] {
            assert_eq!(taken(bytes, 2).unwrap_err(), BadMessage::BareLineFeed, "{}", bytes.escape_ascii());
        }
    }

    fn length(text: &str) -> Result<u64, BadMessage> {
        content_length(&HeaderValue::from_str(text).unwrap())
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
