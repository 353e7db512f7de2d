//! Where the requests of a pool wait while it has no room for them: one line for the whole process, first come, first
//! served, bounded in length and in time. Its lock is met only by requests that wait and by those that end while others
//! do; all others read one number.
//!
//! What ends calls the first that waits, wherever its worker is. Who is called looks whether there is room for it, and
//! when it leaves the line, served or not, calls the next: so no room is left unused while somebody waits. A pool has the
//! same line for ever, for what ends may have begun under other limits.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
};

/// One pool's line.
#[derive(Debug, Default)]
pub struct Queue {
    /// How long the line is. Written under its lock and read without: who makes room reads it after having made it, and
    /// who comes looks for room after having written it, so that one of the two sees the other.
    length: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// By their numbers.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// There may be room for it.
    is_called: bool,
    waker: Option<Waker>,
}

/// A place in the line; dropping it leaves it.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Queue {
    /// How many wait.
    pub fn length(&self) -> usize {
        self.length.load(SeqCst)
    }

    /// Goes to the end of the line; none when so many wait already. Who is first there is called at once.
    pub fn join(self: &Arc<Self>, most: usize) -> Option<Place> {
        let mut line = self.line();
        if line.waiters.len() >= most {
            return None;
        }
        let number = line.next;
        line.next += 1;
        let is_called = line.waiters.is_empty();
        line.waiters.push_back(Waiter { number, is_called, waker: None });
        self.length.store(line.waiters.len(), SeqCst);
        Some(Place { queue: self.clone(), number })
    }

    /// There may be room for one more.
    pub fn freed(&self) {
        if self.length() > 0 {
            self.call();
        }
    }

    /// Calls the first that was not called yet.
    fn call(&self) {
        let waker = {
            let mut line = self.line();
            let called = line.waiters.iter_mut().find(|waiter| !waiter.is_called);
            called.and_then(|waiter| {
                waiter.is_called = true;
                waiter.waker.take()
            })
        };
        // Outside the lock, for who is woken asks for it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // No change of a line can panic half-way.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until there may be room. Dropping this future loses nothing.
    pub fn called(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            let mut line = self.queue.line();
            let Some(waiter) = line.find(self.number) else { return Poll::Ready(()) };
            if std::mem::take(&mut waiter.is_called) {
                return Poll::Ready(());
            }
            waiter.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut line = self.queue.line();
            if let Ok(at) = line.position(self.number) {
                line.waiters.remove(at);
            }
            self.queue.length.store(line.waiters.len(), SeqCst);
        }
        self.queue.freed();
    }
}

impl Line {
    fn position(&self, number: u64) -> Result<usize, usize> {
        self.waiters.binary_search_by_key(&number, |waiter| waiter.number)
    }

    fn find(&mut self, number: u64) -> Option<&mut Waiter> {
        let at = self.position(number).ok()?;
        self.waiters.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Context};

    fn is_called(place: &Place) -> bool {
        pin!(place.called()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_first_is_called_at_once_and_the_others_in_their_order() {
        let queue = Arc::<Queue>::default();
        let line: Vec<Place> = (0..3).map(|_| queue.join(10).unwrap()).collect();
        assert_eq!(queue.length(), 3);
        assert!(is_called(&line[0]));
        assert!(line.iter().all(|place| !is_called(place)), "once");
        queue.freed();
        queue.freed();
        assert_eq!(line.iter().map(is_called).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn a_full_line_takes_nobody_until_one_leaves() {
        let queue = Arc::<Queue>::default();
        let (first, _second) = (queue.join(2).unwrap(), queue.join(2).unwrap());
        assert!(queue.join(2).is_none());
        drop(first);
        assert_eq!(queue.length(), 1);
        assert!(queue.join(2).is_some());
        assert!(Arc::<Queue>::default().join(0).is_none());
    }

    #[test]
    fn who_leaves_calls_the_next_whether_called_or_not() {
        for called in [true, false] {
            let queue = Arc::<Queue>::default();
            let mut line: Vec<Place> = (0..3).map(|_| queue.join(10).unwrap()).collect();
            assert!(is_called(&line[0]));
            if called {
                queue.freed();
            }
            line.remove(0);
            assert!(is_called(&line[0]));
            assert!(!is_called(&line[1]));
        }
    }

    /// Threads fight for three rooms; nobody is left waiting while there is room.
    #[test]
    fn no_call_is_lost_between_threads() {
        use std::sync::atomic::AtomicU32;
        const ROOMS: u32 = 3;
        let (queue, taken, served) = (Arc::<Queue>::default(), AtomicU32::new(0), AtomicU32::new(0));
        let enters = || taken.fetch_update(SeqCst, SeqCst, |taken| (taken < ROOMS).then_some(taken + 1)).is_ok();
        let serve = || {
            assert!(taken.load(SeqCst) <= ROOMS);
            served.fetch_add(1, SeqCst);
            taken.fetch_sub(1, SeqCst);
            queue.freed();
        };
        let client = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                for _ in 0..500 {
                    if queue.length() == 0 && enters() {
                        serve();
                        continue;
                    }
                    let place = queue.join(1000).unwrap();
                    loop {
                        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), place.called()).await;
                        waited.expect("somebody calls");
                        if enters() {
                            break;
                        }
                    }
                    drop(place);
                    serve();
                }
            });
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(client))));
        assert_eq!((served.load(SeqCst), taken.load(SeqCst), queue.length()), (4000, 0, 0));
    }
}
