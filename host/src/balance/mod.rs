//! A pool's balancer: who gets this request. The plugin is asked first and its answer is checked; whatever it does, the
//! ladder ends in the native fallback or in nobody.
//!
//! ```text
//! plugin picks ── usable ─────────────────────────────▶ that backend
//!    │  └─ became unusable meanwhile ─ asked once more ─▶ that backend, else the next usable one
//!    ├─ narrows: the next link picks inside, or the host by weight; nobody there is usable ─ asked once more ┐
//!    ├─ passes ──────────────┬◀──────────────────────────────────────────────────────────────────────────┘
//!    ├─ faults: store dropped ├▶ the next link of the chain, and behind the last one:
//!    └─ absent, quarantined ─┘  fallback ──────────────▶ the next by weight, or nobody
//!       (unless a good generation stands behind it: that picks)
//! ```

mod assignment;
mod choice;
mod explain;
mod fallback;
mod guard;
mod hearing;
mod link;
mod narrow;
mod roster;
#[cfg(test)]
mod tests;
mod worker;

pub use assignment::{Assignment, How};
pub use choice::Choice;
pub use worker::{Balancer, Pick, Question, Station};
