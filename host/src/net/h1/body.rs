//! A body, however it is framed.

use super::{BadMessage, chunked::Chunked};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

/// Reads a body out of what came.
#[derive(Debug)]
pub enum Decoder {
    /// So many bytes are left.
    Exact(u64),
    /// As the chunks say.
    Chunked(Chunked),
    /// Up to the end of the connection.
    UntilClose,
}

/// The next piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Never empty.
    Data(Bytes),
    /// Legal ones only, and at least one.
    Trailers(HeaderMap),
    /// It is complete.
    End,
    /// More has to come first.
    Nothing,
}

impl Decoder {
    /// Takes the next piece of what came.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadMessage> {
        match self {
            Decoder::Exact(0) => Ok(Piece::End),
            Decoder::Exact(left) => Ok(take(buffer, left)),
            Decoder::Chunked(chunked) => chunked.decode(buffer),
            Decoder::UntilClose if buffer.is_empty() => Ok(Piece::Nothing),
            Decoder::UntilClose => Ok(Piece::Data(buffer.split().freeze())),
        }
    }

    /// The whole body, when it came together with the head.
    pub fn whole(&self, buffer: &mut BytesMut) -> Option<Bytes> {
        match *self {
            Decoder::Exact(length) if length <= buffer.len() as u64 => Some(buffer.split_to(length as usize).freeze()),
            _ => None,
        }
    }

    /// Whether the piece just taken was the last one. A chunked body's end is taken with it if it is there.
    pub fn is_complete(&mut self, buffer: &mut BytesMut) -> bool {
        match self {
            Decoder::Exact(left) => *left == 0,
            Decoder::Chunked(chunked) => chunked.is_complete(buffer),
            Decoder::UntilClose => false,
        }
    }

    /// How many bytes are to come, as far as that is known.
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Decoder::Exact(left) => SizeHint::with_exact(*left),
            Decoder::Chunked(_) | Decoder::UntilClose => SizeHint::default(),
        }
    }
}

/// Takes what came, `left` bytes at most.
pub(super) fn take(buffer: &mut BytesMut, left: &mut u64) -> Piece {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    if n == 0 {
        return Piece::Nothing;
    }
    *left -= n as u64;
    Piece::Data(buffer.split_to(n).freeze())
}
