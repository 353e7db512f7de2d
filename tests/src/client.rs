//! Somebody who asks: over HTTP/1.1 or HTTP/2 as hyper speaks them, or in raw bytes. Nobody here asks twice.

mod frames;
mod http;
mod raw;
mod tls;

pub use frames::{CANCEL, ENHANCE_YOUR_CALM, Frames, PROTOCOL_ERROR, PSEUDO, StreamEnd, frame, head, opening};
pub use http::{Answer, Client, Failure, Streaming, body, request};
pub use raw::{Heard, Raw, RawAnswer};
pub use tls::{Hello, handshake, handshake_with};
