//! Whether a connection is alive on which nothing comes. It is asked with a PING, and seldom: servers of gRPC take PINGs
//! for abuse that come while they have nothing to say, and close the connection at the third or fourth one
//! (`too_many_pings` in grpc-go, grpc-java and gRPC's C core, whose answers' heads and pieces start the count anew).

use crate::upstream::stream::Stream;
use std::{
    cell::Cell,
    io::{IoSlice, Result},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// PINGs from one head or piece of an answer to the next.
const PINGS_MOST: u32 = 2;
/// Beats without a byte after a PING until the connection is given up. A backend that pauses for less loses nothing; after
/// the first of them it gets no new requests there.
const BEATS_MOST: u32 = 4;

/// What is known of one connection's life.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// A byte came since the last beat.
    came: Cell<bool>,
    /// Since a head or a piece of an answer came.
    pings: Cell<u32>,
    /// Beats since the PING behind which nothing came yet.
    silent: Cell<Option<u32>>,
}

/// What follows from a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing.
    Well,
    /// It is to be asked.
    Ask,
    /// It has not answered yet: nobody else shall wait for it.
    Doubtful,
    /// It is dead.
    Dead,
}

impl Pulse {
    /// One more interval is over; `is_used`: somebody waits for something on this connection.
    pub(super) fn beat(&self, is_used: bool) -> Beat {
        if self.came.take() {
            self.silent.set(None);
            return Beat::Well;
        }
        match self.silent.get().map(|beats| beats + 1) {
            Some(BEATS_MOST) => Beat::Dead,
            Some(beats) => {
                self.silent.set(Some(beats));
                Beat::Doubtful
            }
            None if is_used && self.pings.get() < PINGS_MOST => {
                self.pings.set(self.pings.get() + 1);
                self.silent.set(Some(0));
                Beat::Ask
            }
            None => Beat::Well,
        }
    }

    /// A head or a piece of an answer came.
    pub(super) fn answered(&self) {
        self.pings.set(0);
    }
}

/// A backend's stream that tells a pulse of what comes.
#[derive(Debug)]
pub(super) struct Listened {
    pub(super) stream: Stream,
    pub(super) pulse: Rc<Pulse>,
}

impl AsyncRead for Listened {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.pulse.came.set(true);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Listened {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Beat::{Ask, Dead, Doubtful, Well};

    /// Beats of a connection that somebody uses; `c`: a byte came before, `a`: an answer's.
    fn beats(story: &str) -> Vec<Beat> {
        let pulse = Pulse::default();
        let beat = |before: char| {
            pulse.came.set(before != '-');
            if before == 'a' {
                pulse.answered();
            }
            pulse.beat(true)
        };
        story.chars().map(beat).collect()
    }

    #[test]
    fn a_silent_connection_is_asked_twice_at_the_most_until_an_answer_goes_on() {
        // Each PING is answered.
        assert_eq!(beats("-c-c-c-c----"), [Ask, Well, Ask, Well, Well, Well, Well, Well, Well, Well, Well, Well]);
        assert_eq!(beats("-c-ca-c-c-c"), [Ask, Well, Ask, Well, Well, Ask, Well, Ask, Well, Well, Well]);
        assert_eq!(beats("cacaca"), [Well; 6], "while something comes nobody need ask");
    }

    #[test]
    fn one_that_does_not_answer_is_doubted_and_then_given_up() {
        assert_eq!(beats("-----"), [Ask, Doubtful, Doubtful, Doubtful, Dead]);
        assert_eq!(beats("---c--"), [Ask, Doubtful, Doubtful, Well, Ask, Doubtful], "a pause is no death");
    }

    #[test]
    fn one_that_nobody_uses_is_not_asked() {
        let pulse = Pulse::default();
        assert_eq!([(); 5].map(|()| pulse.beat(false)), [Well; 5]);
    }
}
