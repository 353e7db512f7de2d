//! Certificates, the choice among them by the client's hello, and handshakes on both sides. The only room that names
//! rustls: others get a stream and the facts of its handshake.

mod acceptor;
mod certificate;
mod client;
mod connector;
mod store;

pub use acceptor::{Acceptor, HandshakeError, Stream};
pub use certificate::Certificate;
pub use connector::{ClientStream, Connector, agreed_on_http2, agreed_on_nothing};
pub use store::Store;
