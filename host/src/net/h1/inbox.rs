//! What came on a connection and was not taken yet, in a buffer that is used again and again.

use bytes::{Buf, BytesMut};
use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// What one read asks for at first: an ordinary message comes in one.
const READ_FIRST: usize = 8 << 10;
/// What the very first read takes, before there is a buffer.
const READ_BEFORE: usize = 2 << 10;
/// What one read asks for at most.
const READ_MOST: usize = 64 << 10;
/// With less room than this in the buffer, room is made before reading.
const ROOM_LEAST: usize = 2 << 10;

/// A read buffer.
#[derive(Debug)]
pub struct Inbox {
    /// What came and was not taken yet. What is taken out shares this buffer's memory; once all of it was let go, the
    /// memory is used again.
    pub bytes: BytesMut,
    read_size: usize,
    /// Something came: until then, which may be never, there is no buffer to wait with.
    has_begun: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox { bytes: BytesMut::new(), read_size: READ_FIRST, has_begun: false }
    }
}

impl Inbox {
    /// Reads what there is, at least one byte; 0 when the other side has closed.
    pub fn poll_read<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.has_begun {
            return self.poll_begin(stream, cx);
        }
        self.make_room();
        let room = self.bytes.capacity() - self.bytes.len();
        // A read that leaves room in the buffer has emptied the socket, and tokio knows it: the next poll makes no system call.
        let n = ready!(pin!(stream.read_buf(&mut self.bytes)).poll(cx))?;
        // Only a read that had its full size to fill is a sign of more.
        if n == room && room >= self.read_size {
            self.expect(self.read_size * 2);
        }
        Poll::Ready(Ok(n))
    }

    fn poll_begin<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [0; READ_BEFORE];
        let mut came = ReadBuf::new(&mut scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut came))?;
        let came = came.filled();
        self.has_begun = !came.is_empty();
        if self.has_begun {
            self.make_room();
            self.bytes.extend_from_slice(came);
        }
        Poll::Ready(Ok(came.len()))
    }

    /// Gives what came to someone who reads bytes, as much as there is room for; whether there was anything.
    pub fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let n = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..n]);
        self.bytes.advance(n);
        n > 0
    }

    /// So many bytes are still to come: the next reads are sized accordingly.
    pub fn expect(&mut self, bytes: usize) {
        self.read_size = bytes.clamp(READ_FIRST, READ_MOST);
    }

    /// Between two messages: a buffer that grew is not kept.
    pub fn rest(&mut self) {
        if self.read_size > READ_FIRST && self.bytes.is_empty() {
            *self = Inbox::default();
        }
    }

    fn make_room(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < self.read_size
            && !self.bytes.try_reclaim(self.read_size)
            && self.bytes.capacity() - self.bytes.len() < ROOM_LEAST
        {
            self.bytes.reserve(self.read_size);
        }
    }
}
