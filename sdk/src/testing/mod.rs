//! A native stand-in for the host, so that plain `cargo test` runs a plugin's unit tests. [`Bench`] drives a balancer as
//! the workers of a host would, [`FilterBench`] a filter; [`host`] is where a test sets what the plugin will be told.
//! [`behaves!`](crate::behaves) tests what every balancer must hold, [`assert_shares`] what chance decides, and
//! [`Simulation`] what becomes of servers that are slow, ill or new.

mod behaviour;
mod bench;
mod chance;
mod fake;
mod kv;
mod notes;
mod request;
mod simulation;

pub use behaviour::{Behaviour, Disruption};
pub use bench::{Bench, FilterBench, Sent};
pub use chance::{assert_shares, chi_square, chi_square_limit};
pub use fake::{Answer, Figures, Host, host};
pub use notes::{Notes, Stick};
pub use request::Request;
pub use simulation::{Run, Server, Simulation};
