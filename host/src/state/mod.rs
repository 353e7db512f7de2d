//! What a request may see, as one immutable snapshot; the one cell that holds it; and its only writer.

mod applier;
mod board;
mod cell;
mod past;
mod plan;
mod policy;
mod reload;
mod snapshot;
mod steer;
#[cfg(test)]
mod tests;

pub use applier::Applier;
pub use board::{Board, Entry, State};
pub use cell::Cell;
pub use past::{Held, Past};
pub use plan::{Numbered, Plan};
pub use policy::{Policy, Rules};
pub use reload::Staged;
pub use snapshot::{FilterLink, Policies, RouteEntry, Snapshot};
pub use steer::{Steer, Steered};
