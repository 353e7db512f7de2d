//! A request's body on its way to a backend, kept so that it can go to another one. What comes from the client is passed
//! on at once and kept beside it, without a copy, up to the pool's limit; a body that grows beyond it streams on and
//! cannot be sent again.

use crate::{
    net::{Body, BodyError, Streaming},
    upstream::Purpose,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Pieces of one body that are kept: each has its price beside its bytes, and a client may send one byte at a time.
const PIECES_MOST: usize = 1024;

/// Gives a request's body, and gives it again as long as that can be.
pub(super) enum Replay {
    /// There is no body.
    Nothing,
    /// There is none, and the client would go on with one of these protocols.
    Upgrade(HeaderValue),
    /// It is here already.
    Whole(Bytes),
    /// It comes from the client.
    Tape(Rc<RefCell<Tape>>),
}

/// A body from the client, and what was kept of it.
#[derive(Debug)]
pub(super) struct Tape {
    /// What has not come yet.
    body: Body,
    /// From the beginning on.
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// Bytes that may still be kept.
    room: usize,
    /// All that came was kept.
    is_whole: bool,
    /// All of it came.
    has_ended: bool,
    /// The client said how long it is. If not, nobody is told so when it is known: trailers may follow.
    has_length: bool,
}

impl Replay {
    /// Keeps so many bytes of the body.
    pub(super) fn new(body: Body, most: usize) -> Replay {
        let has_length = body.size_hint().exact().is_some();
        match body {
            Body::Empty | Body::Full(None) => Replay::Nothing,
            Body::Full(Some(bytes)) => Replay::Whole(bytes),
            Body::Upgrade(protocols) => Replay::Upgrade(protocols),
            body if body.is_end_stream() => Replay::Nothing,
            body => Replay::Tape(Rc::new(RefCell::new(Tape {
                body,
                kept: Vec::new(),
                trailers: None,
                room: most,
                is_whole: true,
                has_ended: false,
                has_length,
            }))),
        }
    }

    /// Whether there is any.
    pub(super) fn has_body(&self) -> bool {
        matches!(self, Replay::Whole(_) | Replay::Tape(_))
    }

    /// What it needs a connection for.
    pub(super) fn purpose(&self) -> Purpose {
        if matches!(self, Replay::Upgrade(_)) { Purpose::Upgrade } else { Purpose::Exchange }
    }

    /// Whether it can be had from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Replay::Nothing | Replay::Upgrade(_) | Replay::Whole(_) => true,
            Replay::Tape(tape) => tape.borrow().is_whole,
        }
    }

    /// Whether it is known already that it can be had again when all of it has come.
    pub(super) fn stays_whole(&self) -> bool {
        match self {
            Replay::Nothing | Replay::Upgrade(_) | Replay::Whole(_) => true,
            Replay::Tape(tape) => {
                let tape = tape.borrow();
                tape.is_whole
                    && (tape.has_ended || tape.body.size_hint().exact().is_some_and(|n| n <= tape.room as u64))
            }
        }
    }

    /// Whether it can, and nothing more of it is to come: two may play it at the same time.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Replay::Nothing | Replay::Whole(_) => true,
            // Who loses would have opened a tunnel.
            Replay::Upgrade(_) => false,
            Replay::Tape(tape) => tape.borrow().is_whole && tape.borrow().has_ended,
        }
    }

    /// The body from its beginning, if that [is whole](Replay::is_whole); whoever had it before has let go of it, or it
    /// [is complete](Replay::is_complete).
    pub(super) fn play(&self) -> Body {
        match self {
            Replay::Nothing => Body::Empty,
            Replay::Upgrade(protocols) => Body::Upgrade(protocols.clone()),
            Replay::Whole(bytes) => Body::full(bytes.clone()),
            Replay::Tape(tape) => Body::Stream(Box::pin(Player { tape: Some(tape.clone()), at: 0 })),
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if let Replay::Tape(tape) = self {
            // What is played now is played for the last time.
            let mut tape = tape.borrow_mut();
            (tape.is_whole, tape.room) = (false, 0);
        }
    }
}

