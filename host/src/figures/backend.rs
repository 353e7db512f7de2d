//! One backend's figures. Written by every worker, so they stand on cache lines of their own; read by every pick, so
//! reading is one relaxed load. An average that two workers move at the same moment may lose one of the two samples:
//! figures steer, they do not account.

mod attempt;

pub use attempt::{Attempt, Outcome, Unasked};

use super::{
    Connections, Queue, micros,
    probes::{OfBackend, Said},
    reports::Reported,
    silence::Silence,
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::time::Instant;

/// The live figures of one backend.
#[derive(Debug)]
#[repr(align(128))] // two cache lines: neighbours' writes, and what the prefetcher pulls along, stay apart
pub struct BackendFigures {
    /// All attempts; those that wait for no answer's head any more; those that are over.
    begun: AtomicU64,
    told: AtomicU64,
    over: AtomicU64,
    /// Attempts whose requests are not sent yet: they have no connection, or their bodies are still coming.
    uploading: AtomicU32,
    /// Those of them that wait for a connection, or for a place on one.
    queued: AtomicU32,
    /// Attempts that were let go of unanswered, for another backend was faster.
    outrun: AtomicU64,
    latency_us: AtomicU32,
    /// Micros since `joined` at which `latency_us` was written.
    latency_written_us: AtomicU64,
    peak_latency_us: AtomicU32,
    /// Micros since `joined` at which `peak_latency_us` was written.
    peak_written_us: AtomicU64,
    success_permille_x1000: AtomicU32,
    consecutive_failures: AtomicU32,
    lost_in_a_row: AtomicU32,
    failures: AtomicU64,
    silence: Silence,
    connections: Connections,
    /// Micros since `joined` at which the slow start began, and how long it takes; 0: it starts at full speed.
    slow_start_us: AtomicU64,
    slow_start_length_us: AtomicU64,
    /// Who waits for the end of an attempt, as soon as its pool has a limit.
    queue: OnceLock<Arc<Queue>>,
    /// What it says about itself, once it did.
    pub(super) reported: OnceLock<Box<Reported>>,
    /// How busy it says it is, where it is listened to for that.
    pub(super) said: OnceLock<Box<Said>>,
    /// How often it may be asked.
    pub(super) probed: OfBackend,
    joined: Instant,
}

/// The share of a new sample in the averages of latency and success: 1/16, so about the last forty answers count.
const NEW_SAMPLE_SHIFT: u32 = 4;
/// In how long an average of latencies that no answer confirms is worth 1/e: a backend that was left alone after a bad
/// moment is judged by its next answers, and not by that moment.
const LATENCY_MEMORY: Duration = Duration::from_secs(3);
/// After a shorter silence a new sample has its usual share: `1 - exp(-SILENCE / LATENCY_MEMORY)` is 1/16.
const SILENCE: Duration = Duration::from_millis(193);
/// In how long the peak comes down to 1/e of itself: Finagle's and Linkerd's default.
const PEAK_DECAY: Duration = Duration::from_secs(10);
/// What a backend in slow start gets at first, in thousandths of its share: Envoy's `min_weight_percent`.
const SLOW_START_LEAST: u64 = 100;

impl Default for BackendFigures {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            told: AtomicU64::new(0),
            over: AtomicU64::new(0),
            uploading: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            outrun: AtomicU64::new(0),
            latency_us: AtomicU32::new(0),
            latency_written_us: AtomicU64::new(0),
            peak_latency_us: AtomicU32::new(0),
            peak_written_us: AtomicU64::new(0),
            success_permille_x1000: AtomicU32::new(1_000_000),
            consecutive_failures: AtomicU32::new(0),
            lost_in_a_row: AtomicU32::new(0),
            failures: AtomicU64::new(0),
            silence: Silence::default(),
            connections: Connections::default(),
            slow_start_us: AtomicU64::new(0),
            slow_start_length_us: AtomicU64::new(0),
            queue: OnceLock::new(),
            reported: OnceLock::new(),
            said: OnceLock::new(),
            probed: OfBackend::default(),
            joined: Instant::now(),
        }
    }
}

impl BackendFigures {
    /// Attempts under way.
    pub fn in_flight(&self) -> u32 {
        // In this order: who is over had begun.
        let over = self.over.load(Relaxed);
        u32::try_from(self.begun.load(Relaxed).wrapping_sub(over)).unwrap_or(u32::MAX)
    }

    /// From now on the end of an attempt is told to this line, whenever it began. It is the same one for ever.
    pub fn is_waited_for(&self, queue: &Arc<Queue>) {
        self.queue.get_or_init(|| queue.clone());
    }

    /// Whether fewer attempts than `most` are under way; in one order with those that begin and end under a cap.
    pub fn is_below(&self, most: u32) -> bool {
        let over = self.over.load(SeqCst);
        self.begun.load(SeqCst).saturating_sub(over) < u64::from(most)
    }

