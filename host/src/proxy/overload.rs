//! How many requests the whole process has under way at the same time. What is beyond is answered at once, so that those
//! that are served stay fast; begin and end of that are told once each.

use crate::problem::{Code, Problem};
use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};
use tokio::time::Instant;

/// It is over when this share of the limit is free again, in per cent …
const FREE_AGAIN: u64 = 25;
/// … and nobody was refused for so long, in milliseconds.
const QUIET_MS: u64 = 1000;

/// The limit of a process, where one is configured.
#[derive(Debug)]
pub struct Overload {
    most: u32,
    under_way: AtomicU32,
    is_refusing: AtomicBool,
    refused: AtomicU64,
    /// When the last one was, in milliseconds since `begun`.
    refused_at_ms: AtomicU64,
    begun: Instant,
}

/// One of the requests under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Inside(Arc<Overload>);

impl Overload {
    /// So many, and no more.
    pub fn new(most: u32) -> Arc<Overload> {
        Arc::new(Overload {
            most,
            under_way: AtomicU32::new(0),
            is_refusing: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            refused_at_ms: AtomicU64::new(0),
            begun: Instant::now(),
        })
    }

    /// One more, if there may be one.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Inside> {
        let one_more = |under_way| (under_way < self.most).then_some(under_way + 1);
        if self.under_way.fetch_update(SeqCst, SeqCst, one_more).is_ok() {
            return Some(Inside(self.clone()));
        }
        self.refused.fetch_add(1, Relaxed);
        self.refused_at_ms.fetch_max(self.now_ms(), Relaxed);
        if !self.is_refusing.swap(true, Relaxed) {
            let headline = format!("{} requests are under way, as many as may be; more are answered 503", self.most);
            Problem::error(Code::OVERLOADED, headline).log();
        }
        None
    }

    /// One has ended, and so many are left.
    fn left(&self, under_way: u32) {
        let may_be = u64::from(self.most) * (100 - FREE_AGAIN) / 100;
        let is_quiet = || self.now_ms() >= self.refused_at_ms.load(Relaxed) + QUIET_MS;
        if self.is_refusing.load(Relaxed)
            && u64::from(under_way) <= may_be
            && is_quiet()
            && self.is_refusing.swap(false, Relaxed)
        {
            let refused = self.refused.swap(0, Relaxed);
            tracing::info!(refused, "there is room again for requests");
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let before = self.0.under_way.fetch_sub(1, SeqCst);
        self.0.left(before - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn what_is_beyond_is_refused_until_one_ends() {
        let overload = Overload::new(2);
        let (one, two) = (overload.enter(), overload.enter());
        assert!(one.is_some() && two.is_some());
        assert!(overload.enter().is_none());
        drop(one);
        assert!(overload.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_there_is_room_and_nobody_was_refused_lately() {
        let overload = Overload::new(4);
        let mut inside: Vec<_> = std::iter::from_fn(|| overload.enter()).collect();
        assert_eq!(inside.len(), 4);
        inside.pop();
        assert!(overload.is_refusing.load(Relaxed), "somebody was refused just now");
        advance(Duration::from_millis(QUIET_MS)).await;
        inside.push(overload.enter().unwrap());
        assert!(overload.is_refusing.load(Relaxed), "nothing is free");
        inside.pop();
        assert!(!overload.is_refusing.load(Relaxed));
    }
}