impl Tape {
    /// The next piece from the client.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.keep(&data);
                    self.has_ended = self.body.is_end_stream();
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(frame) => {
                    self.has_ended = true;
                    self.trailers = frame.trailers_ref().cloned();
                    Poll::Ready(Some(Ok(frame)))
                }
            },
            Some(Err(error)) => {
                self.is_whole = false;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.has_ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn keep(&mut self, data: &Bytes) {
        if data.is_empty() {
            return;
        }
        self.is_whole &= data.len() <= self.room && self.kept.len() < PIECES_MOST;
        if self.is_whole {
            self.room -= data.len();
            self.kept.push(data.clone());
        } else {
            self.kept = Vec::new();
        }
    }
}

/// A body as one attempt reads it: first what was kept, then what comes.
#[derive(Debug)]
struct Player {
    /// None from the end on.
    tape: Option<Rc<RefCell<Tape>>>,
    /// Pieces of what was kept that were played.
    at: usize,
}

impl http_body::Body for Player {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(shared) = self.tape.clone() else { return Poll::Ready(None) };
        let mut tape = shared.borrow_mut();
        let next = if let Some(data) = tape.kept.get(self.at).cloned() {
            self.at += 1;
            Some(Ok(Frame::data(data)))
        } else if tape.has_ended {
            tape.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers)))
        } else {
            if !tape.is_whole {
                // Played for the last time: a client that is silent for hours shall not have it kept for as long.
                (tape.kept, self.at) = (Vec::new(), 0);
            }
            let next = ready!(tape.poll_next(cx));
            // Whether it was kept or not, this player is where the client is.
            self.at = tape.kept.len();
            next
        };
        let is_data = matches!(&next, Some(Ok(frame)) if frame.is_data());
        let is_over = tape.has_ended && self.at == tape.kept.len() && tape.trailers.is_none();
        if !is_data || is_over {
            // Nothing of it is needed any more, while the answer may take its time.
            self.tape = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.tape.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let Some(tape) = &self.tape else { return SizeHint::with_exact(0) };
        let tape = tape.borrow();
        let kept: u64 = tape.kept.iter().skip(self.at).map(|data| data.len() as u64).sum();
        match tape.body.size_hint().exact() {
            Some(rest) if tape.has_length => SizeHint::with_exact(kept + rest),
            _ => SizeHint::default(),
        }
    }
}

impl Streaming for Player {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Side;
    use http_body_util::BodyExt;
    use std::collections::VecDeque;

    /// Pieces that come one by one, each after the task was woken once.
    struct Client {
        frames: VecDeque<Result<Frame<Bytes>, BodyError>>,
        is_ready: bool,
        has_length: bool,
    }

