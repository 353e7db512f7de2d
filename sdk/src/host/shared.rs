//! What all instances of the plugin in one pool share, whichever worker they live on. It outlives instances and swaps.

use super::ask;
use crate::Position;
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

/// A number of this backend, 0 at first. Each backend has eight, in the slots 0 to 7; they are kept by its id, and for an
/// hour after it left the pool.
///
/// ```
/// # use pointsman_sdk::{host::shared, testing::{self, Figures}};
/// # testing::host(|host| host.figures = vec![Figures::default(); 2]);
/// shared::set_cell(0, 1, 42);
/// assert_eq!(shared::all_cells(0), [0, 42]);
/// assert_eq!(shared::replace_cell(0, 1, 41, 7), 42);
/// assert_eq!(shared::cell(0, 1), 42, "it was not 41");
/// ```
pub fn cell(slot: u32, of: Position) -> u64 {
    ask!(import::cell(slot, of), |host| *host.cell(slot, of))
}

/// This slot of every position in one call.
pub fn all_cells(slot: u32) -> Vec<u64> {
    ask!(import::all_cells(slot), |host| {
        (0..host.figures.len() as Position).map(|of| *host.cell(slot, of)).collect()
    })
}

/// Writes a cell. Of workers that write at the same moment the last one counts; [`replace_cell`] is for those that add up.
pub fn set_cell(slot: u32, of: Position, value: u64) {
    ask!(import::set_cell(slot, of, value), |host| *host.cell(slot, of) = value)
}

/// Writes `new` where `old` stands; what stood there.
pub fn replace_cell(slot: u32, of: Position, old: u64, new: u64) -> u64 {
    ask!(import::replace_cell(slot, of, old, new), |host| {
        let cell = host.cell(slot, of);
        let was = *cell;
        if was == old {
            *cell = new;
        }
        was
    })
}

/// What was remembered last under this key; none when its time is over, or it was forgotten.
pub fn recall(key: u64) -> Option<u64> {
    ask!(import::recall(key), |host| host.recall(key))
}

/// Remembers a number under a key for so long; `ttl_ms` 0: for as long as there is room. There is room for some 65,000
/// keys; of more, those that were neither remembered nor recalled for longest are forgotten.
///
/// ```
/// # use pointsman_sdk::host::shared;
/// shared::remember(7, 3, 0);
/// assert_eq!((shared::recall(7), shared::recall(8)), (Some(3), None));
/// ```
pub fn remember(key: u64, value: u64, ttl_ms: u32) {
    ask!(import::remember(key, value, ttl_ms), |host| host.remember(key, value, ttl_ms))
}
