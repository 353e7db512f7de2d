//! A block of lines up to its empty line: a head, or trailers.

use super::BadAnswer;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Header lines of one head or trailer section.
pub(super) const FIELDS_MOST: usize = 128;

/// Finds the end of a block of lines. It remembers how far it has looked, so that a block that comes byte by byte costs
/// no more than one that comes at once.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Block {
    looked_at: usize,
}

impl Block {
    /// Takes the block, with its empty line, when all of it is there. With more than `most` bytes it is `too_large`.
    pub(in crate::upstream) fn take(
        &mut self,
        buffer: &mut BytesMut,
        most: usize,
        too_large: BadAnswer,
    ) -> Result<Option<Bytes>, BadAnswer> {
        for found in memchr::memchr_iter(b'\n', &buffer[self.looked_at..]) {
            let line_feed = self.looked_at + found;
            let before = &buffer[..line_feed];
            if !before.ends_with(b"\r") {
                return Err(BadAnswer::BareLineFeed);
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
pub(super) fn field(block: &Bytes, line: &httparse::Header<'_>) -> Result<(HeaderName, HeaderValue), BadAnswer> {
    let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| BadAnswer::Malformed)?;
    let value = HeaderValue::from_maybe_shared(block.slice_ref(line.value)).map_err(|_| BadAnswer::Malformed)?;
    Ok((name, value))
}

/// Adds a field to those that came before it.
pub(super) fn append(fields: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), BadAnswer> {
    fields.try_append(name, value).map(drop).map_err(|_| BadAnswer::TooManyFields)
}

/// What the parser's complaint means.
pub(super) fn complaint(error: httparse::Error) -> BadAnswer {
    match error {
        httparse::Error::TooManyHeaders => BadAnswer::TooManyFields,
        httparse::Error::Version => BadAnswer::NotHttp,
        httparse::Error::Status => BadAnswer::Status,
        _ => BadAnswer::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a block that arrives in pieces of this size.
    fn taken(bytes: &[u8], piece: usize) -> Result<Option<(Bytes, BytesMut)>, BadAnswer> {
        let (mut block, mut buffer) = (Block::default(), BytesMut::new());
        let mut pieces = bytes.chunks(piece);
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            if let Some(taken) = block.take(&mut buffer, 32, BadAnswer::HeadTooLarge)? {
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
            assert_eq!(taken(&[b'a'; 40], piece).unwrap_err(), BadAnswer::HeadTooLarge);
        }
        let whole = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
        assert_eq!(taken(whole, whole.len()).unwrap_err(), BadAnswer::HeadTooLarge);
    }

    #[test]
    fn a_bare_line_feed_ends_nothing() {
        for bytes in [&b"one\ntwo\r\n\r\n"[..], b"one\r\n\n", b"\n", b"one\r\ntwo\r\n\r\r\n\n"] {
            assert_eq!(taken(bytes, 2).unwrap_err(), BadAnswer::BareLineFeed, "{}", bytes.escape_ascii());
        }
    }
}
