//! Numbers with names. Adding is one atomic operation; names are looked up once, when an instance is configured.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// How many counters a plugin may have in a pool.
pub(in crate::plugin) const COUNTERS_MAX: usize = 64;
/// How long a counter's name may be, in bytes.
pub(in crate::plugin) const COUNTER_NAME_MAX: usize = 256;

/// The counters of one plugin in one pool.
#[derive(Debug)]
pub(in crate::plugin) struct Counters {
    names: Mutex<Vec<Box<str>>>,
    known: AtomicU32,
    values: [Value; COUNTERS_MAX],
}

/// Written by every worker in every pick of a round robin, so on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Value(AtomicU64);

impl Default for Counters {
    fn default() -> Self {
        Self { names: Mutex::default(), known: AtomicU32::new(0), values: std::array::from_fn(|_| Value::default()) }
    }
}

impl Counters {
    /// The handle of the counter of this name; none when there are too many, or the name is too long.
    pub(in crate::plugin) fn handle(&self, name: &str) -> Option<u32> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.iter().position(|n| &**n == name) {
            return u32::try_from(known).ok();
        }
        if names.len() == COUNTERS_MAX || name.len() > COUNTER_NAME_MAX {
            return None;
        }
        names.push(name.into());
        let known = u32::try_from(names.len()).ok()?;
        self.known.store(known, Ordering::Release);
        Some(known - 1)
    }

    /// Adds, wrapping round, and returns the value before; none when there is no such handle.
    pub(in crate::plugin) fn add(&self, handle: u32, delta: u64) -> Option<u64> {
        Some(self.value(handle)?.fetch_add(delta, Ordering::Relaxed))
    }

    /// The value as it stands now; none when there is no such handle.
    pub(in crate::plugin) fn load(&self, handle: u32) -> Option<u64> {
        Some(self.value(handle)?.load(Ordering::Relaxed))
    }

    fn value(&self, handle: u32) -> Option<&AtomicU64> {
        (handle < self.known.load(Ordering::Acquire)).then(|| &self.values[handle as usize].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_handles_are_bounded() {
        let counters = Counters::default();
        for n in 0..COUNTERS_MAX {
            assert_eq!(counters.handle(&format!("n{n}")), u32::try_from(n).ok());
        }
        assert_eq!(counters.handle("one more"), None);
        assert_eq!(counters.handle("n7"), Some(7));
        assert_eq!(Counters::default().handle(&"x".repeat(COUNTER_NAME_MAX + 1)), None);
        assert_eq!(counters.add(COUNTERS_MAX as u32, 1), None);
    }

    #[test]
    fn adding_wraps_round() {
        let counters = Counters::default();
        let handle = counters.handle("n").unwrap();
        counters.add(handle, u64::MAX);
        assert_eq!(counters.add(handle, 2), Some(u64::MAX));
        assert_eq!(counters.load(handle), Some(1));
    }
}
