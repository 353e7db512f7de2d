//! A few numbers for each backend, kept by its id for a while after it left, so that one that comes back goes on where it
//! was. Reading and writing is one atomic operation; whose row is whose is looked up once after each update.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many numbers there are for each backend.
pub(in crate::plugin) const SLOTS: usize = 8;
/// How long those of a backend are kept that left.
const KEPT: Duration = Duration::from_secs(3600);
/// Backends that left and are remembered; who left first is forgotten first.
const LEFT_MOST: usize = 16_384;

/// The numbers of one backend. Written by every worker, so on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::plugin) struct Row([AtomicU64; SLOTS]);

impl Row {
    /// What stands in this slot; none: there is no such slot.
    pub(in crate::plugin) fn get(&self, slot: u32) -> Option<u64> {
        Some(self.0.get(slot as usize)?.load(Relaxed))
    }

    /// Writes; none: there is no such slot.
    pub(in crate::plugin) fn set(&self, slot: u32, value: u64) -> Option<()> {
        self.0.get(slot as usize).map(|cell| cell.store(value, Relaxed))
    }

    /// Writes `new` where `old` stands, and says what stood there; none: there is no such slot.
    pub(in crate::plugin) fn replace(&self, slot: u32, old: u64, new: u64) -> Option<u64> {
        let was = self.0.get(slot as usize)?.compare_exchange(old, new, Relaxed, Relaxed);
        Some(was.unwrap_or_else(|was| was))
    }
}

/// The rows of all backends of one pool, for one plugin.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Cells(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows(HashMap<u64, Kept>);

#[derive(Debug, Default)]
struct Kept {
    row: Arc<Row>,
    /// Since when no instance has it.
    left: Option<Instant>,
}

impl Cells {
    /// The rows of these backends, in their order. Those of others are kept as long as any instance has them, and a while longer.
    pub(in crate::plugin) fn rows(&self, ids: impl Iterator<Item = u64>, now: Instant) -> Vec<Arc<Row>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<_> = ids.map(|id| rows.0.entry(id).or_default().row.clone()).collect();
        rows.forget(now);
        found
    }
}

impl Rows {
    fn forget(&mut self, now: Instant) {
        for kept in self.0.values_mut() {
            kept.left = (Arc::strong_count(&kept.row) == 1).then(|| kept.left.unwrap_or(now));
        }
        self.0.retain(|_, kept| kept.left.is_none_or(|left| now.saturating_duration_since(left) < KEPT));
        let mut left: Vec<Instant> = self.0.values().filter_map(|kept| kept.left).collect();
        if let Some(too_many) = left.len().checked_sub(LEFT_MOST + 1) {
            let (_, last, _) = left.select_nth_unstable(too_many);
            let last = *last;
            self.0.retain(|_, kept| kept.left.is_none_or(|left| left > last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_comes_back_within_an_hour_goes_on() {
        let cells = Cells::default();
        cells.rows([1, 2].into_iter(), Instant::now())[1].set(7, 42).unwrap();
        tokio::time::advance(KEPT * 5).await;
        cells.rows([1].into_iter(), Instant::now());
        tokio::time::advance(KEPT - Duration::from_secs(1)).await;
        assert_eq!(cells.rows([2, 3].into_iter(), Instant::now())[0].get(7), Some(42));
        cells.rows([3].into_iter(), Instant::now());
        tokio::time::advance(KEPT).await;
        cells.rows([3].into_iter(), Instant::now());
        assert_eq!(cells.rows([2, 3].into_iter(), Instant::now())[0].get(7), Some(0), "an hour is over");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_some_takes_nothing_from_those_that_others_have() {
        let cells = Cells::default();
        let theirs = cells.rows([1].into_iter(), Instant::now());
        for _ in 0..3 {
            cells.rows([2].into_iter(), Instant::now());
            tokio::time::advance(KEPT).await;
        }
        theirs[0].set(0, 7).unwrap();
        assert_eq!(cells.rows([1].into_iter(), Instant::now())[0].get(0), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_new_backends_does_not_grow_without_end() {
        let cells = Cells::default();
        for round in 0..40 {
            cells.rows((0..1000).map(|id| round * 1000 + id), Instant::now());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let left = cells.0.lock().unwrap().0.len();
        assert!((LEFT_MOST - 1000..=LEFT_MOST + 1000).contains(&left), "{left}");
    }

    #[test]
    fn a_number_is_replaced_by_who_knows_it() {
        let row = Row::default();
        assert_eq!(row.replace(0, 0, 5), Some(0));
        assert_eq!((row.replace(0, 0, 6), row.get(0)), (Some(5), Some(5)));
        assert_eq!((row.get(8), row.set(8, 1), row.replace(8, 0, 1)), (None, None, None));
    }
}
