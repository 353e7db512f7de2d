//! Patience: a story waits for what should happen by looking again and again, and gives up at a stated end. Nothing here
//! sleeps for a fixed time to let things happen.

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a story gives up. Far longer than it should take: machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until something holds.
///
/// # Panics
/// When it does not hold after [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    arrives(what, async || holds().await.then_some(())).await;
}

/// Waits until something is there, and gives it.
///
/// # Panics
/// When it is not there after [`PATIENCE`].
pub async fn arrives<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    arrives_within(PATIENCE, what, look).await
}

/// The same with a patience of its own.
///
/// # Panics
/// When it is not there by then.
pub async fn arrives_within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {patience:?} in vain until {what}");
        sleep(PAUSE).await;
    }
}

/// Lets a future take [`PATIENCE`] at the most.
///
/// # Panics
/// When it takes longer.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} took more than {PATIENCE:?}"))
}

/// Runs what blocks (starting and stopping a whole program) on a thread of its own, for it may start runtimes, which no
/// thread of a runtime may.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