    /// Attempts under way that wait for a connection, or for a place on one.
    pub fn queued(&self) -> u32 {
        self.queued.load(Relaxed)
    }

    /// Time to first byte, moving average; 0 before the first answer.
    pub fn latency_us(&self) -> u32 {
        self.latency_us.load(Relaxed)
    }

    /// Peak EWMA of the time to first byte as it stands now (Finagle's `PeakEwma`): up at once, down with `PEAK_DECAY`.
    pub fn peak_latency_us(&self, now: Instant) -> u32 {
        let (floor, peak) = (self.latency_us(), self.peak_latency_us.load(Relaxed));
        if peak <= floor {
            return floor;
        }
        let (floor, peak) = (f64::from(floor), f64::from(peak));
        let since = self.age_us(now).saturating_sub(self.peak_written_us.load(Relaxed));
        let left = (-(since as f64) / PEAK_DECAY.as_micros() as f64).exp();
        (floor + (peak - floor) * left) as u32
    }

    /// Share of attempts answered below 500, moving average in thousandths.
    pub fn success_permille(&self) -> u32 {
        (self.success_permille_x1000.load(Relaxed) + 500) / 1000
    }

    /// Since the last attempt that was answered below 500.
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Relaxed)
    }

    /// Attempts in a row that say the backend cannot serve: it took the request and gave no answer, or 502, 503 or 504. Any
    /// other answer ends the row.
    pub fn lost_in_a_row(&self) -> u32 {
        self.lost_in_a_row.load(Relaxed)
    }

    /// Forgets failures in a row: the backend begins anew.
    pub fn forgive(&self) {
        self.lost_in_a_row.store(0, Relaxed);
        self.consecutive_failures.store(0, Relaxed);
    }

    /// Requests that this backend was asked in full, ever.
    pub fn asked(&self) -> u64 {
        let uploading = u64::from(self.uploading.load(Relaxed));
        self.begun.load(Relaxed).saturating_sub(uploading)
    }

    /// Those of them that wait for their answers' heads.
    pub fn waiting(&self) -> u64 {
        let told = self.told.load(Relaxed);
        self.asked().saturating_sub(told)
    }

    /// Attempts that were let go of unanswered, for another backend was faster, ever.
    pub fn outrun(&self) -> u64 {
        self.outrun.load(Relaxed)
    }

    /// An attempt was let go of after so long, for another backend was faster. Its answer would have taken longer still.
    pub fn was_outrun(&self, waited: Duration, now: Instant) {
        self.outrun.fetch_add(1, Relaxed);
        if waited.as_micros() > u128::from(self.latency_us()) {
            self.latency_moves(waited, now);
        }
        self.silence.was_long();
    }

    /// What is known of its silences.
    pub fn silence(&self) -> &Silence {
        &self.silence
    }

    /// Its connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// From now on it gets a growing share, for so long.
    pub fn start_slowly(&self, length: Duration, now: Instant) {
        self.slow_start_us.store(self.age_us(now), Relaxed);
        self.slow_start_length_us.store(micros(length), Relaxed);
    }

    /// Which share of its weight it should get, in thousandths: 1000 but in slow start, where it grows evenly, as
    /// Envoy's does with aggression 1.
    pub fn slow_start_permille(&self, now: Instant) -> u32 {
        let length = self.slow_start_length_us.load(Relaxed);
        if length == 0 {
            return 1000;
        }
        let passed = self.age_us(now).saturating_sub(self.slow_start_us.load(Relaxed));
        // At most 1000.
        (passed.saturating_mul(1000) / length).clamp(SLOW_START_LEAST, 1000) as u32
    }

    /// Since this process knows the backend.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.joined)
    }

    /// All attempts ever begun.
    pub fn attempts(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// All attempts that ended without an answer below 500 through the backend's fault.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Counts one more as begun, unless `most` are under way.
    pub(super) fn one_more_below(&self, most: u32) -> bool {
        let one_more = |begun: u64| {
            let in_flight = begun.saturating_sub(self.over.load(SeqCst));
            (in_flight < u64::from(most)).then_some(begun + 1)
        };
        self.begun.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    /// What was counted as begun is none.
    pub(super) fn one_less(&self) {
        self.begun.fetch_sub(1, SeqCst);
        self.freed();
    }

    /// There is room for one more, after it was made.
    fn freed(&self) {
        if let Some(queue) = self.queue.get() {
            queue.freed();
        }
    }

    fn age_us(&self, now: Instant) -> u64 {
        micros(self.age(now))
    }

    fn answered_after(&self, took: Duration, now: Instant) {
        self.latency_moves(took, now);
        self.silence.answered_after(took);
    }

    fn latency_moves(&self, took: Duration, now: Instant) {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let old = self.latency_us();
        let age_us = self.age_us(now);
        let silent = Duration::from_micros(age_us.saturating_sub(self.latency_written_us.load(Relaxed)));
        let new = match old {
            0 => sample,
            _ if silent <= SILENCE => moved(old, sample, NEW_SAMPLE_SHIFT),
            _ => {
                let left = (-silent.as_secs_f64() / LATENCY_MEMORY.as_secs_f64()).exp();
                (f64::from(sample) + (f64::from(old) - f64::from(sample)) * left) as u32
            }
        };
        // No peak is below the average, so most samples need not ask where it stands.
        if sample >= old && sample >= self.peak_latency_us(now) {
            self.peak_latency_us.store(sample, Relaxed);
            self.peak_written_us.store(age_us, Relaxed);
        }
        self.latency_us.store(new.max(1), Relaxed);
        self.latency_written_us.store(age_us, Relaxed);
    }

    fn succeeded(&self) {
        self.success_moves(1_000_000);
        // Read first: in good times the line is not written again and again. A row of lost ones is one of failures, too.
        if self.consecutive_failures.load(Relaxed) != 0 {
            self.forgive();
        }
    }

    fn failed(&self, failure: Failure) {
        self.success_moves(0);
        self.consecutive_failures.fetch_add(1, Relaxed);
        self.failures.fetch_add(1, Relaxed);
        match failure {
            Failure::Lost => {
                self.lost_in_a_row.fetch_add(1, Relaxed);
            }
            Failure::Answer => self.lost_in_a_row.store(0, Relaxed),
            Failure::Unreached => {}
        }
    }

    fn success_moves(&self, sample: u32) {
        let old = self.success_permille_x1000.load(Relaxed);
        self.success_permille_x1000.store(moved(old, sample, NEW_SAMPLE_SHIFT), Relaxed);
    }
}

/// The average after one more sample, whose share is one in `1 << shift`.
pub(super) fn moved(old: u32, sample: u32, shift: u32) -> u32 {
    if sample >= old {
        old + ((sample - old) >> shift).max(u32::from(sample != old))
    } else {
        old - ((old - sample) >> shift).max(1)
    }
}

/// What a failed attempt says about its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It cannot serve.
    Lost,
    /// It serves; the request may be to blame.
    Answer,
    /// Nothing: it was not reached.
    Unreached,
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn an_average_of_long_ago_gives_way_to_new_answers() {
        let figures = BackendFigures::default();
        figures.answered_after(Duration::from_secs(1), Instant::now());
        tokio::time::advance(SILENCE).await;
        figures.answered_after(Duration::from_millis(1), Instant::now());
        assert_eq!(figures.latency_us(), 1_000_000 - 999_000 / 16, "the usual share");
        tokio::time::advance(LATENCY_MEMORY).await;
        figures.answered_after(Duration::from_millis(1), Instant::now());
        let third = 1_000 + (f64::from(937_563 - 1_000) / std::f64::consts::E) as u32;
        assert!(figures.latency_us().abs_diff(third) < 10, "{}", figures.latency_us());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_outrun_is_known_to_be_slower_than_that() {
        let figures = BackendFigures::default();
        figures.answered_after(Duration::from_millis(100), Instant::now());
        figures.was_outrun(Duration::from_millis(20), Instant::now());
        assert_eq!(figures.latency_us(), 100_000, "that says nothing new");
        figures.was_outrun(Duration::from_millis(260), Instant::now());
        assert_eq!((figures.latency_us(), figures.peak_latency_us(Instant::now())), (110_000, 260_000));
        assert_eq!((figures.outrun(), figures.failures(), figures.success_permille()), (2, 0, 1000));
    }

    #[test]
    fn failures_in_a_row_are_counted_and_forgiven_by_one_answer() {
        let figures = BackendFigures::default();
        for _ in 0..3 {
            figures.failed(Failure::Lost);
        }
        assert_eq!(figures.consecutive_failures(), 3);
        assert!(figures.success_permille() < 850);
        assert_eq!(figures.lost_in_a_row(), 3);
        figures.failed(Failure::Unreached);
        assert_eq!(figures.lost_in_a_row(), 3);
        figures.failed(Failure::Answer);
        assert_eq!((figures.consecutive_failures(), figures.lost_in_a_row()), (5, 0), "it can serve");
        figures.succeeded();
        assert_eq!(figures.consecutive_failures(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_start_begins_with_a_tenth_and_grows_evenly() {
        let figures = BackendFigures::default();
        assert_eq!(figures.slow_start_permille(Instant::now()), 1000);
        tokio::time::advance(Duration::from_secs(5)).await;
        figures.start_slowly(Duration::from_secs(30), Instant::now());
        for (seconds, permille) in [(0, 100), (1, 100), (14, 500), (14, 966), (60, 1000)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(figures.slow_start_permille(Instant::now()), permille);
        }
    }

    #[test]
    fn an_average_reaches_its_sample_from_both_sides() {
        for start in [0_u32, 2_000] {
            let mut value = start;
            for _ in 0..200 {
                value = moved(value, 1_000, NEW_SAMPLE_SHIFT);
            }
            assert_eq!(value, 1_000, "from {start}");
        }
    }
}
