//! A request's body, read from the connection as the backend takes it.

use super::wire::Wire;
use crate::net::{BodyError, Streaming};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A body that may still be coming.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    pub(super) wire: Rc<RefCell<Wire<S>>>,
    /// Of its request.
    pub(super) number: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Body for Incoming<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.wire.borrow_mut().poll_body(self.number, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.wire.borrow().is_done(self.number)
    }

    fn size_hint(&self) -> SizeHint {
        let wire = self.wire.borrow();
        if wire.is_done(self.number) { SizeHint::with_exact(0) } else { wire.decoder().size_hint() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Streaming for Incoming<S> {}
