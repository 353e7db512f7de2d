//! What travels: a request's head and facts, bodies, sockets.

mod body;
mod head;
pub mod path;

pub use body::{Body, BodyError, Side};
pub use head::{Connection, Head, Part, Scheme, TlsFacts};
