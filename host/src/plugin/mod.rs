//! The Wasm runtime: from a file's bytes to an instance that picks. This room takes and returns plain records; it knows
//! nothing of bodies, sockets, routes or pools, so that the tests of a plugin and a simulation need no network.

mod records;

pub use records::{Call, Decision, Fault, FaultKind, Member, Membership, Turn};
