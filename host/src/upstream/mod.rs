//! Towards the backends: pools and their backends, health, connections, the HTTP/1.1 codec.

mod backend;
mod budget;
mod condition;
mod conn_cache;
mod connect;
mod eject;
mod error;
mod h1;
pub mod health;
mod lineup;
mod pool;
#[cfg(test)]
mod tests;
mod ward;

pub use backend::{Account, Backend, backend_id};
pub use conn_cache::Connections;
pub use error::{Error, ErrorKind, ExchangeError, Retry};
pub use h1::{Connection, Limits, Outgoing, read_answers};
pub use pool::Pool;
