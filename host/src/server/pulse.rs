//! What one connection is doing, as its limits see it. The stream and the service write it as they go; nothing here
//! touches a timer, and a request whose head comes in one piece costs one reading of the clock, at its end.

use crate::config::model::ListenTimeout;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// A client gets this long to close its side after we closed ours.
pub(super) const FAREWELL_MOST: Duration = Duration::from_secs(2);

/// At a drain, a connection that has asked for nothing yet gets this long: its request may have come with it.
const FIRST_MOST: Duration = Duration::from_millis(250);

/// One connection's state, shared by those who serve it.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Requests under way, from the last byte of the head to the last of the answer.
    requests: Cell<u32>,
    /// Since when there is none.
    idle_since: Cell<Instant>,
    /// How far the next request's head is.
    head: Cell<NextHead>,
    /// The client takes what it asked for too slowly, or not at all.
    stuck: Cell<Option<Stuck>>,
    /// Since when no further request is taken.
    closing_since: Cell<Option<Instant>>,
    draining: Cell<bool>,
    /// Whether a request ever came. The first may lie in the socket already, unseen.
    has_served: Cell<bool>,
    /// Of the task that serves the connection.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextHead {
    /// No byte of it.
    None,
    /// Some of it, in this very turn of the task: mostly the rest of it comes in the same turn, and no clock is read.
    Begun,
    /// Some of it, since.
    Partial(Instant),
}

/// A client that something waits for.
#[derive(Clone, Copy, Debug)]
struct Stuck {
    since: Instant,
    /// Bytes that it took since.
    taken: usize,
}

/// What happens at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is told to end, in peace: nothing is under way.
    Finish,
    /// It is closed as it stands: the client is too slow, or does not close its side.
    Cut,
}

