//! A request's body, taken from the library as the backend takes it. The client's windows open as it is taken.

use crate::net::{BodyError, Side, Streaming};
use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// A body that may still be coming.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    /// Bytes to come, where the head says how many. The library holds the client to it.
    left: Option<u64>,
    invitation: Rc<Invitation>,
}

/// Whether a client that waits to be asked for its body is asked for it.
#[derive(Debug)]
pub(super) struct Invitation(Cell<State>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It does not wait, or has been asked.
    Open,
    /// It waits.
    Expected,
    /// It waits, and the body is wanted.
    Wanted,
    /// It was answered before it was asked.
    Withdrawn,
}

impl Invitation {
    /// `expects`: the client waits.
    pub(super) fn new(expects: bool) -> Rc<Invitation> {
        Rc::new(Invitation(Cell::new(if expects { State::Expected } else { State::Open })))
    }

    /// Whether the client has to be asked now. It counts as asked from then on.
    pub(super) fn take_wanted(&self) -> bool {
        let is_wanted = self.0.get() == State::Wanted;
        if is_wanted {
            self.0.set(State::Open);
        }
        is_wanted
    }

    /// The answer begins: nobody is asked for a body any more.
    pub(super) fn withdraw(&self) {
        if self.0.get() != State::Open {
            self.0.set(State::Withdrawn);
        }
    }
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, length: Option<u64>, invitation: Rc<Invitation>) -> Incoming {
        Incoming { stream, left: length, invitation }
    }

    fn took(&mut self, data: &Bytes) {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        // An error is a stream that has ended meanwhile: it needs no window.
        let _ = self.stream.flow_control().release_capacity(data.len());
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.invitation.0.get() {
            State::Open | State::Wanted => {}
            State::Expected => self.invitation.0.set(State::Wanted),
            State::Withdrawn => return Poll::Ready(Some(Err(broken("it was answered before its body was asked for")))),
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                self.took(&data);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(broken(error)))),
            None => {
                let trailers = ready!(self.stream.poll_trailers(cx)).map_err(broken)?;
                Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Streaming for Incoming {}

fn broken(why: impl std::fmt::Display) -> BodyError {
    BodyError::new(Side::Downstream, format!("the request's stream ended before its body did: {why}"))
}
