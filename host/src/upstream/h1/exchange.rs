//! One request and its answer, up to the answer's head. Sending and reading go on side by side, for a backend may answer
//! before it has read the request's body.

use super::{
    answer::Answer,
    encode::{self, Framing},
    head::{AnswerHead, HeadReader},
    link::Link,
    tunnel::Switched,
    upload::Upload,
};
use crate::{
    figures::{Attempt, Loss, Outcome},
    net::{Body, BodyError, Headers, Interim, Response, Tunnel, h1::BadMessage},
    upstream::{
        Connections, Limits, Outgoing,
        error::{Error, ErrorKind, ExchangeError},
        patience::{Overdue, Patience, Sending},
    },
};
use http::{Method, StatusCode, Version, header};
use std::{
    rc::Rc,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// One request and its answer. Dropping it closes the connection.
#[derive(Debug)]
pub(in crate::upstream) struct Exchange {
    pub(super) link: Box<Link>,
    home: Rc<Connections>,
    pub(super) upload: Upload,
    attempt: Attempt,
    patience: Patience,
    head: HeadReader,
    answered: bool,
}

impl Exchange {
    pub(in crate::upstream) fn begin(
        mut link: Box<Link>,
        home: Rc<Connections>,
        request: Outgoing<'_>,
        body: Body,
        mut attempt: Attempt,
        limits: Limits,
    ) -> Exchange {
        let framing = Framing::of(request.method, &body);
        let mut head = HeadReader::new(*request.method == Method::HEAD);
        let upgrade = if let Body::Upgrade(protocols) = &body { Some(protocols) } else { None };
        encode::head(link.outbox.text(), &request, framing, upgrade);
        if let Some(protocols) = upgrade {
            head.may_switch_to(protocols.clone());
        }
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        let patience = Patience::new(limits, has_body, &mut attempt);
        Exchange { link, home, upload: Upload::new(body, framing), attempt, patience, head, answered: false }
    }

    /// Waits for the answer's head, and sends meanwhile. What the backend says before it goes to `before`.
    pub(in crate::upstream) fn poll_head(
        &mut self,
        before: &dyn Fn(Interim),
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, ErrorKind>> {
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
            if let Some(head) = self.head.take(&mut self.link.inbox.bytes, before).map_err(ErrorKind::BadAnswer)? {
                // Whoever switches before the request is whole has not read it.
                let is_hasty = head.status == StatusCode::SWITCHING_PROTOCOLS && !self.upload.is_sent();
                let hasty = ErrorKind::BadAnswer(BadMessage::SwitchedProtocols);
                return Poll::Ready(if is_hasty { Err(hasty) } else { Ok(head) });
            }
        }
        let sending = self.sending();
        self.patience.poll_head(&mut self.link.deadline, sending, &self.attempt, self.answered, cx).map(Err)
    }

    fn sending(&self) -> Sending {
        match (self.upload.is_under_way(), self.upload.starved) {
            (false, _) => Sending::Over,
            (true, true) => Sending::Starved,
            (true, false) => Sending::Stuck,
        }
    }

    /// Sends what can be sent. An error is the client's.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if !self.upload.is_under_way() {
            return Ok(());
        }
        self.upload.poll(cx, &mut self.link)?;
        let (moved, sending) = (self.upload.has_moved(), self.sending());
        self.attempt.sent(self.upload.taken);
        self.patience.sent(moved, self.upload.taken, sending, &mut self.attempt);
        Ok(())
    }

    /// So many bytes of the answer's body came.
    pub(super) fn received(&self, bytes: usize) {
        self.attempt.received(bytes);
    }

    /// The answer broke off.
    pub(super) fn breaks_off(&self) {
        self.attempt.lost(Loss::Reset);
    }

    /// Something of a body moved.
    pub(super) fn moved(&mut self) {
        self.patience.moved();
    }

    /// Something came from the backend.
    pub(super) fn heard(&mut self) {
        self.attempt.heard();
        self.moved();
    }

    /// Ready when no byte of a body has moved for too long.
    pub(super) fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<Overdue> {
        self.patience.poll_still(&mut self.link.deadline, cx)
    }

    /// Ready when the whole exchange must be over; also while bytes move.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.patience.poll_end(&mut self.link.deadline, cx)
    }

    /// The answer to the proxy: what came whole is handed over whole, and its connection is free already.
    pub(in crate::upstream) fn into_response(mut self, head: AnswerHead) -> Response {
        self.attempt.ended(Outcome::Answered(head.status.as_u16()), Instant::now());
        self.patience.answered();
        let body = match head.decoder.whole(&mut self.link.inbox.bytes) {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => self.into_tunnel(&head.headers),
            Some(bytes) => {
                self.received(bytes.len());
                self.finish(head.keep);
                Body::full(bytes)
            }
            None => Body::Stream(Box::pin(Answer::new(self, head.decoder, head.keep))),
        };
        Response { status: head.status, version: Version::HTTP_11, headers: head.headers, body }
    }

    /// The connection speaks another protocol from now on.
    fn into_tunnel(self, headers: &Headers) -> Body {
        // The head's reader has seen to it that there is one.
        let Some(protocol) = headers.get(&header::UPGRADE).cloned() else { return Body::Empty };
        // However it ends, and whoever ends it: that is what the two agreed on.
        self.attempt.lost(Loss::Nothing);
        let idle = self.patience.limits().tunnel;
        let backend = Box::new(Switched::new(self.link, self.attempt));
        Body::Tunnel(Box::new(Tunnel { protocol, backend, idle, holds: None }))
    }

    /// The answer is complete. The connection serves again only if nothing is left over on it in either direction.
    pub(super) fn finish(mut self, keep: bool) {
        self.attempt.lost(Loss::Nothing);
        if keep && self.upload.is_sent() && self.link.inbox.bytes.is_empty() {
            self.link.rest();
            self.home.keep(self.link);
        }
    }

    /// There will be no answer.
    pub(in crate::upstream) fn fail(mut self, kind: ErrorKind) -> ExchangeError {
        let reused = self.link.reused;
        let sent = self.upload.sent;
        let refused = self.upload.into_refusal();
        let error =
            Error::new(refused.filter(|_| matches!(kind, ErrorKind::Closed)).map_or(kind, ErrorKind::Broken), sent);
        ExchangeError { error, answered: self.answered, reused }.told(&mut self.attempt)
    }
}
