//! How many attempts a plugin's generation chose, and how many of them it was told of: sooner or later each is one or the
//! other.

use crate::figures::{Count, PerWorker};
use std::sync::Arc;

/// Why an outcome was told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The instance ended, and no successor asks for its state: it was swapped, or its pool or process ended.
    Ended,
    /// The instance died of a fault, or its generation was quarantined.
    Fault,
    /// Its successor refused the state.
    Refused,
    /// More waited than may wait.
    Full,
}

impl Undelivered {
    /// All of them, in the order of their numbers.
    pub const ALL: [Undelivered; 4] = [Undelivered::Ended, Undelivered::Fault, Undelivered::Refused, Undelivered::Full];

    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            Undelivered::Ended => "ended",
            Undelivered::Fault => "fault",
            Undelivered::Refused => "refused",
            Undelivered::Full => "full",
        }
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: Count,
    delivered: Count,
    undelivered: [Count; Undelivered::ALL.len()],
}

/// The attempts of one generation, and those of all generations of its plugin.
#[derive(Debug)]
pub struct Ledger {
    own: PerWorker<Tally>,
    all: Arc<PerWorker<Tally>>,
}

/// Sums over all workers. What is neither delivered nor undelivered is under way, or waits for delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Attempts chosen.
    pub attempts: u64,
    /// Told to the instance that chose, or to its heir.
    pub delivered: u64,
    /// Told to nobody, in the order of [`Undelivered::ALL`].
    pub undelivered: [u64; Undelivered::ALL.len()],
}

impl Ledger {
    /// Of a new generation; `all` counts for every generation of its plugin.
    pub fn new(workers: usize, all: Arc<PerWorker<Tally>>) -> Ledger {
        Ledger { own: PerWorker::new(workers), all }
    }

    /// This generation's.
    pub fn tallies(&self) -> Tallies {
        Tallies::of(&self.own)
    }

    /// Those of all generations of the plugin since it is known.
    pub fn of_all(&self) -> Tallies {
        Tallies::of(&self.all)
    }

    pub(super) fn begun(&self, worker: usize) {
        self.each(worker, |tally| tally.attempts.up());
    }

    pub(super) fn delivered(&self, worker: usize) {
        self.each(worker, |tally| tally.delivered.up());
    }

    pub(super) fn undelivered(&self, worker: usize, why: Undelivered) {
        self.each(worker, |tally| tally.undelivered[why as usize].up());
    }

    fn each(&self, worker: usize, count: impl Fn(&Tally)) {
        count(self.own.of(worker));
        count(self.all.of(worker));
    }
}

impl Tallies {
    fn of(counts: &PerWorker<Tally>) -> Tallies {
        // What ended had begun: in this order, none is missing.
        let delivered = counts.sum(|tally| tally.delivered.get());
        let undelivered = Undelivered::ALL.map(|why| counts.sum(|tally| tally.undelivered[why as usize].get()));
        Tallies { attempts: counts.sum(|tally| tally.attempts.get()), delivered, undelivered }
    }

    /// Told to nobody for this reason.
    pub fn undelivered_for(&self, why: Undelivered) -> u64 {
        self.undelivered[why as usize]
    }

    /// Told to nobody.
    pub fn all_undelivered(&self) -> u64 {
        self.undelivered.iter().sum()
    }
}
