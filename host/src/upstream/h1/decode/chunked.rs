//! Chunks, read strictly: sizes are plain hexadecimal, lines end in CRLF, and there is a limit to everything.

use super::{
    BadAnswer, Block, Piece,
    block::{FIELDS_MOST, append, complaint, field},
    body::take,
};
use crate::upstream::h1::{encode::LAST_CHUNK, trailers};
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
pub(in crate::upstream) struct Chunked {
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
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadAnswer> {
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
    fn behind(&mut self, byte: u8) -> Result<State, BadAnswer> {
        match (self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Size { digits: 1.., size }, b';') => Ok(State::Extension { size }),
            (State::Size { size, digits: digits @ ..DIGITS_MOST }, _) if byte.is_ascii_hexdigit() => {
                Ok(State::Size { size: size << 4 | u64::from(hex(byte)), digits: digits + 1 })
            }
            (State::Extension { size }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { .. }, ..=0x08 | 0x0a..=0x1f | 0x7f) => Err(BadAnswer::Chunk),
            (State::Extension { .. }, _) => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS_MOST { Err(BadAnswer::ExtensionsTooLarge) } else { Ok(self.state) }
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data(size)),
            (State::DataEnd, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::default()),
            _ => Err(BadAnswer::Chunk),
        }
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadAnswer> {
        let Some(block) = self.trailers.take(buffer, TRAILERS_MOST, BadAnswer::TrailersTooLarge)? else {
            return Ok(Piece::Nothing);
        };
        self.state = State::Complete;
        let fields = legal_fields(&block)?;
        Ok(if fields.is_empty() { Piece::End } else { Piece::Trailers(fields) })
    }
}

fn legal_fields(block: &Bytes) -> Result<HeaderMap, BadAnswer> {
    let mut lines = [httparse::EMPTY_HEADER; FIELDS_MOST];
    let httparse::Status::Complete((_, lines)) = httparse::parse_headers(block, &mut lines).map_err(complaint)? else {
        return Err(BadAnswer::Malformed);
    };
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = field(block, line)?;
        if trailers::is_legal(&name) {
            append(&mut fields, name, value)?;
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
