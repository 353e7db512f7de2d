//! The Wasm runtime: from a file's bytes to an instance that picks. This room takes and returns plain records; it knows
//! nothing of bodies, sockets, routes or pools, so that the tests of a plugin and a simulation need no network.
//!
//! A plugin's way through it: [`Artifact`] (bytes and hash) → [`Runtime::compile`] (which contract, which halves; code) →
//! [`Runtime::admit`] (tried out on scratch state) → [`Generation`] → a [`BalancerInstance`] or [`FilterInstance`] for
//! each worker, built aside and left in a [`Seat`] → the worker's calls, until a [`Fault`] ends the instance.

mod abi;
mod about;
mod admission;
mod artifact;
mod compile;
mod costs;
mod engine;
mod fault;
mod generation;
mod instance_set;
mod instances;
mod limits;
pub mod loader;
mod log;
mod quarantine;
mod records;
mod report;
mod runtime;
mod sandbox;
mod seat;
mod serving;
mod shared;
pub mod stock;
#[cfg(test)]
pub(crate) mod tests;
mod ticker;

pub use about::{Description, Setting};
pub use admission::Use;
pub use artifact::{Artifact, Hash, Origin};
pub use compile::{Compiled, Kind};
pub use costs::{Costs, Totals};
pub use generation::Generation;
pub use instance_set::InstanceSet;
pub use instances::{BalancerInstance, FilterInstance, FilterVerdict};
pub use log::{Level, Log, LogLine};
pub use records::{Call, Decision, Fault, FaultKind, Member, Membership, Notes, Rejection, State, Stick, Subset, Turn};
pub use runtime::Runtime;
pub use seat::Seat;
pub use serving::Serving;
pub use shared::{MeterKind, Reading};
