//! A client's byte stream that tells the connection's pulse what happens on it, and closes in a way that lets the last
//! answer arrive.

use super::pulse::Pulse;
use crate::{net::Abort, tls};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read and thrown away after our side was closed. A socket that is closed with bytes unread resets the connection, and
/// the reset may overtake the answer that says why.
const DISCARDED_BYTES_MOST: usize = 1 << 20;

/// A client's byte stream, encrypted or not.
#[derive(Debug)]
pub(super) struct Stream<S> {
    inner: S,
    pulse: Rc<Pulse>,
    /// Our side is closed.
    closed: bool,
    /// The client's side is closed.
    ended: bool,
    discarded: usize,
}

impl<S> Abort for tls::Stream<S> {
    /// Without TLS's own goodbye it is an accident already.
    fn abort(&self) {}
}

impl<S> Stream<S> {
    pub(super) fn new(inner: S, pulse: Rc<Pulse>) -> Stream<S> {
        Stream { inner, pulse, closed: false, ended: false, discarded: 0 }
    }

    /// See [`Abort`].
    pub(super) fn abort(&self)
    where
        S: Abort,
    {
        self.inner.abort();
    }

    /// Past the pulse: what is not HTTP has limits of its own.
    pub(super) fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Of its connection.
    pub(super) fn pulse(&self) -> &Rc<Pulse> {
        &self.pulse
    }
}

impl<S> Stream<S> {
    fn wrote(&self, wrote: &Poll<io::Result<usize>>) {
        match wrote {
            Poll::Ready(Ok(bytes)) => self.pulse.took(*bytes),
            // It is over.
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.waits_for_client(),
        }
    }
}

impl<S: AsyncRead + Unpin> Stream<S> {
    /// Throws away what the client still sends, until it closes its side or has sent too much. Time is limited by the
    /// pulse.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        while !self.ended && self.discarded < DISCARDED_BYTES_MOST {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer));
            self.discarded += buffer.filled().len();
            self.ended = read.is_err() || buffer.filled().is_empty();
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        if buffer.filled().len() == before {
            this.ended = true;
        } else {
            this.pulse.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Closes our side; the client's goes on.
    pub(super) fn poll_half_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.wrote(&wrote);
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.wrote(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        match &flushed {
            Poll::Ready(_) => this.pulse.took_all(),
            Poll::Pending => this.pulse.waits_for_client(),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pulse.closes();
        ready!(this.poll_half_close(cx))?;
        this.poll_discard(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn closing_waits_for_the_other_side_and_reads_what_it_sends() {
        let (mut client, server) = duplex(16);
        let mut server = Stream::new(server, Pulse::new());
        let closing = async { server.shutdown().await.unwrap() };
        let client = async move {
            // More than the pipe holds: it goes through only because it is read.
            client.write_all(&[0; 100]).await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
            client.shutdown().await.unwrap();
        };
        tokio::join!(closing, client);
    }

    #[tokio::test]
    async fn who_never_stops_sending_is_not_listened_to_for_ever() {
        let (mut client, server) = duplex(64 << 10);
        let mut server = Stream::new(server, Pulse::new());
        let sending = async { client.write_all(&vec![0; DISCARDED_BYTES_MOST + (128 << 10)]).await };
        let closing = async move { server.shutdown().await };
        let (sent, closed) = tokio::join!(sending, closing);
        assert!(sent.is_err() && closed.is_ok());
    }
}
