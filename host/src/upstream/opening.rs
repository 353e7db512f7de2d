//! How many connections to a backend are opened, where that is limited. The limit is one for all workers, and each keeps its
//! own connections: so whoever finds no room has the others close what they keep unused.

use super::{
    Backend,
    error::{Error, ErrorKind},
};
use crate::figures::Opened;
use std::{pin::pin, time::Duration};
use tokio::{sync::Notify, time::timeout};

/// Rings for all workers when one of them waits for a connection to close. It says no more than that they shall look.
pub(super) static WANTED: Notify = Notify::const_new();

/// The right to open one more connection, within `limit`.
pub(super) async fn open(backend: &Backend, limit: Duration) -> Result<Opened, Error> {
    match backend.opens() {
        Some(opened) => Ok(opened),
        // Boxed: only who waits needs room for it.
        None => Box::pin(wait(backend, limit)).await,
    }
}

async fn wait(backend: &Backend, limit: Duration) -> Result<Opened, Error> {
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
    timeout(limit, opened).await.map_err(|_| Error::new(ErrorKind::NoConnection(limit), false))
}
