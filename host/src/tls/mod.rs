//! Certificates, the choice among them by the client's hello, and handshakes with a time limit. The only room that names
//! rustls: others get a stream and the facts of its handshake.

mod acceptor;
mod certificate;
mod client;
mod store;

pub use acceptor::{Acceptor, HandshakeError, Stream};
pub use certificate::Certificate;
pub use store::Store;
