//! The two directions of one connection: what came and what shall go out. Requests' bodies and answers use it in turn,
//! all on one task.

use super::{
    Ended,
    answer::write_interim,
    head::{H2_PREFACE, Head, HeadReader, Refusal},
};
use crate::{
    config::model::HeadLimit,
    net::{
        Abort, BodyError, Interim, Side,
        h1::{BadMessage, Decoder, Inbox, Outbox, Piece},
    },
    server::stream::Stream,
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client may have sent of a body that nobody read, and still be listened to afterwards.
const DISCARDED_MOST: u64 = 64 << 10;
/// Tells a client that its body is welcome.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One connection to a client.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: Stream<S>,
    inbox: Inbox,
    heads: HeadReader,
    /// Which request is under way, so that an old one's body cannot read a new one's.
    number: u64,
    coming: Coming,
    /// Reads what is coming.
    decoder: Decoder,
    outbox: Outbox,
    /// Something was said before the answer, and may not have gone out.
    has_said: bool,
}

/// The body of the request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    /// All of it was taken.
    Done,
    /// The client waits to be asked for it.
    Expected,
    /// The client is being asked for it.
    Invited,
    /// It comes, or may come.
    Open,
    /// There will be no more of it: it broke off, is malformed, or was not asked for in time.
    Broken,
}

