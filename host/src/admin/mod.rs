//! The JSON API that the commands talk to: on a unix socket that only its user may open, or on loopback. Metrics may be
//! read from an address of their own.

mod access;
pub mod api;
mod bind;
mod directory;
mod names;
mod server;

pub use api::Status;
pub use bind::{Bound, bind, try_bind, try_bind_metrics};
pub use directory::check_for;
pub use names::encoded;
pub use server::{Server, Sources};