    impl http_body::Body for Client {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.frames.pop_front())
        }

        fn size_hint(&self) -> SizeHint {
            if !self.has_length && !self.frames.is_empty() {
                return SizeHint::default();
            }
            let data = self.frames.iter().flatten().filter_map(|frame| frame.data_ref());
            SizeHint::with_exact(data.map(|data| data.len() as u64).sum())
        }
    }

    impl Streaming for Client {}

    fn client(pieces: &[&'static str]) -> VecDeque<Result<Frame<Bytes>, BodyError>> {
        pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect()
    }

    fn replay(frames: VecDeque<Result<Frame<Bytes>, BodyError>>, most: usize) -> Replay {
        Replay::new(Body::Stream(Box::pin(Client { frames, is_ready: false, has_length: true })), most)
    }

    async fn text(body: Body) -> String {
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    /// Takes so many pieces, as an attempt does that is lost then.
    async fn taste(body: &mut Body, pieces: usize) -> String {
        let mut text = String::new();
        for _ in 0..pieces {
            text += std::str::from_utf8(body.frame().await.unwrap().unwrap().data_ref().unwrap()).unwrap();
        }
        text
    }

    #[tokio::test]
    async fn what_is_here_already_is_given_again_and_again() {
        for (body, expected) in [(Body::Empty, ""), (Body::full("hello"), "hello")] {
            let replay = Replay::new(body, 0);
            for _ in 0..3 {
                assert!(replay.is_whole());
                assert_eq!(text(replay.play()).await, expected);
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_streams_can_be_lost_at_any_piece_and_played_again() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        for lost_after in 0..=3 {
            let mut frames = client(&["one", "", "two"]);
            frames.push_back(Ok(Frame::trailers(trailers.clone())));
            let replay = replay(frames, 6);
            assert_eq!(replay.play().size_hint().exact(), Some(6));
            taste(&mut replay.play(), lost_after).await;
            assert!(replay.is_whole(), "{lost_after}");
            for _ in 0..2 {
                let again = replay.play();
                assert_eq!(again.size_hint().exact(), Some(6), "{lost_after}");
                let all = again.collect().await.unwrap();
                assert_eq!(all.trailers(), Some(&trailers), "{lost_after}");
                assert_eq!(all.to_bytes(), "onetwo", "{lost_after}");
            }
        }
    }

    #[tokio::test]
    async fn a_length_that_the_client_did_not_tell_is_not_told() {
        let client = Client { frames: client(&["one", "two"]), is_ready: false, has_length: false };
        let replay = Replay::new(Body::Stream(Box::pin(client)), 1 << 10);
        for _ in 0..2 {
            let body = replay.play();
            assert_eq!(body.size_hint().exact(), None);
            assert_eq!(text(body).await, "onetwo");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_streams_on_and_is_not_played_again() {
        let replay = replay(client(&["one", "two", "three"]), 6);
        let mut first = replay.play();
        assert_eq!(taste(&mut first, 2).await, "onetwo");
        assert!(replay.is_whole());
        assert_eq!(text(first).await, "three");
        assert!(!replay.is_whole());
    }

    #[tokio::test]
    async fn many_small_pieces_are_too_many() {
        let replay = replay(client(&["."; PIECES_MOST + 1]), 1 << 20);
        assert_eq!(text(replay.play()).await.len(), PIECES_MOST + 1);
        assert!(!replay.is_whole());
    }

    #[tokio::test]
    async fn once_there_is_an_answer_the_rest_streams_and_nothing_is_kept() {
        let replay = replay(client(&["one", "two", "three", "four"]), 1 << 10);
        taste(&mut replay.play(), 2).await;
        let Replay::Tape(tape) = &replay else { panic!("it streams") };
        let tape = tape.clone();
        let mut again = replay.play();
        assert_eq!(taste(&mut again, 1).await, "one");
        drop(replay);
        assert_eq!(taste(&mut again, 2).await, "twothree");
        assert!(tape.borrow().kept.is_empty());
        assert_eq!(text(again).await, "four");
        assert_eq!(Rc::strong_count(&tape), 1, "it was let go of at its end");
    }

    #[tokio::test]
    async fn once_there_is_an_answer_a_client_that_listens_has_nothing_kept_for_it() {
        let replay = replay(client(&["one", "two"]), 1 << 10);
        let Replay::Tape(tape) = &replay else { panic!("it streams") };
        let tape = tape.clone();
        let mut body = replay.play();
        assert_eq!(taste(&mut body, 1).await, "one");
        drop(replay);
        // The answer's loop looks for more, and nothing comes.
        let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending() && tape.borrow().kept.capacity() == 0);
        assert_eq!(text(body).await, "two");
    }

    #[tokio::test]
    async fn a_client_that_breaks_off_is_not_played_again() {
        let mut frames = client(&["one"]);
        frames.push_back(Err(BodyError::new(Side::Downstream, "the client left")));
        let replay = replay(frames, 1 << 10);
        assert!(replay.play().collect().await.is_err());
        assert!(!replay.is_whole());
    }
}