impl Pulse {
    pub(super) fn new() -> Rc<Pulse> {
        Rc::new(Pulse {
            requests: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            head: Cell::new(NextHead::None),
            stuck: Cell::new(None),
            closing_since: Cell::new(None),
            draining: Cell::new(false),
            has_served: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Bytes came that belong to a head, unless a request is under way.
    pub(super) fn bytes_came(&self) {
        if self.requests.get() == 0 && self.head.get() == NextHead::None {
            self.head.set(NextHead::Begun);
        }
    }

    /// Nothing of the next head has come, whatever came.
    pub(super) fn is_between(&self) {
        self.head.set(NextHead::None);
    }

    /// Requests may come from now on.
    pub(super) fn begins(&self) {
        self.idle_since.set(Instant::now());
    }

    /// A write has to wait for the client.
    pub(super) fn waits_for_client(&self) {
        if self.stuck.get().is_none() {
            self.stuck.set(Some(Stuck { since: Instant::now(), taken: 0 }));
        }
    }

    /// The client took so many bytes; others may wait.
    pub(super) fn took(&self, bytes: usize) {
        if let Some(Stuck { since, taken }) = self.stuck.get() {
            self.stuck.set(Some(Stuck { since, taken: taken.saturating_add(bytes) }));
        }
    }

    /// The client took all that there was.
    pub(super) fn took_all(&self) {
        self.stuck.set(None);
    }

    /// No further request is taken. May be told more than once.
    pub(super) fn closes(&self) {
        if self.closing_since.get().is_none() {
            self.closing_since.set(Some(Instant::now()));
        }
    }

    /// Whether no further request is taken.
    pub(super) fn is_closing(&self) -> bool {
        self.closing_since.get().is_some()
    }

    /// Whether it has served, and waits for its next request.
    pub(super) fn is_resting(&self) -> bool {
        self.has_served.get()
            && self.requests.get() == 0
            && self.head.get() == NextHead::None
            && !self.draining.get()
            && !self.is_closing()
    }

    /// Tells the connection's task that the process drains.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether the connection has to be told that the process drains. Not in the middle of a head: that request counts
    /// as under way.
    pub(super) fn shall_finish(&self) -> bool {
        let is_mid_head = self.requests.get() == 0 && self.head.get() != NextHead::None;
        self.draining.get() && self.has_served.get() && self.closing_since.get().is_none() && !is_mid_head
    }

    /// The task to wake when the process drains.
    pub(super) fn wakes(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// When the connection has to end if nothing happens until then, and how; none while a request is under way, for it
    /// has limits of its own.
    pub(super) fn deadline(&self, limits: &ListenTimeout) -> Option<(Instant, Verdict)> {
        if let Some(mut stuck) = self.stuck.get() {
            // A byte now and then is no progress.
            if stuck.taken >= limits.least_rate.within(limits.idle) {
                stuck = Stuck { since: Instant::now(), taken: 0 };
                self.stuck.set(Some(stuck));
            }
            return Some((stuck.since + limits.idle, Verdict::Cut));
        }
        if self.requests.get() > 0 {
            return None;
        }
        let idle_since = self.idle_since.get();
        if let Some(since) = self.closing_since.get() {
            return Some((since.max(idle_since) + FAREWELL_MOST, Verdict::Cut));
        }
        if self.head.get() == NextHead::Begun {
            self.head.set(NextHead::Partial(Instant::now()));
        }
        match self.head.get() {
            NextHead::Partial(since) => Some((since + limits.head, Verdict::Cut)),
            _ if self.draining.get() && !self.has_served.get() => Some((idle_since + FIRST_MOST, Verdict::Finish)),
            NextHead::None | NextHead::Begun => Some((idle_since + limits.idle, Verdict::Finish)),
        }
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Rc<Pulse>);

impl UnderWay {
    pub(super) fn begin(pulse: &Rc<Pulse>) -> UnderWay {
        pulse.requests.set(pulse.requests.get() + 1);
        pulse.head.set(NextHead::None);
        pulse.has_served.set(true);
        UnderWay(pulse.clone())
    }

    /// Whether the process drains.
    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Ready so long after a drain has begun; how long is asked then. Only for who is polled when the connection's task is
    /// told of it.
    pub(super) async fn drained(&self, after: impl FnOnce() -> Duration) {
        poll_fn(|_| if self.is_draining() { Poll::Ready(()) } else { Poll::Pending }).await;
        sleep(after()).await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let left = self.0.requests.get() - 1;
        self.0.requests.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::ByteRate;
    use tokio::time::advance;

    const LIMITS: ListenTimeout = ListenTimeout {
        handshake: Duration::from_secs(1),
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        least_rate: ByteRate(Some(10)),
    };

    /// Seconds from now to the deadline.
    fn left(pulse: &Pulse) -> Option<(u64, Verdict)> {
        pulse.deadline(&LIMITS).map(|(at, verdict)| ((at - Instant::now()).as_secs(), verdict))
    }

    #[tokio::test(start_paused = true)]
    async fn idle_head_and_request_have_their_limits() {
        let pulse = Pulse::new();
        assert_eq!(left(&pulse), Some((75, Verdict::Finish)));
        advance(Duration::from_secs(5)).await;
        assert_eq!(left(&pulse), Some((70, Verdict::Finish)));
        pulse.bytes_came();
        assert_eq!(left(&pulse), Some((10, Verdict::Cut)));
        advance(Duration::from_secs(4)).await;
        pulse.bytes_came();
        assert_eq!(left(&pulse), Some((6, Verdict::Cut)), "more bytes win no time");
        let first = UnderWay::begin(&pulse);
        let second = UnderWay::begin(&pulse);
        pulse.bytes_came();
        drop(first);
        assert_eq!(left(&pulse), None);
        drop(second);
        assert_eq!(left(&pulse), Some((75, Verdict::Finish)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_even_with_a_request_under_way() {
        let pulse = Pulse::new();
        let _request = UnderWay::begin(&pulse);
        pulse.waits_for_client();
        advance(Duration::from_secs(5)).await;
        pulse.waits_for_client();
        assert_eq!(left(&pulse), Some((70, Verdict::Cut)));
        pulse.took_all();
        assert_eq!(left(&pulse), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_takes_nothing() {
        let pulse = Pulse::new();
        let _request = UnderWay::begin(&pulse);
        pulse.waits_for_client();
        for second in 1..70 {
            advance(Duration::from_secs(1)).await;
            pulse.took(1);
            assert_eq!(left(&pulse), Some((75 - second, Verdict::Cut)));
        }
        pulse.took(10 * 75);
        assert_eq!(left(&pulse), Some((75, Verdict::Cut)), "slow, and slow enough");
        pulse.took_all();
        pulse.took(1);
        assert_eq!(left(&pulse), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_lets_a_head_come_to_its_end_and_is_told_once() {
        let pulse = Pulse::new();
        assert!(!pulse.shall_finish());
        pulse.bytes_came();
        pulse.drain();
        assert!(!pulse.shall_finish());
        let _request = UnderWay::begin(&pulse);
        assert!(pulse.shall_finish());
        pulse.closes();
        assert!(!pulse.shall_finish());
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_connection_waits_for_its_requests_and_then_for_the_client() {
        let pulse = Pulse::new();
        let request = UnderWay::begin(&pulse);
        pulse.closes();
        advance(Duration::from_secs(60)).await;
        assert_eq!(left(&pulse), None);
        drop(request);
        assert_eq!(left(&pulse), Some((FAREWELL_MOST.as_secs(), Verdict::Cut)));
    }
}
