//! A place among a backend's attempts, taken by a balancer while it decides. Whoever looks first and counts later lets one
//! more through for each worker that looks at the same moment; what is counted at once never exceeds its bound.

use super::{Attempt, BackendFigures};
use std::sync::Arc;
use tokio::time::Instant;

/// One attempt more that counts already, until it begins or this is dropped.
#[derive(Debug)]
pub struct Reservation(Option<Arc<BackendFigures>>);

impl Reservation {
    /// Counts one, unless `most` are under way.
    pub fn below(most: u32, figures: &Arc<BackendFigures>) -> Option<Reservation> {
        figures.one_more_below(most).then(|| Reservation(Some(figures.clone())))
    }

    /// It begins; none if it was not counted after all.
    pub fn begin(mut self, now: Instant) -> Option<Attempt> {
        self.0.take().map(|figures| Attempt::counted(figures, now))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(figures) = self.0.take() {
            figures.one_less();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[tokio::test]
    async fn what_is_undone_was_no_attempt() {
        let figures = Arc::<BackendFigures>::default();
        let first = Reservation::below(1, &figures).unwrap();
        assert!(Reservation::below(1, &figures).is_none() && figures.in_flight() == 1);
        drop(first);
        assert_eq!((figures.in_flight(), figures.attempts()), (0, 0));
        let attempt = Reservation::below(1, &figures).unwrap().begin(Instant::now()).unwrap();
        assert_eq!((figures.in_flight(), figures.attempts()), (1, 1));
        drop(attempt);
        assert_eq!((figures.in_flight(), figures.attempts()), (0, 1));
    }

    #[test]
    fn threads_that_reserve_at_the_same_moment_stay_below_the_bound() {
        const BOUND: u32 = 3;
        let (figures, under_way, served) = (Arc::<BackendFigures>::default(), AtomicU32::new(0), AtomicU32::new(0));
        let worker = || {
            for turn in 0..20_000 {
                let Some(reserved) = Reservation::below(BOUND, &figures) else {
                    std::thread::yield_now();
                    continue;
                };
                assert!(under_way.fetch_add(1, SeqCst) < BOUND);
                let attempt = if turn % 3 == 0 { None } else { reserved.begin(Instant::now()) };
                served.fetch_add(u32::from(attempt.is_some()), SeqCst);
                // Given back here only when it is undone above, so before it may be taken by another.
                under_way.fetch_sub(1, SeqCst);
                drop(attempt);
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(worker))));
        assert_eq!((figures.in_flight(), figures.attempts()), (0, u64::from(served.load(SeqCst))));
        assert!(served.load(SeqCst) > 0);
    }
}
