//! One request at one backend, counted in its figures from its beginning to its end.

use super::{BackendFigures, Failure};
use crate::figures::{Loss, Slip, micros};
use std::sync::{
    Arc,
    atomic::Ordering::{Relaxed, SeqCst},
};
use tokio::time::Instant;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of an answer came, with this status.
    Answered(u16),
    /// None came, and the backend is to blame.
    Failed,
    /// There was no connection: health checks ask the same, and know when it is over.
    Unreached,
    /// None came, and the backend is not to blame: the client left, or the process drains.
    Abandoned,
}

/// One attempt under way: counted in flight until it is dropped.
#[derive(Debug)]
pub struct Attempt {
    figures: Arc<BackendFigures>,
    begun: Instant,
    uploading: bool,
    told: bool,
    /// Where whoever chose it wants to hear of it.
    slip: Option<Slip>,
}

impl Attempt {
    /// Counts one more in flight.
    pub fn begin(figures: Arc<BackendFigures>, now: Instant) -> Attempt {
        figures.begun.fetch_add(1, Relaxed);
        Attempt::counted(figures, now)
    }

    /// The same, unless `most` are in flight already.
    pub fn begin_below(most: u32, figures: Arc<BackendFigures>, now: Instant) -> Option<Attempt> {
        figures.one_more_below(most).then(|| Attempt::counted(figures, now))
    }

    /// One that counts as begun already.
    pub(in crate::figures) fn counted(figures: Arc<BackendFigures>, now: Instant) -> Attempt {
        Attempt { figures, begun: now, uploading: false, told: false, slip: None }
    }

    /// When it began, or was asked last.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// What becomes of it is written on this slip.
    pub fn reports_on(&mut self, slip: Option<Slip>) {
        self.slip = slip;
    }

    /// Its slip: another attempt at the same backend may go on with it.
    pub fn slip(&self) -> Option<Slip> {
        self.slip.clone()
    }

    /// The backend has what it can answer to only now: its latency counts from here.
    pub fn asked(&mut self, now: Instant) {
        self.begun = now;
    }

    /// The request's body is still coming: nobody waits for the backend before [`Attempt::uploaded`].
    pub fn uploading(&mut self) {
        if !std::mem::replace(&mut self.uploading, true) {
            self.figures.uploading.fetch_add(1, Relaxed);
        }
    }

    /// All of the request is sent.
    pub fn uploaded(&mut self) {
        if std::mem::take(&mut self.uploading) {
            self.figures.uploading.fetch_sub(1, Relaxed);
        }
    }

    /// So many bytes of the request's body went out.
    pub fn sent(&self, bytes: usize) {
        if let Some(slip) = &self.slip {
            slip.sent(bytes);
        }
    }

    /// So many bytes of the answer's body came.
    pub fn received(&self, bytes: usize) {
        if let Some(slip) = &self.slip {
            slip.received(bytes);
        }
    }

    /// It went wrong in this way, or in none; what is said last holds.
    pub fn lost(&self, loss: Loss) {
        if let Some(slip) = &self.slip {
            slip.lost(loss);
        }
    }

    /// A byte came from the backend. No clock is read and, in good times, nothing is written.
    pub fn heard(&self) {
        self.figures.silence.broken();
    }

    /// The figures it counts in.
    pub fn figures(&self) -> &Arc<BackendFigures> {
        &self.figures
    }

    /// Says how it ended, once; it stays in flight until dropped, for the answer's body is still to come.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) {
        if self.told {
            return;
        }
        self.waits_no_more();
        match outcome {
            Outcome::Answered(status) => {
                let took = now.saturating_duration_since(self.begun);
                self.figures.answered_after(took, now);
                if let Some(slip) = &self.slip {
                    slip.answered(status, micros(took));
                }
                match failure(status) {
                    None => self.figures.succeeded(),
                    Some(failure) => self.figures.failed(failure),
                }
            }
            Outcome::Failed => self.figures.failed(Failure::Lost),
            Outcome::Unreached => self.figures.failed(Failure::Unreached),
            Outcome::Abandoned => {}
        }
    }

    fn waits_no_more(&mut self) {
        self.uploaded();
        self.told = true;
        self.figures.told.fetch_add(1, Relaxed);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.told {
            self.waits_no_more();
        }
        // In one order with the length of the line: see `Queue`.
        self.figures.over.fetch_add(1, SeqCst);
        self.figures.freed();
    }
}

/// An attempt waits for a connection, or for a place on one: while this lives, one attempt less counts as asked of its
/// backend.
#[derive(Debug)]
pub struct Unasked(Arc<BackendFigures>);

impl Unasked {
    /// From now on.
    pub fn begin(figures: &Arc<BackendFigures>) -> Unasked {
        figures.uploading.fetch_add(1, Relaxed);
        figures.queued.fetch_add(1, Relaxed);
        Unasked(figures.clone())
    }
}

impl Drop for Unasked {
    fn drop(&mut self) {
        self.0.uploading.fetch_sub(1, Relaxed);
        self.0.queued.fetch_sub(1, Relaxed);
    }
}

fn failure(status: u16) -> Option<Failure> {
    match status {
        502..=504 => Some(Failure::Lost),
        500.. => Some(Failure::Answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
    async fn only_a_request_that_was_sent_waits() {
        let figures = Arc::new(BackendFigures::default());
        let now = Instant::now();
        let mut attempts = [(); 3].map(|()| Attempt::begin(figures.clone(), now));
        attempts[0].uploading();
        assert_eq!((figures.asked(), figures.waiting(), figures.in_flight()), (2, 2, 3));
        attempts[0].uploaded();
        assert_eq!((figures.asked(), figures.waiting()), (3, 3));
        attempts[1].ended(Outcome::Answered(200), now);
        attempts[2].uploading();
        assert_eq!((figures.asked(), figures.waiting(), figures.in_flight()), (2, 1, 3));
        let unasked = Unasked::begin(&figures);
        assert_eq!((figures.asked(), figures.waiting(), figures.in_flight()), (1, 0, 3));
        assert_eq!(figures.queued(), 1);
        drop(unasked);
        assert_eq!((figures.asked(), figures.waiting(), figures.queued()), (2, 1, 0));
        drop(attempts);
        assert_eq!((figures.asked(), figures.waiting(), figures.in_flight()), (3, 0, 0));
    }
}
