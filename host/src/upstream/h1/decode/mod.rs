//! What a backend sends, read strictly (RFC 9112 §6.3): wherever two readers could see two different ends of a message,
//! there is no message.

mod block;
mod body;
mod chunked;
mod head;

use block::{Block, FIELDS_MOST};
pub(super) use body::{Decoder, Piece};
use chunked::{EXTENSIONS_MOST, TRAILERS_MOST};

pub(in crate::upstream) use head::{AnswerHead, HeadReader};
use head::{HEAD_MOST, INTERIMS_MOST};

/// Why an answer is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Garbage, or another protocol on that port.
    #[error("it does not begin with an HTTP/1.1 status line")]
    NotHttp,
    /// Three digits, from 100 on.
    #[error("its status is not a number from 100 to 999")]
    Status,
    /// Some readers take it for the end of a line, some do not.
    #[error("a line ends in a bare line feed")]
    BareLineFeed,
    /// A folded line, a space before a colon, a control byte, a name that is none.
    #[error("a malformed header line")]
    Malformed,
    /// More than `HEAD_MOST` bytes.
    #[error("its head is larger than {} KiB", HEAD_MOST >> 10)]
    HeadTooLarge,
    /// More than `FIELDS_MOST` of them.
    #[error("more than {} header lines", FIELDS_MOST)]
    TooManyFields,
    /// More than `INTERIMS_MOST` answers with a status below 200.
    #[error("more than {INTERIMS_MOST} interim answers")]
    TooManyInterims,
    /// Nobody asked it to.
    #[error("it switches protocols unasked")]
    SwitchedProtocols,
    /// A sign, a list, a number too large, or two lengths that differ.
    #[error("an invalid or ambiguous content-length")]
    ContentLength,
    /// A coding that was not asked for, or `chunked` not last, or more than once, or from HTTP/1.0.
    #[error("a transfer-encoding other than `chunked`")]
    TransferEncoding,
    /// The classic of response smuggling.
    #[error("both transfer-encoding and content-length")]
    LengthAndEncoding,
    /// Its size is not plain hexadecimal, or its data is longer or shorter.
    #[error("a malformed chunk")]
    Chunk,
    /// More than `EXTENSIONS_MOST` bytes of them.
    #[error("more than {} KiB of chunk extensions", EXTENSIONS_MOST >> 10)]
    ExtensionsTooLarge,
    /// More than `TRAILERS_MOST` bytes.
    #[error("trailers larger than {} KiB", TRAILERS_MOST >> 10)]
    TrailersTooLarge,
}
