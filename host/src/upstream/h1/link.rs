//! A connection to a backend with what it keeps from one exchange to the next: its buffers and its timer, so that a
//! kept-alive one allocates next to nothing per request.

use crate::net::Deadline;
use bytes::BytesMut;
use std::{
    io,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};

/// What one read asks for at first: an ordinary answer comes in one.
const READ_FIRST: usize = 8 << 10;
/// What one read asks for at most.
const READ_MOST: usize = 64 << 10;
/// With less room than this in the buffer, room is made before reading.
const ROOM_LEAST: usize = 2 << 10;
/// A larger write buffer is not kept: its request was out of the ordinary.
const WRITE_KEPT_MOST: usize = 8 << 10;

/// A TCP connection, its buffers and its timer.
#[derive(Debug)]
pub(in crate::upstream) struct Link {
    pub(super) stream: TcpStream,
    /// What came and was not taken yet. What is taken out shares this buffer's memory; once all of it was let go, the
    /// memory is used again.
    pub(super) read: BytesMut,
    /// What shall go out before the next piece of a body.
    pub(super) write: Vec<u8>,
    pub(super) deadline: Deadline,
    pub(super) reused: bool,
    read_size: usize,
    backend: u64,
    address: SocketAddr,
    idle: Duration,
}

impl Link {
    /// A connection that has not served yet; `idle` says how long it is kept unused.
    pub(in crate::upstream) fn new(stream: TcpStream, backend: u64, address: SocketAddr, idle: Duration) -> Link {
        Link {
            stream,
            read: BytesMut::new(),
            write: Vec::with_capacity(1 << 10),
            deadline: Deadline::new(Instant::now() + idle),
            reused: false,
            read_size: READ_FIRST,
            backend,
            address,
            idle,
        }
    }

    /// Id of the backend it leads to.
    pub(in crate::upstream) fn backend(&self) -> u64 {
        self.backend
    }

    /// Where it leads.
    pub(in crate::upstream) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long it is kept unused.
    pub(in crate::upstream) fn idle(&self) -> Duration {
        self.idle
    }

    /// Whether nothing came since the last answer. A kept connection on which something did come was closed, or carries
    /// bytes that belong to no request: neither may meet the next one. No system call while nothing came.
    pub(in crate::upstream) fn is_quiet(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads what there is, at least one byte; 0 when the backend has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        let room = self.read.capacity() - self.read.len();
        // A read that leaves room in the buffer has emptied the socket, and tokio knows it: the next poll makes no system call.
        let n = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))?;
        // Only a read that had its full size to fill is a sign of more.
        if n == room && room >= self.read_size {
            self.expect(self.read_size * 2);
        }
        Poll::Ready(Ok(n))
    }

    /// So many bytes are still to come: the next reads are sized accordingly.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.read_size = bytes.clamp(READ_FIRST, READ_MOST);
    }

    /// After an exchange, before it is kept.
    pub(super) fn rest(&mut self) {
        self.reused = true;
        self.write.clear();
        if self.write.capacity() > WRITE_KEPT_MOST {
            self.write = Vec::new();
        }
        if self.read_size > READ_FIRST {
            self.read_size = READ_FIRST;
            self.read = BytesMut::new();
        }
    }

    fn make_room(&mut self) {
        if self.read.capacity() - self.read.len() < self.read_size
            && !self.read.try_reclaim(self.read_size)
            && self.read.capacity() - self.read.len() < ROOM_LEAST
        {
            self.read.reserve(self.read_size);
        }
    }
}
