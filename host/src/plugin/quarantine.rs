//! When a generation has failed too often: `limit` faults within `window`.

use crate::config::model::Faults;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// Counts one generation's faults. Once on, it stays on: other bytes make another generation.
#[derive(Debug)]
pub(super) struct Quarantine {
    limits: Faults,
    on: AtomicBool,
    since: OnceLock<Instant>,
    recent: Mutex<VecDeque<Instant>>,
}

/// What one more fault meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// So many within the window, this one included; so many more would be too many.
    Counted { seen: usize, left: usize },
    /// This one was the last straw.
    Last { seen: usize },
    /// It was in quarantine already: another worker was still busy with it.
    Late,
}

impl Quarantine {
    pub(super) fn new(limits: Faults) -> Quarantine {
        Quarantine { limits, on: AtomicBool::new(false), since: OnceLock::new(), recent: Mutex::default() }
    }

    /// One relaxed load.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Since when; none while it is off.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since.get().copied()
    }

    /// Counts a fault.
    pub(super) fn strike(&self, now: Instant) -> Strike {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_on() {
            return Strike::Late;
        }
        while recent.front().is_some_and(|first| now.saturating_duration_since(*first) > self.limits.window) {
            recent.pop_front();
        }
        recent.push_back(now);
        let (seen, limit) = (recent.len(), self.limits.limit as usize);
        if seen >= limit {
            // It is on once.
            let _ = self.since.set(now);
            self.on.store(true, Relaxed);
            return Strike::Last { seen };
        }
        Strike::Counted { seen, left: limit - seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn five_faults_in_ten_seconds_are_too_many() {
        let quarantine = Quarantine::new(Faults::default());
        for seen in 1..5 {
            assert_eq!(quarantine.strike(Instant::now()), Strike::Counted { seen, left: 5 - seen });
            advance(Duration::from_secs(2)).await;
        }
        assert!(!quarantine.is_on());
        assert_eq!(quarantine.strike(Instant::now()), Strike::Last { seen: 5 });
        assert!(quarantine.is_on());
        assert_eq!(quarantine.strike(Instant::now()), Strike::Late);
    }

    #[tokio::test(start_paused = true)]
    async fn old_faults_are_forgiven() {
        let quarantine = Quarantine::new(Faults::default());
        for _ in 0..20 {
            quarantine.strike(Instant::now());
            advance(Duration::from_secs(3)).await;
        }
        assert!(!quarantine.is_on());
    }
}
