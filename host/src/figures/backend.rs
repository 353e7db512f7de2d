//! One backend's figures. Written by every worker, so they stand on cache lines of their own; read by every pick, so
//! reading is one relaxed load. An average that two workers move at the same moment may lose one of the two samples:
//! figures steer, they do not account.

use super::micros;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of an answer came, with this status.
    Answered(u16),
    /// None came, and the backend or the way to it is to blame.
    Failed,
    /// None came, and the backend is not to blame: the client left, or the process drains.
    Abandoned,
}

/// The live figures of one backend.
#[derive(Debug)]
#[repr(align(128))] // two cache lines: neighbours' writes, and what the prefetcher pulls along, stay apart
pub struct BackendFigures {
    in_flight: AtomicU32,
    latency_us: AtomicU32,
    peak_latency_us: AtomicU32,
    /// Micros since `joined` at which `peak_latency_us` was written.
    peak_written_us: AtomicU64,
    success_permille_x1000: AtomicU32,
    consecutive_failures: AtomicU32,
    attempts: AtomicU64,
    failures: AtomicU64,
    joined: Instant,
}

/// The share of a new sample in the averages of latency and success: 1/16, so about the last forty answers count.
const NEW_SAMPLE_SHIFT: u32 = 4;
/// In how long the peak comes down to 1/e of itself: Finagle's and Linkerd's default.
const PEAK_DECAY: Duration = Duration::from_secs(10);

impl Default for BackendFigures {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            latency_us: AtomicU32::new(0),
            peak_latency_us: AtomicU32::new(0),
            peak_written_us: AtomicU64::new(0),
            success_permille_x1000: AtomicU32::new(1_000_000),
            consecutive_failures: AtomicU32::new(0),
            attempts: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            joined: Instant::now(),
        }
    }
}

impl BackendFigures {
    /// Attempts under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Time to first byte, moving average; 0 before the first answer.
    pub fn latency_us(&self) -> u32 {
        self.latency_us.load(Relaxed)
    }

    /// Peak EWMA of the time to first byte as it stands now (Finagle's `PeakEwma`): up at once, down with `PEAK_DECAY`.
    pub fn peak_latency_us(&self, now: Instant) -> u32 {
        let floor = f64::from(self.latency_us());
        let peak = f64::from(self.peak_latency_us.load(Relaxed));
        let since = self.age_us(now).saturating_sub(self.peak_written_us.load(Relaxed));
        let left = (-(since as f64) / PEAK_DECAY.as_micros() as f64).exp();
        (floor + (peak - floor).max(0.0) * left) as u32
    }

    /// Share of attempts answered below 500, moving average in thousandths.
    pub fn success_permille(&self) -> u32 {
        (self.success_permille_x1000.load(Relaxed) + 500) / 1000
    }

    /// Since the last attempt that was answered below 500.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Relaxed)
    }

    /// Since this process knows the backend.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.joined)
    }

    /// All attempts ever begun.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Relaxed)
    }

    /// All attempts that ended without an answer below 500 through the backend's fault.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    fn age_us(&self, now: Instant) -> u64 {
        micros(self.age(now))
    }

    fn answered_after(&self, took: Duration, now: Instant) {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let old = self.latency_us();
        let new = if old == 0 { sample } else { moved(old, sample) };
        if f64::from(sample) >= f64::from(self.peak_latency_us(now)) {
            self.peak_latency_us.store(sample, Relaxed);
            self.peak_written_us.store(self.age_us(now), Relaxed);
        }
        self.latency_us.store(new.max(1), Relaxed);
    }

    fn succeeded(&self, yes: bool) {
        let sample = if yes { 1_000_000 } else { 0 };
        let old = self.success_permille_x1000.load(Relaxed);
        self.success_permille_x1000.store(moved(old, sample), Relaxed);
        if yes {
            // Read first: in good times the line is not written again and again.
            if self.consecutive_failures.load(Relaxed) != 0 {
                self.consecutive_failures.store(0, Relaxed);
            }
        } else {
            self.consecutive_failures.fetch_add(1, Relaxed);
            self.failures.fetch_add(1, Relaxed);
        }
    }
}

/// The average after one more sample.
fn moved(old: u32, sample: u32) -> u32 {
    if sample >= old {
        old + ((sample - old) >> NEW_SAMPLE_SHIFT).max(u32::from(sample != old))
    } else {
        old - ((old - sample) >> NEW_SAMPLE_SHIFT).max(1)
    }
}

/// One attempt under way: counted in flight until it is dropped.
#[derive(Debug)]
pub struct Attempt {
    figures: Arc<BackendFigures>,
    begun: Instant,
    told: bool,
}

impl Attempt {
    /// Counts one more in flight.
    pub fn begin(figures: Arc<BackendFigures>, now: Instant) -> Attempt {
        figures.in_flight.fetch_add(1, Relaxed);
        figures.attempts.fetch_add(1, Relaxed);
        Attempt { figures, begun: now, told: false }
    }

    /// The backend has what it can answer to only now: its latency counts from here.
    pub fn asked(&mut self, now: Instant) {
        self.begun = now;
    }

    /// Says how it ended, once; it stays in flight until dropped, for the answer's body is still to come.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        match outcome {
            Outcome::Answered(status) => {
                self.figures.answered_after(now.saturating_duration_since(self.begun), now);
                self.figures.succeeded(status < 500);
            }
            Outcome::Failed => self.figures.succeeded(false),
            Outcome::Abandoned => {}
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.figures.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_in_flight_until_dropped_and_told_once() {
        let figures = Arc::new(BackendFigures::default());
        let mut attempt = Attempt::begin(figures.clone(), Instant::now());
        tokio::time::advance(Duration::from_millis(20)).await;
        attempt.ended(Outcome::Answered(200), Instant::now());
        attempt.ended(Outcome::Failed, Instant::now());
        assert_eq!(figures.in_flight(), 1);
        assert_eq!((figures.latency_us(), figures.success_permille(), figures.failures()), (20_000, 1000, 0));
        drop(attempt);
        assert_eq!(figures.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_peak_jumps_up_and_comes_down_to_a_third_in_ten_seconds() {
        let figures = BackendFigures::default();
        figures.answered_after(Duration::from_millis(1), Instant::now());
        figures.answered_after(Duration::from_millis(101), Instant::now());
        assert_eq!(figures.peak_latency_us(Instant::now()), 101_000);
        tokio::time::advance(PEAK_DECAY).await;
        let third = figures.latency_us() + ((101_000 - figures.latency_us()) as f64 / std::f64::consts::E) as u32;
        assert!(figures.peak_latency_us(Instant::now()).abs_diff(third) < 10);
    }

    #[test]
    fn failures_in_a_row_are_counted_and_forgiven_by_one_answer() {
        let figures = BackendFigures::default();
        for _ in 0..3 {
            figures.succeeded(false);
        }
        assert_eq!(figures.consecutive_failures(), 3);
        assert!(figures.success_permille() < 850);
        figures.succeeded(true);
        assert_eq!(figures.consecutive_failures(), 0);
    }

    #[test]
    fn an_average_reaches_its_sample_from_both_sides() {
        for start in [0_u32, 2_000] {
            let mut value = start;
            for _ in 0..200 {
                value = moved(value, 1_000);
            }
            assert_eq!(value, 1_000, "from {start}");
        }
    }
}
