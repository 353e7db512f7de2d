//! One request and its answer: a stream, from its head to the last byte of the answer's body. Sending and reading go on
//! side by side.

use super::{
    head::{self, AnswerHead},
    kind,
    session::Place,
    upload::Upload,
};
use crate::{
    figures::{Attempt, Loss, Outcome},
    net::{
        Body, BodyError, Deadline, Interim, Response, Side, Streaming,
        h1::{BadMessage, INTERIMS_MOST, legal_trailers},
    },
    upstream::{
        Limits, Outgoing,
        error::{Error, ErrorKind, ExchangeError},
        patience::{Overdue, Patience, Sending, upstream},
    },
};
use bytes::Bytes;
use h2::{RecvStream, client::ResponseFuture};
use http::Version;
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// One request and its answer. Dropping it resets the stream, unless it has ended.
#[derive(Debug)]
pub(in crate::upstream) struct Exchange {
    stream: Option<Stream>,
    patience: Patience,
    deadline: Deadline,
    /// Of the answer's body, as its head says.
    left: Option<u64>,
    interims: usize,
}

/// What is let go of when the answer has ended; the place last.
#[derive(Debug)]
struct Stream {
    upload: Upload,
    sending: Sending,
    response: ResponseFuture,
    body: Option<RecvStream>,
    attempt: Attempt,
    place: Place,
}

impl Exchange {
    /// Sends the head.
    pub(in crate::upstream) fn begin(
        place: Place,
        request: Outgoing<'_>,
        body: Body,
        mut attempt: Attempt,
        limits: Limits,
    ) -> Result<Box<Exchange>, ExchangeError> {
        let reused = place.reused;
        let mut fail =
            |kind| ExchangeError { error: Error::new(kind, false), answered: false, reused }.told(&mut attempt);
        let length = head::announced(request.method, &body);
        let Some(head) = head::request(&request, place.session.scheme, length) else {
            let wrong = BodyError::new(Side::Downstream, "its host cannot be said in HTTP/2");
            return Err(fail(ErrorKind::RequestBody(wrong)));
        };
        let ended = body.is_end_stream();
        let (response, stream) = match place.session.sender().send_request(head, ended) {
            Ok(opened) => opened,
            Err(error) => {
                let kind = match kind(error) {
                    // Nothing of it went out.
                    ErrorKind::Broken(_) | ErrorKind::Closed => ErrorKind::GoneAway,
                    kind => kind,
                };
                return Err(fail(kind));
            }
        };
        let upload = Upload::new(stream, body, length, ended);
        let patience = Patience::new(limits, !ended, &mut attempt);
        let stream = Stream { upload, sending: Sending::Over, response, body: None, attempt, place };
        Ok(Box::new(Exchange {
            stream: Some(stream),
            patience,
            deadline: Deadline::new(limits.head),
            left: None,
            interims: 0,
        }))
    }

