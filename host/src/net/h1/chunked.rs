//! Chunks, read strictly: sizes are plain hexadecimal, lines end in CRLF, and there is a limit to everything.

use super::{
    BadMessage, Block, LAST_CHUNK, Piece,
    block::{FIELDS_MOST, complaint},
    body::take,
    fields::field,
    trailers,
};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

/// Bytes of extensions in one body. Nobody uses them; they are read over.
pub(super) const EXTENSIONS_MOST: usize = 16 << 10;
/// Bytes of one trailer section.
pub(super) const TRAILERS_MOST: usize = 16 << 10;
/// Digits of a size: more cannot be counted in 64 bits.
const DIGITS_MOST: u8 = 16;

/// Reads a chunked body.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    extensions: usize,
    trailers: Block,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the `;`.
    Extension {
        size: u64,
    },
    /// Before the line feed of a size line.
    SizeEnd {
        size: u64,
    },
    /// So many bytes are left.
    Data(u64),
    /// Before the carriage return behind the data.
    DataEnd,
    /// Before the line feed behind the data.
    DataLineFeed,
    /// Behind the last chunk.
    Trailers,
    Complete,
}

impl Default for State {
    fn default() -> Self {
        State::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadMessage> {
        loop {
            match &mut self.state {
                State::Data(left) => {
                    let piece = take(buffer, left);
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(piece);
                }
                State::Trailers => return self.trailers(buffer),
                State::Complete => return Ok(Piece::End),
                _ if buffer.is_empty() => return Ok(Piece::Nothing),
                _ => self.state = self.behind(buffer.get_u8())?,
            }
        }
    }

    /// Whether the body is complete; takes the end of it when nothing but that follows.
    pub(super) fn is_complete(&mut self, buffer: &mut BytesMut) -> bool {
        if self.state == State::DataEnd && buffer.starts_with(LAST_CHUNK) {
            buffer.advance(LAST_CHUNK.len());
            self.state = State::Complete;
        }
        self.state == State::Complete
    }

    /// The state behind this byte of a line.
    fn behind(&mut self, byte: u8) -> Result<State, BadMessage> {
        match (self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Size { digits: 1.., size }, b';') => Ok(State::Extension { size }),
            (State::Size { size, digits: digits @ ..DIGITS_MOST }, _) if byte.is_ascii_hexdigit() => {
                Ok(State::Size { size: size << 4 | u64::from(hex(byte)), digits: digits + 1 })
            }
            (State::Extension { size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { .. }, ..=0x08 | 0x0a..=0x1f | 0x7f) => Err(BadMessage::Chunk),
            (State::Extension { .. }, _) => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS_MOST { Err(BadMessage::ExtensionsTooLarge) } else { Ok(self.state) }
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data(size)),
            (State::DataEnd, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::default()),
            _ => Err(BadMessage::Chunk),
        }
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadMessage> {
        let Some(block) = self.trailers.take(buffer, TRAILERS_MOST, BadMessage::TrailersTooLarge)? else {
            return Ok(Piece::Nothing);
        };
        self.state = State::Complete;
        let fields = legal_fields(&block)?;
        Ok(if fields.is_empty() { Piece::End } else { Piece::Trailers(fields) })
    }
}

fn legal_fields(block: &Bytes) -> Result<HeaderMap, BadMessage> {
    let mut lines = [httparse::EMPTY_HEADER; FIELDS_MOST];
    let httparse::Status::Complete((_, lines)) = httparse::parse_headers(block, &mut lines).map_err(complaint)? else {
        return Err(BadMessage::Malformed);
    };
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = field(block, line)?;
        if trailers::is_legal(&name) {
            fields.append(name, value);
        }
    }
    Ok(fields)
}

