//! A request's way out: its head, then its body as it comes. The first piece of the body leaves together with the head,
//! and the end of the body together with its last piece, where they are there already.

use super::{encode::Framing, link::Link};
use crate::net::{
    Body, BodyError, Side,
    h1::{CHUNK_END, LAST_CHUNK, chunk_size, last_chunk},
};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Pieces up to this size are copied behind what waits already: each write of its own would cost more.
const COPIED_MOST: usize = 8 << 10;
/// So many bytes are gathered before they are sent, if they come at once.
const GATHERED_MOST: usize = 32 << 10;

/// A request on its way out. In the order of sending: what the link's `write` holds, `payload`, `behind`.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    framing: Framing,
    /// Bytes of the link's `write` that went out.
    written: usize,
    payload: Bytes,
    behind: &'static [u8],
    stage: Stage,
    /// Something went out or came in since [`Upload::has_moved`] was asked.
    moved: bool,
    /// The next piece has to come from the client first.
    pub(super) starved: bool,
    /// A frame of the body was taken, so it cannot be given back.
    touched: bool,
    /// A byte went out.
    pub(super) sent: bool,
}

#[derive(Debug)]
enum Stage {
    /// More of the body may come.
    Open,
    /// All of the body was taken.
    Ended,
    /// All of it went out.
    Sent,
    /// The backend takes no more. It may have answered all the same.
    Refused(io::Error),
}

impl Upload {
    /// The head stands in the link's `write`.
    pub(super) fn new(body: Body, framing: Framing) -> Upload {
        let ended = matches!(framing, Framing::None | Framing::Length(0));
        Upload {
            body,
            framing,
            written: 0,
            payload: Bytes::new(),
            behind: b"",
            stage: if ended { Stage::Ended } else { Stage::Open },
            moved: false,
            starved: false,
            touched: false,
            sent: false,
        }
    }

    /// Whether all of it went out.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.stage, Stage::Sent)
    }

    /// Whether it is neither sent nor refused.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Ended)
    }

    /// Whether something moved since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// What is left of it when there will be no answer: the body if it is still whole, and why the backend refused.
    pub(super) fn into_parts(self) -> (Option<Body>, Option<io::Error>) {
        let refused = match self.stage {
            Stage::Refused(error) => Some(error),
            Stage::Open | Stage::Ended | Stage::Sent => None,
        };
        ((!self.touched).then_some(self.body), refused)
    }

    /// Sends what can be sent. An error is the client's: its body broke off, and what was sent must not look complete.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<(), BodyError> {
        while self.is_under_way() {
            self.starved = false;
            while !self.starved && self.wants_more(link) {
                self.starved = self.poll_body(cx, &mut link.write)?.is_pending();
            }
            if !self.has_something(link) {
                if self.starved {
                    break;
                }
                if matches!(self.stage, Stage::Ended) {
                    self.stage = Stage::Sent;
                }
            } else {
                match self.poll_write(cx, link) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => self.stage = Stage::Refused(error),
                    Poll::Pending => break,
                }
            }
        }
        Ok(())
    }

    /// Small pieces are gathered, a large one goes by itself. With the announced length at hand, the last piece waits
    /// until the client's message has ended, too: a client that sends more than it announced gets no complete request
    /// through.
    fn wants_more(&self, link: &Link) -> bool {
        let has_room = !self.has_piece() && link.write.len() - self.written < GATHERED_MOST;
        matches!(self.stage, Stage::Open) && (self.framing == Framing::Length(0) || has_room)
    }

    fn has_piece(&self) -> bool {
        !self.payload.is_empty() || !self.behind.is_empty()
    }

    fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Open) && self.framing == Framing::Length(0)
    }

    fn has_something(&self, link: &Link) -> bool {
        self.written < link.write.len() || (self.has_piece() && !self.is_held())
    }

    /// Takes the next frame of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>, write: &mut Vec<u8>) -> Poll<Result<(), BodyError>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
            return Poll::Ready(self.end(write, None));
        };
        self.touched = true;
        self.moved = true;
        let frame = match frame.into_data() {
            Ok(data) => return Poll::Ready(self.piece(data, write)),
            Err(frame) => frame,
        };
        // Frames of other kinds than data and trailers do not exist yet.
        Poll::Ready(frame.into_trailers().map_or(Ok(()), |fields| self.end(write, Some(fields))))
    }

    fn piece(&mut self, data: Bytes, write: &mut Vec<u8>) -> Result<(), BodyError> {
        match &mut self.framing {
            _ if data.is_empty() => {} // an empty chunk would end the body
            Framing::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    if rest > 0 && data.len() <= COPIED_MOST {
                        write.extend_from_slice(&data);
                    } else {
                        self.payload = data;
                    }
                }
                None => return Err(BodyError::new(Side::Downstream, "the body is longer than announced")),
            },
            Framing::Chunked | Framing::None => {
                chunk_size(write, data.len());
                if data.len() <= COPIED_MOST {
                    write.extend_from_slice(&data);
                    write.extend_from_slice(CHUNK_END);
                } else {
                    self.payload = data;
                    self.behind = CHUNK_END;
                }
            }
        }
        if self.body.is_end_stream() { self.end(write, None) } else { Ok(()) }
    }

    fn end(&mut self, write: &mut Vec<u8>, trailers: Option<HeaderMap>) -> Result<(), BodyError> {
        self.stage = Stage::Ended;
        match self.framing {
            Framing::Length(1..) => Err(BodyError::new(Side::Downstream, "the body is shorter than announced")),
            Framing::Chunked if self.has_piece() => {
                self.behind = LAST_CHUNK;
                Ok(())
            }
            Framing::Chunked => {
                last_chunk(write, &trailers.unwrap_or_default());
                Ok(())
            }
            Framing::Length(0) | Framing::None => Ok(()),
        }
    }

    /// One write of all there is.
    fn poll_write(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<io::Result<()>> {
        let before = &link.write[self.written..];
        let (payload, behind) = if self.is_held() { (&b""[..], &b""[..]) } else { (&self.payload[..], self.behind) };
        let stream = Pin::new(&mut link.stream);
        let n = ready!(match (payload, behind) {
            ([], []) => stream.poll_write(cx, before),
            _ => stream.poll_write_vectored(cx, &[before, payload, behind].map(IoSlice::new)),
        })?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.sent = true;
        self.moved = true;
        self.went_out(n, &mut link.write);
        Poll::Ready(Ok(()))
    }

    fn went_out(&mut self, n: usize, write: &mut Vec<u8>) {
        let before = n.min(write.len() - self.written);
        self.written += before;
        if self.written == write.len() {
            write.clear();
            self.written = 0;
        }
        let payload = (n - before).min(self.payload.len());
        self.payload.advance(payload);
        self.behind = &self.behind[n - before - payload..];
    }
}
