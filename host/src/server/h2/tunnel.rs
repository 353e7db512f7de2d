//! The client's end of a tunnel: a stream behind the answer that opened it (RFC 8441), its pieces without their frames.

use super::{answer::poll_window, exchange::Seat};
use crate::net::Abort;
use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that carries another protocol.
#[derive(Debug)]
pub(super) struct Client<'a> {
    incoming: RecvStream,
    outgoing: RefCell<SendStream<Bytes>>,
    /// Came, and was not read yet.
    waiting: Bytes,
    seat: &'a Seat,
}

impl<'a> Client<'a> {
    pub(super) fn new(incoming: RecvStream, outgoing: SendStream<Bytes>, seat: &'a Seat) -> Client<'a> {
        Client { incoming, outgoing: RefCell::new(outgoing), waiting: Bytes::new(), seat }
    }
}

impl AsyncRead for Client<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // An empty piece says nothing, and no bytes would be the end.
        while this.waiting.is_empty() {
            match ready!(this.incoming.poll_data(cx)) {
                Some(data) => this.waiting = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let piece = this.waiting.split_to(this.waiting.len().min(buffer.remaining()));
        buffer.put_slice(piece.chunk());
        // An error is a stream that has ended meanwhile: it needs no window.
        let _ = this.incoming.flow_control().release_capacity(piece.len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing.borrow_mut();
        if !self.seat.outlet.has_room(self.seat.number) {
            return Poll::Pending;
        }
        let window = ready!(poll_window(&mut outgoing, bytes.len(), cx)).ok_or(ErrorKind::BrokenPipe)?;
        let piece = Bytes::copy_from_slice(&bytes[..window.min(bytes.len())]);
        let taken = piece.len();
        self.seat.outlet.put(taken);
        Poll::Ready(outgoing.send_data(piece, false).map(|()| taken).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.outgoing.borrow_mut().send_data(Bytes::new(), true).map_err(broken))
    }
}

impl Abort for Client<'_> {
    /// What a reset is in TCP (RFC 8441 §5).
    fn abort(&self) {
        self.outgoing.borrow_mut().send_reset(Reason::CANCEL);
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, error)
}
