//! How long an exchange waits, and for what; the same for both protocols.

use super::{Limits, error::ErrorKind};
use crate::{
    figures::{Attempt, Told},
    net::{BodyError, Deadline, Side},
};
use std::{
    future::Future,
    mem,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// How long one exchange still waits.
#[derive(Debug)]
pub(super) struct Patience {
    limits: Limits,
    /// For the head, when the request has a body: its time counts from the body's end. None from the head on.
    for_head: Option<Duration>,
    /// When both bodies have been still for too long; none: something moved since this was set.
    still_until: Option<Instant>,
    /// Bytes that came of the request's body since then.
    came: usize,
    /// The next piece had to come from the client first when this was asked last.
    is_starved: bool,
    /// Hears of a stall; none: nobody has waited long enough.
    stall: Option<Told>,
}

/// How far a request's way out has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// The next piece has to come from the client first.
    Starved,
    /// The backend has to take what there is first.
    Stuck,
    /// All of it is sent, or refused.
    Over,
}

/// Why waiting came to an end.
pub(super) enum Overdue {
    /// No byte of a body moved.
    Idle,
    /// The time for everything is up.
    Limit,
}

impl Overdue {
    /// What becomes of an answer that has begun.
    pub(super) fn in_answer(self) -> BodyError {
        match self {
            Overdue::Idle => upstream("the backend fell silent in the middle of its answer"),
            Overdue::Limit => upstream("the answer took longer than the pool's total timeout"),
        }
    }
}

/// An answer that came to a bad end through the backend's fault.
pub(super) fn upstream(what: impl Into<String>) -> BodyError {
    BodyError::new(Side::Upstream, what)
}

impl Patience {
    /// A body that is still to be sent is said to `attempt`.
    pub(super) fn new(limits: Limits, has_body: bool, attempt: &mut Attempt) -> Patience {
        if has_body {
            attempt.uploading();
        }
        let for_head = has_body.then(|| limits.head.saturating_duration_since(Instant::now()));
        Patience { limits, for_head, still_until: None, came: 0, is_starved: false, stall: None }
    }

    /// The request was sent as far as it could be, with so many bytes that came of its body.
    pub(super) fn sent(&mut self, moved: bool, came: usize, sending: Sending, attempt: &mut Attempt) {
        let was_starved = mem::replace(&mut self.is_starved, sending == Sending::Starved);
        if moved {
            self.came = self.came.saturating_add(came);
            // A client that sends a byte now and then is as good as one that sends none.
            let is_slow = was_starved && self.is_starved && self.for_head.is_some() && self.came < self.limits.least;
            if !is_slow {
                self.moved();
            }
        }
        if self.for_head.is_none() {
            return;
        }
        let now = Instant::now();
        if moved {
            // The client's time is not the backend's.
            attempt.asked(now);
        }
        // Once: this is asked again and again while the head is waited for.
        if sending == Sending::Over
            && let Some(patience) = self.for_head.take()
        {
            attempt.uploaded();
            self.limits.head = self.limits.head.max(now + patience);
        }
    }

    /// What was given.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Something of a body moved.
    pub(super) fn moved(&mut self) {
        self.still_until = None;
        self.came = 0;
    }

    /// The head came.
    pub(super) fn answered(&mut self) {
        self.for_head = None;
    }

    /// Ready when there is no use in waiting for the head any longer: its time is up, or the backend has stalled and another
    /// one may be asked.
    pub(super) fn poll_head(
        &mut self,
        deadline: &mut Deadline,
        sending: Sending,
        attempt: &Attempt,
        answered: bool,
        cx: &mut Context<'_>,
    ) -> Poll<ErrorKind> {
        if sending == Sending::Over {
            let stall = self.limits.stall.filter(|from| !answered && *from < self.limits.head);
            if let Some(from) = stall {
                if self.stall.is_none() {
                    ready!(self.poll_until(deadline, from, cx));
                }
                if self.poll_stall(attempt, cx).is_ready() {
                    return Poll::Ready(ErrorKind::Stalled);
                }
            }
            ready!(self.poll_until(deadline, self.limits.head, cx));
            return Poll::Ready(ErrorKind::HeadTimeout);
        }
        Poll::Ready(match ready!(self.poll_still(deadline, cx)) {
            Overdue::Limit => ErrorKind::HeadTimeout,
            Overdue::Idle if sending == Sending::Starved => ErrorKind::RequestTimeout(self.limits.idle),
            Overdue::Idle => ErrorKind::SendTimeout(self.limits.idle),
        })
    }

    /// Ready when the backend has stalled. Only who has waited for long listens for it, so that it costs the others nothing.
    fn poll_stall(&mut self, attempt: &Attempt, cx: &mut Context<'_>) -> Poll<()> {
        let silence = attempt.figures().silence();
        loop {
            let told = self.stall.get_or_insert_with(|| silence.told());
            if silence.is_stalled() {
                return Poll::Ready(());
            }
            ready!(told.as_mut().poll(cx));
            self.stall = None;
        }
    }

    /// Ready when no byte of a body has moved for too long. Only while nothing can be done but wait: time that passes
    /// because the other side takes nothing is not counted.
    pub(super) fn poll_still(&mut self, deadline: &mut Deadline, cx: &mut Context<'_>) -> Poll<Overdue> {
        let until = *self.still_until.get_or_insert_with(|| Instant::now() + self.limits.idle);
        ready!(self.poll_until(deadline, until, cx));
        Poll::Ready(if self.limits.end.is_some_and(|end| end < until) { Overdue::Limit } else { Overdue::Idle })
    }

    /// Ready when the whole exchange must be over; also while bytes move.
    pub(super) fn poll_end(&mut self, deadline: &mut Deadline, cx: &mut Context<'_>) -> Poll<()> {
        match self.limits.end {
            Some(end) => self.poll_until(deadline, end, cx),
            None => Poll::Pending,
        }
    }

    /// Ready at this time, or when the whole exchange must be over.
    fn poll_until(&mut self, deadline: &mut Deadline, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        deadline.set(self.limits.end.map_or(until, |end| end.min(until)));
        deadline.poll_reached(cx)
    }
}
