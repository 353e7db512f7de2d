//! Towards the backends: pools and their backends, health, connections, the HTTP/1.1 codec.

mod backend;
mod pool;

pub use backend::{Backend, backend_id};
pub use pool::Pool;
