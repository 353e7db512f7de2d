//! HTTP/1.1 as it stands on the wire (RFC 9112), for both sides of the balancer. It is read strictly: wherever two readers
//! could see two different ends of a message, there is no message.

mod block;
mod body;
mod chunked;
mod encode;
mod fields;
mod inbox;
mod outbox;
pub mod reading;
#[cfg(test)]
pub mod testing;
mod trailers;

pub use block::{Block, FIELDS_MOST, complaint};
pub use body::{Decoder, Piece};
pub use encode::{last_chunk, write_field};
pub use fields::{Said, content_length, fields, has_token};
pub use inbox::Inbox;
pub use outbox::Outbox;
pub use trailers::legal_trailers;

use chunked::{EXTENSIONS_MOST, TRAILERS_MOST};
use encode::{CHUNK_END, LAST_CHUNK, chunk_size};

/// Bytes of an answer's head.
pub const HEAD_MOST: usize = 64 << 10;
/// Headers that one message's `connection` may name: each is looked for among all others.
pub const OPTIONS_MOST: usize = 32;
/// Answers with a status below 200 before the one that counts.
pub const INTERIMS_MOST: usize = 16;

/// Why a message is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadMessage {
    /// Garbage, or another protocol or version on that port.
    #[error("it does not begin as an HTTP/1.1 message does")]
    NotHttp,
    /// A target that holds what no target may hold, or a method that is no name.
    #[error("a malformed request line")]
    RequestLine,
    /// Three digits, from 100 on.
    #[error("its status is not a number from 100 to 999")]
    Status,
    /// Some readers take it for the end of a line, some do not.
    #[error("a line ends in a bare line feed")]
    BareLineFeed,
    /// A folded line, a space before a colon, a control byte, a name that is none.
    #[error("a malformed header line")]
    Malformed,
    /// More bytes than this side's limit.
    #[error("its head is larger than allowed")]
    HeadTooLarge,
    /// More of them than this side's limit.
    #[error("more header lines than allowed")]
    TooManyFields,
    /// More bytes than the listener's limit.
    #[error("its target is longer than allowed")]
    TargetTooLong,
    /// More than `OPTIONS_MOST` of them.
    #[error("more than {OPTIONS_MOST} connection options")]
    TooManyOptions,
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
    /// The classic of smuggling.
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
