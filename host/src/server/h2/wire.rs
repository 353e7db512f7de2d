//! The byte stream below the frames. What the streams of a connection have to say in one turn is gathered here and
//! leaves in one write, and what comes and goes is counted by the frame.

use super::{
    calm::{Calm, Flood},
    frames::Scanner,
};
use crate::server::stream::Stream;
use bytes::{Buf, Bytes};
use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many bytes are gathered before they are sent: what one record of TLS holds.
const GATHERED_MOST: usize = 16 << 10;
/// A larger buffer is not kept when nothing waits in it.
const KEPT_MOST: usize = 4 << 10;
/// What is read of one connection in one turn; the others of its worker come first then.
const READ_MOST: usize = 256 << 10;

/// One connection to a client.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: Stream<S>,
    /// Came before anybody knew that it is HTTP/2.
    before: Bytes,
    /// What goes out.
    out: Vec<u8>,
    /// Bytes of it that went.
    sent: usize,
    /// The library has more, which did not go out.
    is_held: bool,
    coming: Scanner,
    going: Scanner,
    calm: Calm,
    /// Bytes that may still be read in this turn.
    readable: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: Stream<S>, before: Bytes) -> Wire<S> {
        Wire {
            stream,
            before,
            out: Vec::new(),
            sent: 0,
            is_held: false,
            coming: Scanner::of_client(),
            going: Scanner::of_server(),
            calm: Calm::new(),
            readable: READ_MOST,
        }
    }

    /// A turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.readable = READ_MOST;
    }

    /// Whether reading stopped because this turn has read enough.
    pub(super) fn has_read_enough(&self) -> bool {
        self.readable == 0
    }

    /// What the client does too much of.
    pub(super) fn flood(&self) -> Option<Flood> {
        self.calm.flood()
    }

    /// A stream was answered to its end.
    pub(super) fn answered(&mut self) {
        self.calm.answered();
    }

    /// Sends all that waits.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..]))?;
            self.went_out(n)?;
        }
        self.empty();
        if self.is_held {
            // The library was told to wait, and wakes for it.
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn went_out(&mut self, n: usize) -> io::Result<()> {
        self.sent += n;
        if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    fn empty(&mut self) {
        self.sent = 0;
        self.out.clear();
        if self.out.capacity() > KEPT_MOST {
            self.out = Vec::new();
        }
    }

    /// Takes all of it, if it is little; otherwise sends what was gathered together with it, and takes what goes.
    fn poll_take(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.out.len() + bytes <= GATHERED_MOST {
            slices.iter().for_each(|slice| self.out.extend_from_slice(slice));
            return Poll::Ready(Ok(bytes));
        }
        loop {
            let waiting = self.out.len() - self.sent;
            let mut all = [IoSlice::new(&self.out[self.sent..]); SLICES_MOST + 1];
            let count = slices.len().min(SLICES_MOST);
            all[1..=count].copy_from_slice(&slices[..count]);
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, &all[..=count]);
            self.is_held = written.is_pending();
            let n = ready!(written)?;
            if n > waiting {
                self.empty();
                return Poll::Ready(Ok(n - waiting));
            }
            self.went_out(n)?;
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.readable == 0 || self.calm.flood().is_some() {
            return Poll::Pending;
        }
        let filled = buffer.filled().len();
        if self.before.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let taken = self.before.split_to(self.before.len().min(buffer.remaining()));
            buffer.put_slice(taken.chunk());
        }
        let calm = &mut self.calm;
        let came = &buffer.filled()[filled..];
        self.coming.scan(came, |frame| calm.came(frame));
        self.readable = self.readable.saturating_sub(came.len());
        // Half a head has its time limit, as in HTTP/1.1.
        if self.coming.is_between() {
            self.stream.pulse().is_between();
        } else {
            self.stream.pulse().bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

/// Slices that are written together with what was gathered: the library has two.
const SLICES_MOST: usize = 4;

/// The end of the wire that the library holds.
#[derive(Debug)]
pub(super) struct End<S>(pub(super) Rc<RefCell<Wire<S>>>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for End<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_fill(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for End<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        let taken = ready!(wire.poll_take(cx, slices))?;
        let (calm, mut left) = (&mut wire.calm, taken);
        for slice in slices {
            let of_slice = left.min(slice.len());
            wire.going.scan(&slice[..of_slice], |frame| calm.went(frame));
            left -= of_slice;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The library flushes each piece of a body. The connection does it once, at the end of its turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        ready!(wire.poll_out(cx))?;
        Pin::new(&mut wire.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::model::ListenTimeout,
        server::pulse::{Pulse, UnderWay},
    };
    use std::{cell::Cell, future::poll_fn, task::Waker};

    /// Takes what is written, up to so much at once and while it has room, and remembers it by the write.
    struct Taker {
        writes: Rc<RefCell<Vec<Vec<u8>>>>,
        at_once: usize,
        room: Rc<Cell<usize>>,
    }

    impl Taker {
        fn new(at_once: usize) -> Taker {
            Taker { writes: Rc::default(), at_once, room: Rc::new(Cell::new(usize::MAX)) }
        }
    }

    impl AsyncRead for Taker {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Taker {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = &bytes[..bytes.len().min(self.at_once).min(self.room.get())];
            if taken.is_empty() {
                return Poll::Pending;
            }
            self.room.set(self.room.get() - taken.len());
            self.writes.borrow_mut().push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let some: Vec<u8> = slices.iter().flat_map(|slice| slice.iter()).take(self.at_once).copied().collect();
            self.poll_write(cx, &some)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The writes that become of these, each of a head and a piece, and a flush.
    fn writes(said: &[(&[u8], &[u8])], at_once: usize) -> Vec<Vec<u8>> {
        let taker = Taker::new(at_once);
        let writes = taker.writes.clone();
        let mut wire = Wire::new(Stream::new(taker, Pulse::new()), Bytes::new());
        let cx = &mut Context::from_waker(Waker::noop());
        for &(mut head, mut piece) in said {
            while !head.is_empty() || !piece.is_empty() {
                let Poll::Ready(taken) = wire.poll_take(cx, &[head, piece].map(IoSlice::new)) else { panic!("stuck") };
                let (taken, of_head) = (taken.unwrap(), head.len());
                head = &head[taken.min(of_head)..];
                piece = &piece[taken.saturating_sub(of_head)..];
            }
        }
        assert!(wire.poll_out(cx).is_ready());
        writes.take()
    }

    #[tokio::test]
    async fn what_is_said_in_one_turn_leaves_in_one_write() {
        let answers = [(&b"head"[..], &b"body"[..]); 100];
        assert_eq!(writes(&answers, usize::MAX), [b"headbody".repeat(100)]);
    }

    #[tokio::test]
    async fn a_large_piece_leaves_with_what_was_gathered_and_nothing_is_lost() {
        let large: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
        let said = [(&b"a"[..], &b"b"[..]), (b"c", &large), (b"d", b"e")];
        let all = [b"abc", large.as_slice(), b"de"].concat();
        assert_eq!(writes(&said, usize::MAX), [&all[..all.len() - 2], b"de"]);
        for at_once in [1, 2, 1000, 16 << 10] {
            assert!(writes(&said, at_once).concat() == all, "{at_once} at once");
        }
    }

    #[tokio::test]
    async fn what_the_library_holds_has_not_gone_out() {
        let (taker, pulse, limits) = (Taker::new(usize::MAX), Pulse::new(), ListenTimeout::default());
        let (room, piece) = (taker.room.clone(), vec![0; 20 << 10]);
        room.set(piece.len());
        let mut wire = Wire::new(Stream::new(taker, pulse.clone()), Bytes::new());
        let _request = UnderWay::begin(&pulse);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(wire.poll_take(cx, &[IoSlice::new(&piece)]).is_ready());
        assert!(wire.poll_take(cx, &[IoSlice::new(&piece)]).is_pending());
        assert!(wire.poll_out(cx).is_pending());
        assert!(pulse.deadline(&limits).is_some(), "it is the client that is waited for");
        room.set(usize::MAX);
        assert!(wire.poll_take(cx, &[IoSlice::new(&piece)]).is_ready());
        assert!(wire.poll_out(cx).is_ready() && pulse.deadline(&limits).is_none());
    }

    #[tokio::test]
    async fn what_came_before_is_read_first() {
        let mut wire = Wire::new(Stream::new(Taker::new(0), Pulse::new()), Bytes::from_static(b"PRI * "));
        let mut bytes = [0; 4];
        let mut read = async || {
            let mut buffer = ReadBuf::new(&mut bytes);
            poll_fn(|cx| wire.poll_fill(cx, &mut buffer)).await.unwrap();
            buffer.filled().to_vec()
        };
        assert_eq!((read().await, read().await), (b"PRI ".to_vec(), b"* ".to_vec()));
    }
}
