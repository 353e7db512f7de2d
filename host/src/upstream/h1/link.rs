//! A connection to a backend with what it keeps from one exchange to the next: its buffers and its timer, so that a
//! kept-alive one allocates next to nothing per request.

use crate::{
    figures::Opened,
    net::{
        Deadline,
        h1::{Inbox, Outbox},
    },
    upstream::{Backend, stream::Stream, transport::Way},
};
use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Room in a new write buffer: an ordinary head.
const WRITE_FIRST: usize = 1 << 10;

/// A connection, its buffers and its timer.
#[derive(Debug)]
pub(in crate::upstream) struct Link {
    pub(super) stream: Stream,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) deadline: Deadline,
    pub(super) reused: bool,
    /// The backend was told whose connection it is.
    pub(in crate::upstream) serves_one: bool,
    backend: u64,
    way: Way,
    idle: Duration,
}

impl Link {
    /// A connection that has not served yet; `idle` says how long it is kept unused.
    pub(in crate::upstream) fn new(stream: Stream, backend: &Backend, opened: Opened, idle: Duration) -> Link {
        Link {
            stream,
            inbox: Inbox::default(),
            outbox: Outbox::with_room(WRITE_FIRST),
            deadline: Deadline::new(Instant::now() + idle),
            reused: false,
            serves_one: backend.transport.tells_client(),
            backend: backend.id,
            way: Way::to(backend, opened),
            idle,
        }
    }

    /// Id of the backend it leads to.
    pub(in crate::upstream) fn backend(&self) -> u64 {
        self.backend
    }

    /// Whether it leads to this backend as it is now.
    pub(in crate::upstream) fn leads_to(&self, backend: &Backend) -> bool {
        self.way.leads_to(backend)
    }

    /// How many wait for it, or another one to its backend, to close.
    pub(in crate::upstream) fn wanted(&self) -> usize {
        self.way.wanted()
    }

    /// How long it is kept unused.
    pub(in crate::upstream) fn idle(&self) -> Duration {
        self.idle
    }

    /// Whether nothing came since the last answer. A kept connection on which something did come was closed, or carries
    /// bytes that belong to no request: neither may meet the next one.
    pub(in crate::upstream) fn is_quiet(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// Reads what there is, at least one byte; 0 when the backend has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_read(&mut self.stream, cx)
    }

    /// After an exchange, before it is kept.
    pub(super) fn rest(&mut self) {
        self.reused = true;
        self.outbox.rest();
        self.inbox.rest();
    }
}
