//! What a connection to a backend is once the backend has switched protocols: bytes, beginning with those that came
//! together with its answer.

use super::link::Link;
use crate::{figures::Attempt, net::Abort};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The backend's end of a tunnel. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Switched {
    link: Box<Link>,
    /// In flight until the tunnel ends.
    _attempt: Attempt,
}

impl Switched {
    pub(super) fn new(link: Box<Link>, attempt: Attempt) -> Switched {
        // Both sides may be silent for an hour.
        link.stream.probe();
        Switched { link, _attempt: attempt }
    }
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let link = &mut *self.link;
        if link.inbox.give(buffer) { Poll::Ready(Ok(())) } else { Pin::new(&mut link.stream).poll_read(cx, buffer) }
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link.stream).poll_shutdown(cx)
    }
}

impl Abort for Switched {
    fn abort(&self) {
        self.link.stream.abort();
    }
}
