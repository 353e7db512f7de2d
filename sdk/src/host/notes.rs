//! What a balancer says beside its decision. Only inside [`Balancer::pick`](crate::Balancer::pick); at any other time the
//! host stops the plugin.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::balancer::pointsman::plugin::notes as import;

/// What the client is told when this pick answers [`Decision::Reject`](crate::Decision::Reject): in so many seconds it may
/// come back, and why, one line of at most 1024 bytes. An empty line leaves the host's own words.
///
/// ```
/// # use pointsman_sdk::{Decision, host::notes, testing};
/// fn full() -> Decision {
///     notes::rejection(Some(5), "all seats are taken");
///     Decision::Reject(503)
/// }
/// # full();
/// # assert_eq!(testing::host(|host| host.notes.rejection.clone()), Some((Some(5), "all seats are taken".into())));
/// ```
pub fn rejection(retry_after_s: Option<u32>, reason: &str) {
    ask!(import::rejection(retry_after_s, reason), |host| host.notes.reject(retry_after_s, reason))
}
