//! A backend's byte stream, encrypted or not. A plain one stands where it is used; a session is large, and boxed.

use crate::{
    net::{Abort, Socket},
    tls::ClientStream,
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A backend's byte stream.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<ClientStream<Socket>>),
}

/// What either kind does.
macro_rules! either {
    ($stream:expr, $inner:ident => $does:expr) => {
        match $stream {
            Stream::Plain($inner) => $does,
            Stream::Tls($inner) => $does,
        }
    };
}

impl Stream {
    /// Of what is asked for on it.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Stream::Plain(_) => "http",
            Stream::Tls(_) => "https",
        }
    }

    /// Whether nothing came that was not read. What concerns the session alone, such as a ticket, is taken in by this. No
    /// system call while nothing came.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            Stream::Plain(socket) => {
                matches!(socket.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Stream::Tls(session) => {
                let (mut byte, mut cx) = ([0], Context::from_waker(Waker::noop()));
                Pin::new(session).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
            }
        }
    }
}

impl Abort for Stream {
    /// Without TLS's own goodbye an end is an accident already.
    fn abort(&self) {
        if let Stream::Plain(socket) = self {
            socket.abort();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
