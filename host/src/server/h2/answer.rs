//! An answer's way out: its head, and its body piece by piece, as far as the client's windows are open.

use super::exchange::{End, Seat};
use crate::{
    net::{Body, Deadline, Headers, Response},
    server::date,
};
use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body::{Body as _, Frame};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// An answer whose head was sent.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    stream: SendStream<Bytes>,
    /// What was taken of the body and did not fit the window.
    piece: Bytes,
    /// The piece is the last.
    is_last: bool,
    ended: bool,
    /// Set from the first time on that the client's window was closed.
    limit: Option<Deadline>,
    /// Bytes of the piece at hand that went since it was set last.
    taken: usize,
}

impl Answer {
    /// Sends the head; none when the stream has ended meanwhile.
    pub(super) fn begin(respond: &mut SendResponse<Bytes>, response: Response) -> Option<Answer> {
        let Response { status, headers, body, .. } = response;
        let ended = body.is_end_stream();
        let stream = send_head(respond, status, fields(headers, status, &body), ended)?;
        Some(Answer { body, stream, piece: Bytes::new(), is_last: ended, ended, limit: None, taken: 0 })
    }

    /// Sends what can be sent; ready when there is no more to send.
    pub(super) fn poll(&mut self, seat: &Seat, cx: &mut Context<'_>) -> Poll<End> {
        while !self.ended {
            if !seat.outlet.has_room(seat.number) {
                return self.wait(cx);
            }
            let Poll::Ready(window) = self.poll_room(seat, cx) else { return self.wait(cx) };
            let Some(window) = window else { return Poll::Ready(End::Broken) };
            if !self.is_last && self.piece.is_empty() {
                let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                    return self.poll_given_up(cx);
                };
                match frame {
                    Some(Ok(frame)) => self.took(frame),
                    Some(Err(_)) => return Poll::Ready(self.break_off(Reason::INTERNAL_ERROR)),
                    None => self.is_last = true,
                }
            } else {
                let piece = self.piece.split_to(window.min(self.piece.len()));
                seat.outlet.put(piece.len());
                self.taken += piece.len();
                self.ended = self.is_last && self.piece.is_empty();
                if self.stream.send_data(piece, self.ended).is_err() {
                    return Poll::Ready(End::Broken);
                }
            }
        }
        Poll::Ready(End::Answered)
    }

    fn took(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.piece = data;
                self.is_last = self.body.is_end_stream();
            }
            // Frames of other kinds than data and trailers do not exist yet.
            Err(frame) => {
                self.ended = true;
                // An error is a stream that has ended: there is nobody to tell.
                let _ = self.stream.send_trailers(frame.into_trailers().unwrap_or_default());
            }
        }
    }

    /// How many bytes the client takes now; a last piece without any needs no window. None: the stream has ended.
    fn poll_room(&mut self, seat: &Seat, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if self.is_last && self.piece.is_empty() {
            return Poll::Ready(Some(0));
        }
        let Poll::Ready(window) = poll_window(&mut self.stream, self.piece.len().max(1), cx) else {
            ready!(self.poll_limit(seat, cx));
            self.break_off(Reason::CANCEL);
            return Poll::Ready(None);
        };
        // A window that opens a byte at a time is as good as shut.
        if let Some(limit) = &mut self.limit
            && (self.piece.is_empty() || self.taken >= seat.listen.least_rate.within(seat.listen.idle))
        {
            limit.set(Instant::now() + seat.listen.idle);
            self.taken = 0;
        }
        Poll::Ready(window)
    }

    /// The time that a client has to open a window.
    fn poll_limit(&mut self, seat: &Seat, cx: &mut Context<'_>) -> Poll<()> {
        self.limit.get_or_insert_with(|| Deadline::new(Instant::now() + seat.listen.idle)).poll_reached(cx)
    }

    /// The client takes nothing: what else hangs on the body goes on.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.body.go_on(cx) {
            Ok(()) => self.poll_given_up(cx),
            Err(_) => Poll::Ready(self.break_off(Reason::INTERNAL_ERROR)),
        }
    }

    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.stream.poll_reset(cx).map(|_| End::Broken)
    }

    /// Whatever was sent is no whole answer.
    fn break_off(&mut self, reason: Reason) -> End {
        self.stream.send_reset(reason);
        End::Broken
    }
}

/// Sends a head; none when the stream has ended meanwhile.
pub(super) fn send_head(
    respond: &mut SendResponse<Bytes>,
    status: StatusCode,
    fields: HeaderMap,
    ends: bool,
) -> Option<SendStream<Bytes>> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = fields;
    respond.send_response(head, ends).ok()
}

/// How many of so many bytes the client takes now, at least one. None: the stream has ended.
pub(super) fn poll_window(stream: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    loop {
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            },
            window => return Poll::Ready(Some(window)),
        }
    }
}

/// The headers as HTTP/2 has them. The length is the body's own: the one that the headers tell may be a filter's
/// mistake.
pub(super) fn fields(headers: Headers, status: StatusCode, body: &Body) -> HeaderMap {
    let has_body = !body.is_end_stream();
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        let is_misplaced = is_of_http_1(&name) || (has_body && name == header::CONTENT_LENGTH);
        if !is_misplaced {
            map.append(name, value);
        }
    }
    let is_bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = body.size_hint().exact().filter(|_| has_body && !is_bodiless) {
        map.insert(header::CONTENT_LENGTH, length.into());
    }
    if !map.contains_key(header::DATE) {
        // RFC 9110 §6.6.1: who passes on an answer without a date says when it came.
        map.insert(header::DATE, date::with(Clone::clone));
    }
    map
}

/// Whether a header says something about a connection of HTTP/1.1 (RFC 9113 §8.2.2).
fn is_of_http_1(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE | header::TE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
