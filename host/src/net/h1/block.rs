//! A block of lines up to its empty line: a head, or trailers.

use super::BadMessage;
use bytes::{Bytes, BytesMut};

/// Header lines of an answer's head or of a trailer section.
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

/// What the parser's complaint means.
pub fn complaint(error: httparse::Error) -> BadMessage {
    match error {
        httparse::Error::TooManyHeaders => BadMessage::TooManyFields,
        httparse::Error::Version => BadMessage::NotHttp,
        httparse::Error::Status => BadMessage::Status,
        _ => BadMessage::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::first, *};

    /// What comes of a block that arrives in pieces of this size.
    fn taken(bytes: &[u8], piece: usize) -> Result<Option<(Bytes, BytesMut)>, BadMessage> {
        let mut block = Block::default();
        first(bytes.chunks(piece), |buffer| block.take(buffer, 32, BadMessage::HeadTooLarge))
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
}
