//! A signal to stop, and a count of the live work that hears it. The receivers are the count: no second number to keep true.

use std::time::Duration;
use tokio::sync::watch;

/// Tells all work to end, and waits for it.
#[derive(Debug)]
pub struct Drain {
    signal: watch::Sender<bool>,
}

/// One piece of live work; it counts as live until it is dropped.
#[derive(Clone, Debug)]
pub struct Live {
    signal: watch::Receiver<bool>,
}

impl Drain {
    /// Nothing live yet.
    pub fn new() -> (Drain, Live) {
        let (signal, receiver) = watch::channel(false);
        (Drain { signal }, Live { signal: receiver })
    }

    /// One more piece of live work; if draining has started, it hears so at once.
    pub fn enter(&self) -> Live {
        Live { signal: self.signal.subscribe() }
    }

    /// Tells all live work to end.
    pub fn start(&self) {
        self.signal.send_replace(true);
    }

    /// How much work is live.
    pub fn live(&self) -> usize {
        self.signal.receiver_count()
    }

    /// Waits until nothing is live, this long at the most; says what is left.
    pub async fn wait(&self, most: Duration) -> usize {
        // On a timeout the count says what was cut off.
        let _ = tokio::time::timeout(most, self.signal.closed()).await;
        self.live()
    }
}

impl Live {
    /// Ends when draining has started. Dropping this future loses nothing.
    pub async fn draining(&mut self) {
        // An error means the `Drain` itself is gone, which ends work just as well.
        let _ = self.signal.wait_for(|draining| *draining).await;
    }

    /// Whether draining has started.
    pub fn is_draining(&self) -> bool {
        *self.signal.borrow()
    }
}
