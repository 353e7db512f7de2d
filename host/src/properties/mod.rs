//! What must hold for any bytes that come, as functions that panic where it does not. Fuzzers call them with what they find
//! (`tests/fuzz`), tests with chance and with good messages that were changed a little; they are compiled for these two
//! alone, and so are the doors that other rooms have for them.

// Whoever calls these waits for a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod messages;
mod pieces;
mod proxy_protocol;
mod router;
#[cfg(test)]
mod tests;

pub use config::config;
pub use messages::{answers, chunks, requests};
pub use proxy_protocol::proxy_protocol;
#[cfg(test)]
pub(crate) use router::one_by_one;
pub use router::router;
