//! An answer's body, read from the backend's connection as the client takes it. What is left of the request's body is
//! sent meanwhile; at the end the connection goes back to where unused ones are kept.

use super::exchange::Exchange;
use crate::{
    net::{
        BodyError, Side, Streaming,
        h1::{BadMessage, Decoder, Piece},
    },
    upstream::patience::{Overdue, upstream},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body that is still coming. Dropping it before its end closes the connection.
#[derive(Debug)]
pub(super) struct Answer {
    /// None from the end on, whichever that is.
    exchange: Option<Exchange>,
    decoder: Decoder,
    keep: bool,
}

impl Answer {
    pub(super) fn new(mut exchange: Exchange, decoder: Decoder, keep: bool) -> Answer {
        if let Some(bytes) = decoder.size_hint().exact() {
            exchange.link.inbox.expect(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        exchange.moved();
        Answer { exchange: Some(exchange), decoder, keep }
    }

    fn finish(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish(self.keep);
        }
    }
}

impl Streaming for Answer {
    fn go_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(exchange) = &mut self.get_mut().exchange else { return Ok(()) };
        let gone_on = exchange.poll_upload(cx).and_then(|()| match exchange.poll_end(cx) {
            Poll::Ready(_) => Err(Overdue::Limit.in_answer()),
            Poll::Pending => Ok(()),
        });
        gone_on.inspect_err(|error| {
            if error.side == Side::Upstream {
                exchange.breaks_off();
            }
        })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
        match ready!(poll_piece(exchange, &mut this.decoder, cx)) {
            Ok(Piece::Data(data)) => {
                exchange.received(data.len());
                // Known at once, so that the last piece can be sent on together with the end of the message.
                if this.decoder.is_complete(&mut exchange.link.inbox.bytes) {
                    this.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(Piece::Trailers(fields)) => {
                this.finish();
                Poll::Ready(Some(Ok(Frame::trailers(fields))))
            }
            Ok(Piece::End | Piece::Nothing) => {
                this.finish();
                Poll::Ready(None)
            }
            Err(error) => {
                if error.side == Side::Upstream {
                    exchange.breaks_off();
                }
                this.exchange = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }
}

/// The next piece; [`Piece::Nothing`] never.
fn poll_piece(exchange: &mut Exchange, decoder: &mut Decoder, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
    exchange.poll_upload(cx)?;
    if exchange.poll_end(cx).is_ready() {
        return Poll::Ready(Err(Overdue::Limit.in_answer()));
    }
    loop {
        match decoder.decode(&mut exchange.link.inbox.bytes).map_err(bad)? {
            Piece::Nothing => {}
            piece => return Poll::Ready(Ok(piece)),
        }
        match exchange.link.poll_read(cx) {
            Poll::Ready(Ok(0)) => return Poll::Ready(closed(decoder)),
            Poll::Ready(Ok(_)) => exchange.heard(),
            Poll::Ready(Err(error)) => {
                return Poll::Ready(Err(upstream(format!("the connection to the backend broke: {error}"))));
            }
            Poll::Pending => break,
        }
    }
    Poll::Ready(Err(ready!(exchange.poll_still(cx)).in_answer()))
}

/// The backend closed its side: the end of the body, or a truncated one.
fn closed(decoder: &Decoder) -> Result<Piece, BodyError> {
    match decoder {
        Decoder::UntilClose => Ok(Piece::End),
        Decoder::Exact(left) => {
            Err(upstream(format!("the backend closed the connection {left} bytes before the end of its answer")))
        }
        Decoder::Chunked(_) => Err(upstream("the backend closed the connection before the end of its answer")),
    }
}

fn bad(bad: BadMessage) -> BodyError {
    upstream(format!("bad answer from the backend: {bad}"))
}
