//! A request's way out: its head, then its body as it comes. The first piece of the body leaves together with the head,
//! and the end of the body together with its last piece, where they are there already.

use super::{encode::Framing, link::Link};
use crate::net::{
    Body, BodyError, Side, TURN_BYTES_MOST, give_way,
    h1::{Outbox, last_chunk},
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// A request on its way out through its link's outbox.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    framing: Framing,
    /// The piece that makes up the announced length: it waits until the client's message has ended, too, so that a client
    /// that sends more than it announced gets no complete request through.
    held: Bytes,
    stage: Stage,
    /// Something went out or came in since [`Upload::has_moved`] was asked.
    moved: bool,
    /// Bytes of the body that were taken in this turn.
    pub(super) taken: usize,
    /// The next piece has to come from the client first.
    pub(super) starved: bool,
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
    /// The head stands in the link's outbox.
    pub(super) fn new(body: Body, framing: Framing) -> Upload {
        let ended = matches!(framing, Framing::None | Framing::Length(0));
        Upload {
            body,
            framing,
            held: Bytes::new(),
            stage: if ended { Stage::Ended } else { Stage::Open },
            moved: false,
            taken: 0,
            starved: false,
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

    /// Why the backend takes no more.
    pub(super) fn into_refusal(self) -> Option<io::Error> {
        match self.stage {
            Stage::Refused(error) => Some(error),
            Stage::Open | Stage::Ended | Stage::Sent => None,
        }
    }

    /// All that goes out after a head, of a body that is there: for who looks at it without a connection.
    #[cfg(any(test, fuzzing))]
    pub(super) fn drain(mut self, outbox: &mut Outbox) -> Result<Vec<u8>, BodyError> {
        let (mut out, cx) = (outbox.drain(), &mut Context::from_waker(std::task::Waker::noop()));
        while matches!(self.stage, Stage::Open) {
            if let Poll::Ready(taken) = self.poll_body(cx, outbox) {
                taken?;
            }
            out.append(&mut outbox.drain());
        }
        Ok(out)
    }

    /// Sends what can be sent. An error is the client's: its body broke off, and what was sent must not look complete.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<(), BodyError> {
        self.taken = 0;
        while self.is_under_way() {
            if self.taken >= TURN_BYTES_MOST {
                let _ = give_way::<()>(cx);
                break;
            }
            self.starved = false;
            while !self.starved && self.wants_more(&link.outbox) {
                self.starved = self.poll_body(cx, &mut link.outbox)?.is_pending();
            }
            if link.outbox.is_empty() {
                // A session keeps back what its socket did not take at once.
                match Pin::new(&mut link.stream).poll_flush(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        self.stage = Stage::Refused(error);
                        break;
                    }
                    Poll::Pending => break,
                }
                if self.starved {
                    break;
                }
                if matches!(self.stage, Stage::Ended) {
                    self.stage = Stage::Sent;
                }
                continue;
            }
            match link.outbox.poll_write(&mut link.stream, cx) {
                Poll::Ready(Ok(())) => {
                    self.sent = true;
                    self.moved = true;
                }
                Poll::Ready(Err(error)) => {
                    // A session may have had some of it on the wire before that.
                    self.sent |= link.stream.is_encrypted();
                    self.stage = Stage::Refused(error);
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// With the announced length at hand, what follows the held piece is not put into the outbox.
    fn wants_more(&self, outbox: &Outbox) -> bool {
        matches!(self.stage, Stage::Open) && (self.framing == Framing::Length(0) || outbox.has_room())
    }

    /// Takes the next frame of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<Result<(), BodyError>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
            return Poll::Ready(self.end(outbox, HeaderMap::new()));
        };
        self.moved = true;
        let frame = match frame.into_data() {
            Ok(data) => return Poll::Ready(self.piece(data, outbox)),
            Err(frame) => frame,
        };
        // Frames of other kinds than data and trailers do not exist yet.
        Poll::Ready(frame.into_trailers().map_or(Ok(()), |fields| self.end(outbox, fields)))
    }

    fn piece(&mut self, data: Bytes, outbox: &mut Outbox) -> Result<(), BodyError> {
        let is_last = self.body.is_end_stream();
        if data.is_empty() {
            // An empty chunk would end the body.
            return if is_last { self.end(outbox, HeaderMap::new()) } else { Ok(()) };
        }
        self.taken += data.len();
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| BodyError::new(Side::Downstream, "the body is longer than announced"))?;
                if *left > 0 {
                    outbox.piece(data);
                } else {
                    self.held = data;
                }
                if is_last { self.end(outbox, HeaderMap::new()) } else { Ok(()) }
            }
            Framing::Chunked | Framing::None => {
                outbox.chunk(data, is_last);
                if is_last {
                    self.stage = Stage::Ended;
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, outbox: &mut Outbox, trailers: HeaderMap) -> Result<(), BodyError> {
        self.stage = Stage::Ended;
        match self.framing {
            Framing::Length(1..) => return Err(BodyError::new(Side::Downstream, "the body is shorter than announced")),
            Framing::Length(0) => outbox.piece(std::mem::take(&mut self.held)),
            Framing::Chunked => last_chunk(outbox.text(), &trailers),
            Framing::None => {}
        }
        Ok(())
    }
}
