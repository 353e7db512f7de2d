//! The client's end of a tunnel: the connection behind the answer that opened it, beginning with what the client has
//! sent already.

use super::wire::Wire;
use crate::net::Abort;
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection on which no further request comes.
#[derive(Debug)]
pub(super) struct Client<S>(pub(super) Rc<RefCell<Wire<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Client<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_bytes(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Client<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.borrow_mut().past_http()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.borrow_mut().past_http()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_half_close(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Abort + Unpin> Abort for Client<S> {
    fn abort(&self) {
        self.0.borrow_mut().abort();
    }
}
