//! A backend's byte stream, encrypted or not. A plain one stands where it is used; a session is large, and boxed.

use crate::{
    net::{Abort, Socket, stream_of_either},
    tls::ClientStream,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Waker},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A backend's byte stream.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<ClientStream<Socket>>),
}

stream_of_either!(Stream: Plain | Tls);

impl Stream {
    /// Of what is asked for on it.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Stream::Plain(_) => "http",
            Stream::Tls(_) => "https",
        }
    }

    /// Whether bytes go out in records.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Has the system ask the other end whether it is still there, whenever nothing comes for long.
    pub(super) fn probe(&self) {
        match self {
            Stream::Plain(socket) => socket.probe(),
            Stream::Tls(session) => session.get_ref().0.probe(),
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
