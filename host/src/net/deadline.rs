//! A timer for limits that move far more often than they are reached. Moving one back costs nothing: the system's timer
//! stays where it was, and is armed anew only when it goes off too early. So a kept-alive connection with a limit of
//! thirty seconds costs one timer operation in thirty seconds, however many requests it serves.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time to be woken at, which may be moved at any time.
#[derive(Debug)]
pub struct Deadline {
    due: Instant,
    /// Goes off at `due` or before it, never after it.
    alarm: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Due at this time. Only inside a runtime.
    pub fn new(due: Instant) -> Deadline {
        Deadline { due, alarm: Box::pin(sleep_until(due)) }
    }

    /// Moves it.
    pub fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.alarm.deadline() {
            self.alarm.as_mut().reset(due);
        }
    }

    /// Ready from the deadline on. Until then the task is woken at it, and perhaps once too early.
    pub fn poll_reached(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if self.alarm.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(self.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn it_is_reached_where_it_was_moved_to() {
        let start = Instant::now();
        for seconds in [30, 60, 5, 90] {
            let mut deadline = Deadline::new(start + Duration::from_secs(30));
            deadline.set(start + Duration::from_secs(seconds));
            poll_fn(|cx| deadline.poll_reached(cx)).await;
            assert!(Instant::now() >= start + Duration::from_secs(seconds), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reached_one_can_be_used_again() {
        let mut deadline = Deadline::new(Instant::now() + Duration::from_secs(1));
        poll_fn(|cx| deadline.poll_reached(cx)).await;
        let next = Instant::now() + Duration::from_secs(3);
        deadline.set(next);
        poll_fn(|cx| deadline.poll_reached(cx)).await;
        assert!(Instant::now() >= next);
    }

    #[tokio::test(start_paused = true)]
    async fn moving_it_back_leaves_the_alarm_alone() {
        let start = Instant::now();
        let mut deadline = Deadline::new(start + Duration::from_secs(30));
        deadline.set(start + Duration::from_secs(60));
        assert_eq!(deadline.alarm.deadline(), start + Duration::from_secs(30));
        deadline.set(start + Duration::from_secs(10));
        assert_eq!(deadline.alarm.deadline(), start + Duration::from_secs(10));
    }
}
