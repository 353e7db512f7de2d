//! How many connections to one backend are open, over all workers, and whether somebody waits for one of them to close.

use super::BackendFigures;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};
use tokio::sync::{Notify, futures::Notified};

/// The connections to one backend.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicU32,
    /// So many wait for one to close. Written before they look for room, and read after a connection has made it.
    waiting: AtomicU32,
    closed: Notify,
}

/// One connection, from its beginning until this is dropped.
#[derive(Debug)]
pub struct Opened(Arc<BackendFigures>);

/// Somebody who waits for a connection to close.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Connections);

impl Connections {
    /// How many are open.
    pub fn open(&self) -> u32 {
        self.open.load(SeqCst)
    }

    /// How many wait for one to close: then none is to be kept that is not used.
    pub fn wanted(&self) -> usize {
        self.waiting.load(SeqCst) as usize
    }

    /// Waits from now on.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        Waiting(self)
    }
}

impl Waiting<'_> {
    /// Ready when one has closed since this was asked first. Dropping this future loses nothing.
    pub fn closed(&self) -> Notified<'_> {
        self.0.closed.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

impl Opened {
    /// One more, unless there are `most`.
    pub fn below(most: u32, figures: &Arc<BackendFigures>) -> Option<Opened> {
        let one_more = |open| (open < most).then_some(open + 1);
        figures.connections().open.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Opened(figures.clone()))
    }

    /// How many wait for this one, or another one there, to close.
    pub fn wanted(&self) -> usize {
        self.0.connections().wanted()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let connections = self.0.connections();
        connections.open.fetch_sub(1, SeqCst);
        if connections.wanted() > 0 {
            connections.closed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    #[test]
    fn there_are_no_more_than_may_be_and_who_waits_hears_of_one_that_closes() {
        let figures = Arc::new(BackendFigures::default());
        let (one, two) = (Opened::below(2, &figures).unwrap(), Opened::below(2, &figures).unwrap());
        assert!(Opened::below(2, &figures).is_none() && one.wanted() == 0);
        {
            let waiting = figures.connections().wait();
            let mut closed = pin!(waiting.closed());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(closed.as_mut().poll(&mut cx).is_pending() && two.wanted() == 1);
            drop(one);
            assert!(closed.poll(&mut cx).is_ready());
        }
        assert!(two.wanted() == 0 && Opened::below(2, &figures).is_some());
        drop(two);
        assert_eq!(figures.connections().open(), 0);
    }
}
