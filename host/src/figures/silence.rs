//! What is known of a backend's silences: whether a byte came lately, how usual slow answers are, and whether it counts as
//! stalled. Requests that have waited for long learn of a stall at once; those that have not look when they have.

use super::backend::moved;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::{Notify, futures::OwnedNotified};

/// The share of a new answer in the share of slow ones: 1/128, so that one slow answer in a few hundred is remembered.
const NEW_ANSWER_SHIFT: u32 = 7;
/// Everything, in the unit of shares.
const WHOLE: u32 = 1_000_000;

/// One backend's silences.
#[derive(Debug)]
pub struct Silence {
    /// A byte came since this was asked last.
    broken: AtomicBool,
    /// An answer that took longer is slow.
    slow_after_us: AtomicU32,
    /// Share of slow answers, moving average. As long as next to nothing is known it is close to all of them.
    slow: AtomicU32,
    stalled: AtomicBool,
    bell: Arc<Notify>,
}

/// Ready when the backend stalls.
pub type Told = Pin<Box<OwnedNotified>>;

impl Default for Silence {
    fn default() -> Self {
        Self {
            broken: AtomicBool::new(false),
            slow_after_us: AtomicU32::new(u32::MAX),
            slow: AtomicU32::new(WHOLE),
            stalled: AtomicBool::new(false),
            bell: Arc::default(),
        }
    }
}

impl Silence {
    /// From now on an answer that takes longer counts as slow.
    pub fn slow_after(&self, time: Duration) {
        self.slow_after_us.store(u32::try_from(time.as_micros()).unwrap_or(u32::MAX), Relaxed);
    }

    /// Share of answers that were slow, from 0 to 1.
    pub fn slow_share(&self) -> f64 {
        f64::from(self.slow.load(Relaxed)) / f64::from(WHOLE)
    }

    /// Whether a byte came since this was asked last.
    pub fn was_broken(&self) -> bool {
        self.broken.load(Relaxed) && self.broken.swap(false, Relaxed)
    }

    /// Whether it counts as stalled.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(SeqCst)
    }

    /// It counts as stalled from now on: who waits is told.
    pub fn stalls(&self) {
        self.stalled.store(true, SeqCst);
        self.bell.notify_waiters();
    }

    /// It does not count as stalled any more.
    pub fn ends(&self) {
        self.stalled.store(false, SeqCst);
    }

    /// Hears of the next stall. Ask [`Silence::is_stalled`] after this, so that none is missed.
    pub fn told(&self) -> Told {
        Box::pin(self.bell.clone().notified_owned())
    }

    /// A byte came.
    pub(super) fn broken(&self) {
        // Read first: the line is not written again and again.
        if !self.broken.load(Relaxed) {
            self.broken.store(true, Relaxed);
        }
    }

    pub(super) fn answered_after(&self, took: Duration) {
        self.ends_with(took.as_micros() > u128::from(self.slow_after_us.load(Relaxed)));
    }

    /// How long it would have taken is not known. Slow answers are that usual, or one could not tell from such silences
    /// whether a backend hangs.
    pub(super) fn was_long(&self) {
        self.ends_with(true);
    }

    fn ends_with(&self, slow: bool) {
        let old = self.slow.load(Relaxed);
        if slow || old != 0 {
            self.slow.store(moved(old, if slow { WHOLE } else { 0 }, NEW_ANSWER_SHIFT), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_usual_until_many_were_quick() {
        let silence = Silence::default();
        silence.slow_after(Duration::from_millis(500));
        let answers = |n, millis| {
            (0..n).for_each(|_| silence.answered_after(Duration::from_millis(millis)));
            silence.slow_share()
        };
        assert_eq!(silence.slow_share(), 1.0);
        assert!((0.05..0.15).contains(&answers(300, 1)));
        assert!(answers(700, 1) < 0.001);
        assert!((0.007..0.009).contains(&answers(1, 501)), "one slow answer in some hundred");
    }

    #[tokio::test]
    async fn who_waits_is_told_of_a_stall() {
        let silence = Silence::default();
        let told = silence.told();
        assert!(!silence.is_stalled());
        silence.stalls();
        told.await;
        assert!(silence.is_stalled());
        silence.ends();
        assert!(!silence.is_stalled());
    }

    #[test]
    fn a_byte_breaks_the_silence_once() {
        let silence = Silence::default();
        silence.broken();
        silence.broken();
        assert_eq!((silence.was_broken(), silence.was_broken()), (true, false));
    }
}
