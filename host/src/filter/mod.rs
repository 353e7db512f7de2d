//! A route's filters: which requests pass, and with which edits. The twin of `balance`: one instance for each worker and
//! each (plugin, settings); a fault drops it and a successor is ordered.

mod assignment;
mod worker;

pub use assignment::Assignment;
pub use worker::{Filter, Verdict};
