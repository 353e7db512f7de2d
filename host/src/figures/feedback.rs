//! What became of the attempts that a plugin chose, on its way to that plugin. Each has a slip, filled in while the attempt
//! runs and put into its worker's outbox once, when the last who holds it lets go; from there its balancer delivers it.

mod ledger;
mod outbox;
mod slip;

pub use ledger::{Ledger, Tallies, Tally, Undelivered};
pub use outbox::Outbox;
pub use slip::{Line, Loss, Picker, Row, Slip};
