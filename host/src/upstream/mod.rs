//! Towards the backends: pools and their backends, health, connections, HTTP/1.1 and HTTP/2.

mod backend;
mod bounds;
mod budget;
mod condition;
mod conn_cache;
mod connection;
mod cookie;
mod eject;
mod error;
mod h1;
mod h2;
pub mod health;
mod lineup;
pub mod names;
mod opening;
mod patience;
mod pool;
mod probe;
mod report;
mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod ward;

pub use backend::{Account, Backend, backend_id};
pub use bounds::{Bounds, Permit};
pub use conn_cache::Connections;
pub use connection::{Connection, Limits, Outgoing};
pub use cookie::Cookie;
pub use error::{Error, ErrorKind, ExchangeError, Retry};
pub use h1::read_answers;
#[cfg(any(test, fuzzing))]
pub(crate) use h1::written;
pub use pool::Pool;
pub use transport::Purpose;