/// The value of a digit that is one.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::h1::{CHUNK_END, chunk_size, last_chunk};
    use proptest::prelude::*;

    /// Feeds the pieces one by one; the data, the trailers, and whether it was complete, with what was left over.
    fn decoded<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, HeaderMap, bool, BytesMut), BadMessage> {
        let (mut chunked, mut buffer) = (Chunked::default(), BytesMut::new());
        let (mut data, mut fields) = (Vec::new(), HeaderMap::new());
        let mut complete = false;
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while !complete {
                match chunked.decode(&mut buffer)? {
                    Piece::Data(bytes) => {
                        assert!(!bytes.is_empty());
                        data.extend_from_slice(&bytes);
                        complete = chunked.is_complete(&mut buffer);
                    }
                    Piece::Trailers(trailers) => fields = trailers,
                    Piece::End => complete = true,
                    Piece::Nothing => break,
                }
            }
        }
        Ok((data, fields, complete, buffer))
    }

    fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut at: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
    }

    /// Chunks without the last one.
    fn encoded(chunks: &[Vec<u8>], upper: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in chunks {
            let begin = bytes.len();
            chunk_size(&mut bytes, chunk.len());
            if upper {
                bytes[begin..].make_ascii_uppercase();
            }
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(CHUNK_END);
        }
        bytes
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8)
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_however_it_is_cut(chunks in chunks(), upper: bool, trailer: bool, cuts: Vec<usize>) {
            let mut bytes = encoded(&chunks, upper);
            let mut fields = HeaderMap::new();
            if trailer {
                fields.insert("x-sum", http::HeaderValue::from_static("7"));
            }
            last_chunk(&mut bytes, &fields);
            bytes.extend_from_slice(b"HTTP/1.1");
            let (data, trailers, complete, rest) = decoded(cut(&bytes, &cuts)).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(trailers, fields);
            prop_assert!(complete);
            prop_assert_eq!(&rest[..], b"HTTP/1.1");
        }

        #[test]
        fn a_body_cut_short_is_never_complete(chunks in chunks(), at: usize) {
            let mut bytes = encoded(&chunks, false);
            bytes.extend_from_slice(b"0\r\n\r\n");
            let (_, _, complete, _) = decoded([&bytes[..at % bytes.len()]]).unwrap();
            prop_assert!(!complete);
        }

        #[test]
        fn any_bytes_cut_anywhere_fare_the_same(bytes in "[0-9a-fA-F;=\r\n x]{0,40}", cuts: Vec<usize>) {
            let whole = decoded([bytes.as_bytes()]);
            let cut = decoded(cut(bytes.as_bytes(), &cuts));
            prop_assert_eq!(whole.is_err(), cut.is_err());
            if let (Ok(whole), Ok(cut)) = (whole, cut) {
                prop_assert_eq!((whole.0, whole.2), (cut.0, cut.2));
            }
        }
    }

    #[test]
    fn sizes_are_plain_hexadecimal() {
        for (line, bad) in [
            ("5\r\n", false),
            ("00005\r\n", false),
            ("aF\r\n", false),
            ("5;name=\"value\"\r\n", false),
            ("ffffffffffffffff\r\n", false),
            ("fffffffffffffffff\r\n", true),
            ("00000000000000005\r\n", true),
            ("0x5\r\n", true),
            ("+5\r\n", true),
            ("-5\r\n", true),
            ("5_0\r\n", true),
            (" 5\r\n", true),
            ("5 \r\n", true),
            ("\r\n", true),
            (";x\r\n", true),
            ("5\n", true),
            ("5\r\r\n", true),
            ("5;a\nb\r\n", true),
            ("5;a\rb\r\n", true),
            ("5;\0\r\n", true),
        ] {
            assert_eq!(decoded([line.as_bytes()]).is_err(), bad, "{}", line.escape_debug());
        }
    }

    #[test]
    fn extensions_are_bounded_over_the_whole_body() {
        let chunk = format!("1;{}\r\nx\r\n", "y".repeat(1000));
        let body = chunk.repeat(EXTENSIONS_MOST / 1000);
        assert!(decoded([body.as_bytes()]).is_ok());
        let body = chunk.repeat(EXTENSIONS_MOST / 1000 + 1);
        assert_eq!(decoded([body.as_bytes()]).unwrap_err(), BadMessage::ExtensionsTooLarge);
    }
}
