//! The one swap cell of the process.

use super::Snapshot;
use arc_swap::ArcSwap;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// Holds the snapshot in force. One writes, all workers read.
#[derive(Debug)]
pub struct Cell {
    snapshot: ArcSwap<Snapshot>,
    revision: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Cell {
    /// A cell with its first snapshot.
    pub fn new(first: Snapshot) -> Arc<Cell> {
        let revision = first.revision;
        Arc::new(Cell {
            snapshot: ArcSwap::from_pointee(first),
            revision: AtomicU64::new(revision),
            changed: watch::Sender::new(revision),
        })
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The number of the snapshot in force: what a worker compares with the one it holds, at one load a request.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Hears of every later snapshot; for workers without traffic, so that they too let go of the old one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Puts the next snapshot in force. Only the applier calls it.
    pub(super) fn publish(&self, next: Snapshot) {
        let revision = next.revision;
        self.snapshot.store(Arc::new(next));
        // After the snapshot: who sees the number finds what it stands for.
        self.revision.store(revision, Ordering::Release);
        self.changed.send_replace(revision);
    }
}
