//! What all instances of the plugin in one pool share, whichever worker they live on. It outlives instances and swaps.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::shared as import;

/// A number that all workers add to.
///
/// ```
/// # use pointsman_sdk::host::shared::Counter;
/// let tickets = Counter::named("tickets");
/// assert_eq!(tickets.add(1), 0);
/// assert_eq!(Counter::named("tickets").add(1), 1);
/// assert_eq!(tickets.load(), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(u32);

impl Counter {
    /// The counter of that name, 0 when it is new. Ask once, in `new`. A plugin may have 64, their names at most
    /// 256 bytes long.
    pub fn named(name: &str) -> Counter {
        Counter(ask!(import::counter(name), |host| host.counter(name)))
    }

    /// Adds, wrapping round, and returns the value before: each caller gets a ticket of its own.
    pub fn add(&self, delta: u64) -> u64 {
        ask!(import::add(self.0, delta), |host| host.add(self.0, delta))
    }

    /// The value now.
    pub fn load(&self) -> u64 {
        ask!(import::load(self.0), |host| host.add(self.0, 0))
    }
}
