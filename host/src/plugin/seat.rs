//! Where an instance that was built aside waits until its worker comes by between two calls.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// One place; a newer instance takes it from an older one that was never fetched.
#[derive(Debug)]
pub struct Seat<I> {
    occupied: AtomicBool,
    instance: Mutex<Option<I>>,
}

impl<I> Default for Seat<I> {
    fn default() -> Self {
        Self { occupied: AtomicBool::new(false), instance: Mutex::new(None) }
    }
}

impl<I> Seat<I> {
    /// Leaves an instance here for the worker.
    pub fn put(&self, instance: I) {
        let older = self.lock().replace(instance);
        self.occupied.store(true, Ordering::Release);
        // Freeing a store takes microseconds; not while the worker may be waiting for the lock.
        drop(older);
    }

    /// Whether nothing waits here.
    pub fn is_empty(&self) -> bool {
        !self.occupied.load(Ordering::Relaxed)
    }

    /// What waits here. Free when nothing does: one relaxed load, no lock.
    pub fn take(&self) -> Option<I> {
        if self.is_empty() {
            return None;
        }
        let mut instance = self.lock();
        self.occupied.store(false, Ordering::Relaxed);
        instance.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<I>> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_instance_is_taken_once() {
        let seat = Seat::default();
        assert_eq!(seat.take(), None);
        seat.put(1);
        seat.put(2);
        assert_eq!(seat.take(), Some(2));
        assert_eq!(seat.take(), None);
        seat.put(3);
        assert_eq!(seat.take(), Some(3));
    }
}
