//! A request's body on its way out, as fast as the backend opens its window.

use crate::{
    net::{Body, BodyError, Side, h1::legal_trailers},
    upstream::patience::Sending,
};
use bytes::Bytes;
use h2::SendStream;
use http_body::Body as _;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A request's body on its way out.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: Body,
    /// Of the announced length.
    left: Option<u64>,
    piece: Bytes,
    stage: Stage,
    moved: bool,
    /// Bytes of the body that were taken in this turn.
    pub(super) taken: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// More of the body may come.
    Open,
    /// The piece at hand is the last.
    Ended,
    /// Its end went out, or the backend takes no more of it.
    Over,
}

impl Upload {
    /// The head went out; `ended` when the end of the message did with it.
    pub(super) fn new(stream: SendStream<Bytes>, body: Body, left: Option<u64>, ended: bool) -> Upload {
        let stage = if ended { Stage::Over } else { Stage::Open };
        Upload { stream, body, left, piece: Bytes::new(), stage, moved: false, taken: 0 }
    }

    /// Sends what can be sent; says how far that is, and whether something moved. An error is the client's.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(Sending, bool), BodyError> {
        (self.moved, self.taken) = (false, 0);
        let sending = loop {
            match self.stage {
                Stage::Over => break Sending::Over,
                _ if !self.piece.is_empty() => {
                    if self.poll_piece(cx).is_pending() {
                        break Sending::Stuck;
                    }
                }
                // Only a body whose last piece was empty ends here.
                Stage::Ended => self.end(),
                Stage::Open => {
                    if self.poll_body(cx)?.is_pending() {
                        break Sending::Starved;
                    }
                }
            }
        };
        Ok((sending, self.moved))
    }

    /// Sends as much of the piece as the backend takes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.reserve_capacity(self.piece.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.is_refused();
                    return Poll::Ready(());
                }
            }
        }
        let part = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let is_last = self.piece.is_empty() && self.stage == Stage::Ended;
        self.moved = true;
        match self.stream.send_data(part, is_last) {
            Ok(()) if is_last => self.stage = Stage::Over,
            Ok(()) => {}
            Err(_) => self.is_refused(),
        }
        Poll::Ready(())
    }

    /// What the backend said instead is told by its answer.
    fn is_refused(&mut self) {
        self.stage = Stage::Over;
        self.piece = Bytes::new();
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
            self.is_complete()?;
            self.stage = Stage::Ended;
            return Poll::Ready(Ok(()));
        };
        self.moved = true;
        match frame.into_data() {
            Ok(data) => {
                self.taken += data.len();
                if let Some(left) = &mut self.left {
                    *left = left.checked_sub(data.len() as u64).ok_or_else(|| wrong("longer"))?;
                }
                self.piece = data;
                if self.body.is_end_stream() {
                    self.is_complete()?;
                    self.stage = Stage::Ended;
                }
            }
            Err(frame) => {
                self.is_complete()?;
                let trailers = frame.into_trailers().unwrap_or_default();
                // Refused: its answer says so.
                let _ = self.stream.send_trailers(legal_trailers(trailers));
                self.stage = Stage::Over;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) {
        // Refused: its answer says so.
        let _ = self.stream.send_data(Bytes::new(), true);
        self.stage = Stage::Over;
    }

    fn is_complete(&self) -> Result<(), BodyError> {
        if self.left.is_none_or(|left| left == 0) { Ok(()) } else { Err(wrong("shorter")) }
    }
}

fn wrong(how: &str) -> BodyError {
    BodyError::new(Side::Downstream, format!("the body is {how} than announced"))
}
