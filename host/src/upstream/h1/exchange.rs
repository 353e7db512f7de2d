//! One request and its answer, up to the answer's head. Sending and reading go on side by side, for a backend may answer
//! before it has read the request's body.

use super::{
    Connection, Limits, Outgoing,
    answer::Answer,
    encode::{self, Framing},
    head::{AnswerHead, HeadReader},
    link::Link,
    tunnel::Switched,
    upload::Upload,
};
use crate::{
    figures::{Attempt, Outcome, Told},
    net::{Body, BodyError, Headers, Response, Side, Tunnel, h1::BadMessage},
    upstream::{
        conn_cache::Connections,
        error::{Error, ErrorKind, ExchangeError},
    },
};
use http::{Method, StatusCode, header};
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// One request and its answer. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) link: Box<Link>,
    home: Rc<Connections>,
    pub(super) upload: Upload,
    attempt: Attempt,
    limits: Limits,
    /// For the head, when the request has a body: its time counts from the body's end. None from the head on.
    patience: Option<Duration>,
    /// When both bodies have been still for too long; none: something moved since this was set.
    still_until: Option<Instant>,
    /// Hears of a stall; none: nobody has waited long enough.
    stall: Option<Told>,
    head: HeadReader,
    answered: bool,
}

/// Why waiting came to an end.
pub(super) enum Overdue {
    /// No byte of a body moved.
    Idle,
    /// The time for the head, or for everything, is up.
    Limit,
}

impl Exchange {
    pub(super) fn begin(
        connection: Connection,
        request: Outgoing<'_>,
        body: Body,
        mut attempt: Attempt,
        limits: Limits,
    ) -> Exchange {
        let Connection { mut link, home } = connection;
        let framing = Framing::of(request.method, &body);
        let mut head = HeadReader::new(*request.method == Method::HEAD);
        let upgrade = if let Body::Upgrade(protocols) = &body { Some(protocols) } else { None };
        encode::head(link.outbox.text(), &request, framing, upgrade);
        if let Some(protocols) = upgrade {
            head.may_switch_to(protocols.clone());
        }
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body {
            attempt.uploading();
        }
        Exchange {
            link,
            home,
            upload: Upload::new(body, framing),
            attempt,
            patience: has_body.then(|| limits.head.saturating_duration_since(Instant::now())),
            limits,
            still_until: None,
            stall: None,
            head,
            answered: false,
        }
    }