    /// Waits for the answer's head, and sends meanwhile. What the backend says before it goes to `before`.
    pub(in crate::upstream) fn poll_head(
        &mut self,
        before: &dyn Fn(Interim),
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, ErrorKind>> {
        self.poll_upload(cx).map_err(ErrorKind::RequestBody)?;
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(ErrorKind::Closed)) };
        while let Poll::Ready(Some(interim)) = stream.response.poll_informational(cx) {
            let (parts, ()) = interim.map_err(kind)?.into_parts();
            stream.heard();
            self.interims += 1;
            if self.interims > INTERIMS_MOST {
                return Poll::Ready(Err(ErrorKind::BadAnswer(BadMessage::TooManyInterims)));
            }
            Interim::new(parts.status, Version::HTTP_2, parts.headers).into_iter().for_each(before);
        }
        if let Poll::Ready(answered) = Pin::new(&mut stream.response).poll(cx) {
            stream.heard();
            let (parts, body) = answered.map_err(kind)?.into_parts();
            let head = head::answer(parts).map_err(ErrorKind::BadAnswer)?;
            stream.body = Some(body);
            self.left = head.length;
            return Poll::Ready(Ok(head));
        }
        self.patience.poll_head(&mut self.deadline, stream.sending, &stream.attempt, self.interims > 0, cx).map(Err)
    }

    /// The answer to the proxy; a body that has ended already is none.
    pub(in crate::upstream) fn into_response(mut self: Box<Self>, head: AnswerHead) -> Response {
        if let Some(stream) = &mut self.stream {
            stream.attempt.ended(Outcome::Answered(head.status.as_u16()), Instant::now());
        }
        self.patience.answered();
        let body = if self.has_come_whole() {
            self.ends(Loss::Nothing);
            Body::Empty
        } else {
            Body::Stream(Box::into_pin(self))
        };
        Response { status: head.status, version: Version::HTTP_2, headers: head.headers, body }
    }

    /// There will be no answer.
    pub(in crate::upstream) fn fail(mut self: Box<Self>, kind: ErrorKind) -> ExchangeError {
        let sent = !matches!(kind, ErrorKind::GoneAway | ErrorKind::StreamRefused);
        let reused = self.stream.as_ref().is_some_and(|stream| stream.place.reused);
        let lost = ExchangeError { error: Error::new(kind, sent), answered: self.interims > 0, reused };
        match &mut self.stream {
            Some(stream) => lost.told(&mut stream.attempt),
            None => lost,
        }
    }

    /// Sends what can be sent. An error is the client's.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let (sending, moved) = stream.upload.poll(cx)?;
        stream.sending = sending;
        stream.attempt.sent(stream.upload.taken);
        self.patience.sent(moved, stream.upload.taken, sending, &mut stream.attempt);
        Ok(())
    }

    /// The next frame of the answer's body; none at its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_upload(cx)?;
        if self.patience.poll_end(&mut self.deadline, cx).is_ready() {
            return Poll::Ready(Some(Err(Overdue::Limit.in_answer())));
        }
        let Some(Stream { body: Some(body), attempt, place, .. }) = &mut self.stream else { return Poll::Ready(None) };
        while let Poll::Ready(data) = body.poll_data(cx) {
            let Some(data) = data.transpose().map_err(broke)? else {
                let trailers = ready!(body.poll_trailers(cx)).map_err(broke)?;
                let trailers = trailers.map(legal_trailers).filter(|fields| !fields.is_empty());
                return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(fields))));
            };
            attempt.heard();
            attempt.received(data.len());
            place.answered();
            self.patience.moved();
            // Who takes nothing does not ask, and the window stays shut.
            body.flow_control().release_capacity(data.len()).map_err(broke)?;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(data.len() as u64);
            }
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        Poll::Ready(Some(Err(ready!(self.patience.poll_still(&mut self.deadline, cx)).in_answer())))
    }
}

impl Stream {
    /// Something came.
    fn heard(&self) {
        self.attempt.heard();
        self.place.answered();
    }
}

impl Streaming for Exchange {
    fn go_on(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let this = self.get_mut();
        let gone_on = this.poll_upload(cx).and_then(|()| match this.patience.poll_end(&mut this.deadline, cx) {
            Poll::Ready(_) => Err(Overdue::Limit.in_answer()),
            Poll::Pending => Ok(()),
        });
        gone_on.inspect_err(|error| this.breaks_off(error))
    }
}

impl http_body::Body for Exchange {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_body(cx));
        match &frame {
            Some(Ok(frame)) if !frame.is_trailers() && !this.has_come_whole() => {}
            Some(Err(error)) => this.breaks_off(error),
            Some(Ok(_)) | None => this.ends(Loss::Nothing),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Exchange {
    /// Lets go of the stream: the answer is over, or has broken off.
    fn ends(&mut self, loss: Loss) {
        if let Some(stream) = self.stream.take() {
            stream.attempt.lost(loss);
        }
    }

    /// What is left of it will not come.
    fn breaks_off(&mut self, error: &BodyError) {
        self.ends(if error.side == Side::Upstream { Loss::Reset } else { Loss::ClientGone });
    }

    /// Known at once, so that the last piece can be sent on together with the end of the message.
    fn has_come_whole(&self) -> bool {
        self.stream.as_ref().and_then(|stream| stream.body.as_ref()).is_none_or(RecvStream::is_end_stream)
    }
}

fn broke(error: h2::Error) -> BodyError {
    upstream(format!("the answer broke off: {error}"))
}
