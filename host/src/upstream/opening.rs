//! How many connections to a backend are opened, where that is limited. The limit is one for all workers, and each keeps its
//! own connections: so whoever finds no room has the others close what they keep unused.

use super::{Backend, error::ErrorKind};
use crate::figures::{Opened, Unasked};
use std::{pin::pin, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Rings for all workers when one of them waits for a connection to close. It says no more than that they shall look.
pub(super) static WANTED: Notify = Notify::const_new();

/// The right to open one more connection.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) opened: Opened,
    /// What it means when the time is over before the connection stands. Who had to wait has only the rest of it to connect,
    /// and the backend is not to blame.
    pub(super) too_late: fn(Duration) -> ErrorKind,
}

/// Waits for room until then, which is `limit` from the beginning.
pub(super) async fn open(backend: &Backend, until: Instant, limit: Duration) -> Result<Leave, ErrorKind> {
    match backend.opens() {
        Some(opened) => Ok(Leave { opened, too_late: ErrorKind::ConnectTimeout }),
        // Boxed: only who waits needs room for it.
        None => Box::pin(wait(backend, until, limit)).await,
    }
}

async fn wait(backend: &Backend, until: Instant, limit: Duration) -> Result<Leave, ErrorKind> {
    let _unasked = Unasked::begin(&backend.figures);
    let waiting = backend.figures.connections().wait();
    let opened = async {
        loop {
            let mut closed = pin!(waiting.closed());
            // Before the look: what closes after it is heard of.
            closed.as_mut().enable();
            if let Some(opened) = backend.opens() {
                return opened;
            }
            WANTED.notify_waiters();
            closed.await;
        }
    };
    let opened = timeout_at(until, opened).await.map_err(|_| ErrorKind::NoConnection(limit))?;
    Ok(Leave { opened, too_late: ErrorKind::NoConnection })
}
