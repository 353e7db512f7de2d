//! Decisions as people see them who look at a pool: a ring of the latest ones, filled only while somebody does.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Decisions that wait to be read; the oldest goes for one more.
const KEPT_MOST: usize = 1024;
/// For how long one look keeps the tap open: whoever follows looks again sooner.
const OPEN_FOR: Duration = Duration::from_secs(3);

/// What may be seen of one pool's decisions.
#[derive(Debug, Default)]
pub struct Tap {
    open: AtomicBool,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    until: Option<Instant>,
    /// The number of the latest.
    latest: u64,
    seen: VecDeque<(u64, Arc<Seen>)>,
}

/// One decision.
#[derive(Debug)]
pub struct Seen {
    /// Method and path of the request.
    pub request: String,
    /// 0 for its first try.
    pub attempt: u32,
    /// The plugins that were asked, in their order.
    pub by: Vec<Opinion>,
    /// Who might be chosen, with what was known of each just before.
    pub candidates: Vec<Candidate>,
    /// How many more there were.
    pub left_out: usize,
    /// What came of it: `chosen`, `next-usable` (for who was chosen was not), `preferred` (ranked by the decision before),
    /// `narrowed` (by a plugin, and the host chose inside), `guarded` (for the sake of a share), `fallback`, `rejected`, `full`
    /// or `nobody`.
    pub outcome: &'static str,
    /// Who was chosen.
    pub chosen: Option<Arc<str>>,
    /// What it took, checks and fallback included.
    pub took: Duration,
}

/// What one plugin said when it was asked.
#[derive(Debug)]
pub struct Opinion {
    /// Its name.
    pub plugin: Arc<str>,
    /// The number of its generation.
    pub generation: u64,
    /// `chose`, `narrowed`, `passed`, `rejected` or `failed`.
    pub said: &'static str,
    /// Why, if it says so.
    pub note: Option<Box<str>>,
}

/// Somebody who might be chosen.
#[derive(Debug)]
pub struct Candidate {
    /// The backend.
    pub name: Arc<str>,
    /// Its weight.
    pub weight: u32,
    /// Requests under way there.
    pub in_flight: u32,
    /// Time to the first byte, moving average.
    pub latency_us: u32,
    /// Share of attempts that got an answer below 500.
    pub success_permille: u32,
}

/// What a look brings.
#[derive(Debug, Default)]
pub struct Look {
    /// The decisions since the last look, oldest first.
    pub seen: Vec<Arc<Seen>>,
    /// How many more there were, that nobody read in time.
    pub dropped: u64,
    /// What the next look is to name.
    pub latest: u64,
}

impl Tap {
    /// Whether somebody looks: one relaxed load.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Shows a decision to who looks; closes when nobody does any more.
    pub fn put(&self, seen: Arc<Seen>, now: Instant) {
        let mut ring = self.ring();
        if ring.until.is_none_or(|until| until < now) {
            self.open.store(false, Relaxed);
            ring.seen = VecDeque::new();
            return;
        }
        ring.latest += 1;
        if ring.seen.len() == KEPT_MOST {
            ring.seen.pop_front();
        }
        let number = ring.latest;
        ring.seen.push_back((number, seen));
    }

    /// The decisions after the one of this number; none: those from now on. Keeps the tap open.
    pub fn look(&self, after: Option<u64>, now: Instant) -> Look {
        let mut ring = self.ring();
        ring.until = Some(now + OPEN_FOR);
        self.open.store(true, Relaxed);
        let after = after.unwrap_or(ring.latest).min(ring.latest);
        let seen: Vec<_> =
            ring.seen.iter().filter(|(number, _)| *number > after).map(|(_, seen)| seen.clone()).collect();
        Look { dropped: ring.latest - after - seen.len() as u64, seen, latest: ring.latest }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Arc<Seen> {
        Arc::new(Seen {
            request: "GET /".into(),
            attempt: 0,
            by: Vec::new(),
            candidates: Vec::new(),
            left_out: 0,
            outcome: "nobody",
            chosen: None,
            took: Duration::ZERO,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_open_while_somebody_looks_and_counts_what_was_missed() {
        let (tap, now) = (Tap::default(), Instant::now());
        assert!(!tap.is_open());
        assert_eq!(tap.look(None, now).latest, 0);
        assert!(tap.is_open());
        for _ in 0..3 {
            tap.put(seen(), now);
        }
        let look = tap.look(Some(1), now);
        assert_eq!((look.seen.len(), look.dropped, look.latest), (2, 0, 3));
        (0..KEPT_MOST + 10).for_each(|_| tap.put(seen(), now));
        let look = tap.look(Some(3), now);
        assert_eq!((look.seen.len(), look.dropped), (KEPT_MOST, 10));
        tap.put(seen(), now + OPEN_FOR + Duration::from_millis(1));
        assert!(!tap.is_open());
        assert_eq!(tap.look(Some(99_999), now).seen.len(), 0, "a number that never was");
    }
}
