//! A native stand-in for the host, so that plain `cargo test` runs a plugin's unit tests. [`Bench`] drives a balancer as
//! the workers of a host would, [`FilterBench`] a filter; [`host`] is where a test sets what the plugin will be told.

mod bench;
mod fake;
mod notes;
mod request;

pub use bench::{Bench, FilterBench, Sent};
pub use fake::{Answer, Figures, Host, host};
pub use notes::Notes;
pub use request::Request;