    /// Waits for the answer's head, and sends meanwhile.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, ErrorKind>> {
        self.poll_upload(cx).map_err(ErrorKind::RequestBody)?;
        while let Poll::Ready(read) = self.link.poll_read(cx) {
            match read {
                Ok(0) => return Poll::Ready(Err(ErrorKind::Closed)),
                Ok(_) => {
                    self.answered = true;
                    self.attempt.heard();
                }
                Err(error) => return Poll::Ready(Err(ErrorKind::Broken(error))),
            }
            if let Some(head) = self.head.take(&mut self.link.inbox.bytes).map_err(ErrorKind::BadAnswer)? {
                // Whoever switches before the request is whole has not read it.
                let is_hasty = head.status == StatusCode::SWITCHING_PROTOCOLS && !self.upload.is_sent();
                let hasty = ErrorKind::BadAnswer(BadMessage::SwitchedProtocols);
                return Poll::Ready(if is_hasty { Err(hasty) } else { Ok(head) });
            }
        }
        if !self.upload.is_under_way() {
            return self.poll_patience(cx).map(Err);
        }
        Poll::Ready(Err(match ready!(self.poll_still(cx)) {
            Overdue::Limit => ErrorKind::HeadTimeout,
            Overdue::Idle if self.upload.starved => ErrorKind::RequestTimeout(self.limits.idle),
            Overdue::Idle => ErrorKind::SendTimeout(self.limits.idle),
        }))
    }

    /// Ready when there is no use in waiting for the head any longer: its time is up, or the backend has stalled and another
    /// one may be asked. Only who has waited for long listens for a stall, so that it costs the others nothing.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<ErrorKind> {
        let stall = self.limits.stall.filter(|_| !self.answered);
        if let Some(from) = stall.filter(|from| *from < self.limits.head) {
            if self.stall.is_none() {
                ready!(self.poll_until(cx, from));
            }
            loop {
                let silence = self.attempt.figures().silence();
                let told = self.stall.get_or_insert_with(|| silence.told());
                if silence.is_stalled() {
                    return Poll::Ready(ErrorKind::Stalled);
                }
                if told.as_mut().poll(cx).is_pending() {
                    break;
                }
                self.stall = None;
            }
        }
        ready!(self.poll_until(cx, self.limits.head));
        Poll::Ready(ErrorKind::HeadTimeout)
    }

    /// Sends what can be sent. An error is the client's.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if !self.upload.is_under_way() {
            return Ok(());
        }
        self.upload.poll(cx, &mut self.link)?;
        let moved = self.upload.has_moved();
        if moved {
            self.still_until = None;
        }
        if let Some(patience) = self.patience {
            let now = Instant::now();
            if moved {
                // The client's time is not the backend's.
                self.attempt.asked(now);
            }
            if !self.upload.is_under_way() {
                self.attempt.uploaded();
                self.limits.head = self.limits.head.max(now + patience);
            }
        }
        Ok(())
    }

    /// Something of a body moved.
    pub(super) fn moved(&mut self) {
        self.still_until = None;
    }

    /// Something came from the backend.
    pub(super) fn heard(&mut self) {
        self.attempt.heard();
        self.moved();
    }

    /// Ready when no byte of a body has moved for too long. Only while nothing can be done but wait: time that passes
    /// because the other side takes nothing is not counted.
    pub(super) fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<Overdue> {
        let until = *self.still_until.get_or_insert_with(|| Instant::now() + self.limits.idle);
        ready!(self.poll_until(cx, until));
        Poll::Ready(if self.limits.end.is_some_and(|end| end < until) { Overdue::Limit } else { Overdue::Idle })
    }

    /// Ready when the whole exchange must be over; also while bytes move.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.limits.end {
            Some(end) => self.poll_until(cx, end),
            None => Poll::Pending,
        }
    }

    /// Ready at this time, or when the whole exchange must be over.
    fn poll_until(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        self.link.deadline.set(self.limits.end.map_or(until, |end| end.min(until)));
        self.link.deadline.poll_reached(cx)
    }

    /// The answer to the proxy: what came whole is handed over whole, and its connection is free already.
    pub(super) fn into_response(mut self, head: AnswerHead) -> Response {
        self.attempt.ended(Outcome::Answered(head.status.as_u16()), Instant::now());
        self.patience = None;
        let body = match head.decoder.whole(&mut self.link.inbox.bytes) {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => self.into_tunnel(&head.headers),
            Some(bytes) => {
                self.finish(head.keep);
                Body::full(bytes)
            }
            None => Body::Stream(Box::pin(Answer::new(self, head.decoder, head.keep))),
        };
        Response { status: head.status, headers: head.headers, body }
    }

    /// The connection speaks another protocol from now on.
    fn into_tunnel(self, headers: &Headers) -> Body {
        // The head's reader has seen to it that there is one.
        let Some(protocol) = headers.get(&header::UPGRADE).cloned() else { return Body::Empty };
        let backend = Box::new(Switched::new(self.link, self.attempt));
        Body::Tunnel(Box::new(Tunnel { protocol, backend, idle: self.limits.tunnel }))
    }

    /// The answer is complete. The connection serves again only if nothing is left over on it in either direction.
    pub(super) fn finish(mut self, keep: bool) {
        if keep && self.upload.is_sent() && self.link.inbox.bytes.is_empty() {
            self.link.rest();
            self.home.keep(self.link);
        }
    }

    /// There will be no answer.
    pub(super) fn fail(mut self, kind: ErrorKind) -> ExchangeError {
        let reused = self.link.reused;
        let sent = self.upload.sent;
        let refused = self.upload.into_refusal();
        let error =
            Error::new(refused.filter(|_| matches!(kind, ErrorKind::Closed)).map_or(kind, ErrorKind::Broken), sent);
        let died_of_age = reused && !self.answered && matches!(error.kind, ErrorKind::Closed | ErrorKind::Broken(_));
        let outcome =
            if died_of_age || error.side() == Side::Downstream { Outcome::Abandoned } else { Outcome::Failed };
        self.attempt.ended(outcome, Instant::now());
        ExchangeError { error, answered: self.answered, reused }
    }
}
