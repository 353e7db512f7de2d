//! What travels: a request's head and facts, bodies, what follows them in a tunnel; and until when.

mod address;
mod body;
mod deadline;
mod duplex;
mod either;
pub mod h1;
mod head;
mod headers;
mod interim;
mod message;
pub mod path;
pub mod proxy_protocol;
mod socket;
mod socket_file;
mod tunnel;
mod turn;

pub use address::{Address, NOBODY};
pub use body::{Body, BodyError, Side, Streaming};
pub use deadline::Deadline;
pub(crate) use either::stream_of_either;
pub use head::{Asked, ClientCertificate, Connection, Head, Part, Scheme, TlsFacts};
pub use headers::Headers;
pub use interim::{Interim, Interims};
pub use message::{Request, Response, waits_for_continue};
pub use socket::Socket;
pub use socket_file::SocketFile;
pub use tunnel::{Abort, Tunnel, TunnelEnd};
pub use turn::{TURN_BYTES_MOST, give_way};