/// The client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: Stream<S>, limit: HeadLimit) -> Wire<S> {
        Wire {
            stream,
            inbox: Inbox::default(),
            heads: HeadReader::new(limit),
            number: 0,
            coming: Coming::Done,
            decoder: Decoder::Exact(0),
            outbox: Outbox::default(),
            has_said: false,
        }
    }

    /// The stream, and what was read of it: the words that HTTP/2 begins with, and what came behind them.
    pub(super) fn into_http2(self) -> Ended<S> {
        let before = [H2_PREFACE, &self.inbox.bytes].concat();
        Ended::Http2(self.stream, before.into())
    }

    /// Waits for the next request's head; none when there will be none.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Head, Refusal>>> {
        if !self.inbox.bytes.is_empty() {
            self.stream.pulse().bytes_came();
        }
        loop {
            match self.heads.take(&mut self.inbox.bytes) {
                // What came before belonged to the last request.
                Ok(None) if self.inbox.bytes.is_empty() => self.stream.pulse().is_between(),
                Ok(None) => {}
                Ok(Some(head)) => return Poll::Ready(Some(Ok(head))),
                Err(refusal) => return Poll::Ready(Some(Err(refusal))),
            }
            let is_between = self.inbox.bytes.is_empty();
            if is_between && self.stream.pulse().is_closing() {
                return Poll::Ready(None);
            }
            match ready!(self.inbox.poll_read(&mut self.stream, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// From now on what comes is this body; its number.
    pub(super) fn begin(&mut self, body: Decoder, expects: bool) -> u64 {
        self.number += 1;
        self.coming = match body {
            Decoder::Exact(0) => Coming::Done,
            // Who sends it unasked does not wait.
            _ if expects && self.inbox.bytes.is_empty() => Coming::Expected,
            _ => Coming::Open,
        };
        self.decoder = body;
        self.number
    }

    /// Whether all of this body was taken.
    pub(super) fn is_done(&self, number: u64) -> bool {
        self.number == number && self.coming == Coming::Done
    }

    /// How the body of the request under way is read.
    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The next piece of a body.
    pub(super) fn poll_body(
        &mut self,
        number: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.number != number {
            return Poll::Ready(Some(Err(downstream("its request is over"))));
        }
        if self.coming == Coming::Done {
            return Poll::Ready(None);
        }
        let piece = ready!(self.poll_piece(cx));
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => {
                if self.decoder.is_complete(&mut self.inbox.bytes) {
                    self.coming = Coming::Done;
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::Trailers(fields)) => {
                self.coming = Coming::Done;
                Some(Ok(Frame::trailers(fields)))
            }
            Ok(Piece::End | Piece::Nothing) => {
                self.coming = Coming::Done;
                None
            }
            Err(error) => {
                self.coming = Coming::Broken;
                Some(Err(error))
            }
        })
    }

    /// The next piece; [`Piece::Nothing`] never.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        if self.coming == Coming::Broken {
            return Poll::Ready(Err(downstream("there is no more of the body")));
        }
        if self.coming == Coming::Expected {
            self.coming = Coming::Invited;
            self.outbox.text().extend_from_slice(CONTINUE);
        }
        if self.coming == Coming::Invited {
            ready!(self.poll_out(cx)).map_err(|_| downstream("the client left before its body was asked for"))?;
            self.coming = Coming::Open;
        }
        loop {
            match self.decoder.decode(&mut self.inbox.bytes).map_err(bad)? {
                Piece::Nothing => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            match ready!(self.inbox.poll_read(&mut self.stream, cx)) {
                Ok(1..) => {}
                Ok(0) => return Poll::Ready(Err(downstream("the client left in the middle of its body"))),
                Err(error) => {
                    return Poll::Ready(Err(downstream(format!("the client left in the middle of its body: {error}"))));
                }
            }
        }
    }

    /// Says these before the answer.
    pub(super) fn says_before(&mut self, interims: &[Interim]) {
        for interim in interims {
            write_interim(self.outbox.text(), interim);
            self.has_said = true;
        }
    }

    /// While the answer is made: sends what is said before it. Ready when the client leaves.
    pub(super) fn poll_unanswered(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if self.has_said
            && let Poll::Ready(sent) = self.poll_out(cx)
        {
            self.has_said = false;
            if sent.is_err() {
                return Poll::Ready(Gone);
            }
        }
        self.poll_gone(cx)
    }

    /// Ready when the client leaves while its answer is made; one that closes its side has left, as for nginx. What it
    /// sends meanwhile is its next request.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        while self.coming == Coming::Done && self.inbox.bytes.len() < self.heads.limit.head {
            match ready!(self.inbox.poll_read(&mut self.stream, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Gone),
            }
        }
        Poll::Pending
    }

    /// Whether the connection can go on behind this request, though nobody will read what is left of its body.
    pub(super) fn can_go_on(&self) -> bool {
        match self.coming {
            Coming::Done => true,
            Coming::Open => self.decoder.size_hint().exact().is_some_and(|left| left <= DISCARDED_MOST),
            Coming::Expected | Coming::Invited | Coming::Broken => false,
        }
    }

    /// The answer begins: from now on nobody is asked for a body any more.
    pub(super) fn answers(&mut self) {
        self.coming = match self.coming {
            Coming::Expected => Coming::Broken,
            Coming::Invited => Coming::Open,
            coming => coming,
        };
    }

    /// Reads what is left of a body that nobody wants; whether the next request follows.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.can_go_on() && !self.stream.pulse().is_closing() {
            match ready!(self.poll_body(self.number, cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) => return Poll::Ready(false),
                None => return Poll::Ready(true),
            }
        }
        Poll::Ready(false)
    }

    /// Where what shall go out is put.
    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Sends all that waits.
    pub(super) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            ready!(self.outbox.poll_write(&mut self.stream, cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads bytes that are no HTTP, beginning with those that came already.
    pub(super) fn poll_bytes(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.inbox.give(buffer) { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_read(cx, buffer) }
    }

    /// Where bytes go that are no HTTP. Only while nothing waits.
    pub(super) fn past_http(&mut self) -> &mut S {
        self.stream.inner()
    }

    /// Closes our side; the client's goes on.
    pub(super) fn poll_half_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_half_close(cx)
    }

    /// Between two requests: buffers that grew are not kept.
    pub(super) fn rest(&mut self) {
        self.inbox.rest();
        self.outbox.rest();
    }

    /// Whoever closes the connection now resets it: its end must not look like the end of an answer.
    pub(super) fn abort(&mut self)
    where
        S: Abort,
    {
        self.stream.abort();
    }

    /// Closes our side, and waits for the client's.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn bad(bad: BadMessage) -> BodyError {
    downstream(format!("malformed body: {bad}"))
}

fn downstream(what: impl Into<String>) -> BodyError {
    BodyError::new(Side::Downstream, what)
}
