//! What shall go out on a connection and did not yet, so that what is there together leaves together.

use super::{CHUNK_END, LAST_CHUNK, chunk_size};
use bytes::{Buf, Bytes};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Pieces of a body up to this size are copied behind what waits already: cheaper than one more slice to write.
const COPIED_MOST: usize = 8 << 10;
/// So many bytes are gathered before they are sent, if they come at once.
const GATHERED_MOST: usize = 32 << 10;
/// A larger buffer is not kept from one message to the next: that one was out of the ordinary.
const KEPT_MOST: usize = 8 << 10;

/// A write buffer. It goes out in the order of its fields.
#[derive(Debug, Default)]
pub struct Outbox {
    text: Vec<u8>,
    /// Bytes of the text that went out.
    sent: usize,
    /// A large piece of a body.
    payload: Bytes,
    /// What ends the piece.
    behind: &'static [u8],
}

impl Outbox {
    /// Empty, with room for so many bytes of text.
    pub fn with_room(bytes: usize) -> Outbox {
        Outbox { text: Vec::with_capacity(bytes), ..Outbox::default() }
    }

    /// Where heads and the like are written. Only while it is not full.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Adds a piece of a body. Only while it is not full.
    pub fn piece(&mut self, data: Bytes) {
        self.add(data, b"");
    }

    /// Adds a chunk, with the end of the body behind the last one. Only while it is not full.
    pub fn chunk(&mut self, data: Bytes, is_last: bool) {
        chunk_size(&mut self.text, data.len());
        self.add(data, if is_last { LAST_CHUNK } else { CHUNK_END });
    }

    fn add(&mut self, data: Bytes, behind: &'static [u8]) {
        if data.len() <= COPIED_MOST {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(behind);
        } else {
            self.payload = data;
            self.behind = behind;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sent == self.text.len() && !self.is_full()
    }

    /// Whether a large piece waits: nothing can be put behind it.
    pub fn is_full(&self) -> bool {
        !self.payload.is_empty() || !self.behind.is_empty()
    }

    /// Whether it is worth while to wait with sending, should there be more at once.
    pub fn has_room(&self) -> bool {
        !self.is_full() && self.text.len() - self.sent < GATHERED_MOST
    }

    /// One write of all that waits; it may go out in part. Only while something waits.
    pub fn poll_write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let text = &self.text[self.sent..];
        let stream = Pin::new(stream);
        let n = ready!(match (&self.payload[..], self.behind) {
            ([], []) => stream.poll_write(cx, text),
            (payload, behind) => stream.poll_write_vectored(cx, &[text, payload, behind].map(IoSlice::new)),
        })?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.went_out(n);
        Poll::Ready(Ok(()))
    }

    fn went_out(&mut self, n: usize) {
        let text = n.min(self.text.len() - self.sent);
        self.sent += text;
        if self.sent == self.text.len() {
            self.text.clear();
            self.sent = 0;
        }
        let payload = (n - text).min(self.payload.len());
        self.payload.advance(payload);
        self.behind = &self.behind[n - text - payload..];
    }

    /// All that waits, for who looks at it without a socket.
    #[cfg(any(test, fuzzing))]
    pub fn drain(&mut self) -> Vec<u8> {
        let mut out = self.text.split_off(self.sent);
        out.extend_from_slice(&std::mem::take(&mut self.payload));
        out.extend_from_slice(std::mem::take(&mut self.behind));
        *self = Outbox::default();
        out
    }

    /// Between two messages: a buffer that grew is not kept.
    pub fn rest(&mut self) {
        if self.text.capacity() > KEPT_MOST {
            self.text = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn text_pieces_and_chunks_leave_in_order_however_little_is_taken_at_once() {
        let large = vec![b'x'; COPIED_MOST + 1];
        let (mut stream, mut other) = duplex(7);
        let sending = async move {
            let mut outbox = Outbox::default();
            outbox.text().extend_from_slice(b"head ");
            outbox.piece(Bytes::from_static(b"small "));
            assert!(outbox.has_room());
            outbox.chunk(Bytes::from(large), true);
            assert!(outbox.is_full() && !outbox.has_room());
            while !outbox.is_empty() {
                poll_fn(|cx| outbox.poll_write(&mut stream, cx)).await.unwrap();
            }
        };
        let mut came = Vec::new();
        let (_, read) = tokio::join!(sending, other.read_to_end(&mut came));
        read.unwrap();
        let expected = format!("head small {:x}\r\n{}\r\n0\r\n\r\n", COPIED_MOST + 1, "x".repeat(COPIED_MOST + 1));
        assert!(came == expected.as_bytes());
    }

    #[test]
    fn a_buffer_that_grew_is_not_kept() {
        let mut outbox = Outbox::with_room(KEPT_MOST + 1);
        outbox.rest();
        assert_eq!(outbox.text.capacity(), 0);
        outbox = Outbox::with_room(KEPT_MOST);
        outbox.rest();
        assert_eq!(outbox.text.capacity(), KEPT_MOST);
    }
}
