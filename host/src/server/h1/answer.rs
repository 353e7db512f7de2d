//! An answer's way out: its head, and its body as it comes. What is there together leaves together.

use super::wire::{Gone, Wire};
use crate::{
    net::{
        Body, BodyError, Interim, Response, TURN_BYTES_MOST, Tunnel, give_way,
        h1::{Outbox, last_chunk, write_field},
    },
    server::date,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body as _, Frame};
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// What an answer has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// `HEAD`: the answer has no body, whatever its headers say.
    pub(super) for_head: bool,
    pub(super) is_http_1_0: bool,
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// So many bytes are left.
    Length(u64),
    /// In chunks, for nobody knows how many.
    Chunked,
    /// Up to the end of the connection, for a client that knows no chunks.
    UntilClose,
}

impl Framing {
    /// RFC 9112 §6.3, as seen by who writes.
    pub(super) fn of(response: &Response, asked: Asked) -> Framing {
        let has_none = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if asked.for_head || has_none || matches!(response.body, Body::Tunnel(_)) {
            return Framing::None;
        }
        match response.body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None if asked.is_http_1_0 => Framing::UntilClose,
            None => Framing::Chunked,
        }
    }
}

/// An answer that did not go out whole: the connection ends as it stands, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Broken {
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Write(#[from] io::Error),
    #[error("the body has another length than announced")]
    Length,
    #[error("the client has left")]
    Gone,
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Broken {
        Broken::Gone
    }
}

/// What follows an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// Another request may.
    Request,
    /// Another protocol does.
    Tunnel(Box<Tunnel>),
    /// Nothing.
    End,
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    framing: Framing,
    ended: bool,
    close: bool,
    broken: Option<Broken>,
    /// Bytes of the body that were taken in this turn.
    taken: usize,
}

impl Answer {
    /// Writes the head. With `close`, or where the answer needs it, the connection ends behind it.
    pub(super) fn begin(out: &mut Vec<u8>, response: Response, framing: Framing, asked: Asked, close: bool) -> Answer {
        let close = close || framing == Framing::UntilClose || response.headers.contains(&header::CONNECTION);
        write_head(out, &response, framing, asked, close);
        let body = response.body;
        Answer { body, framing, ended: framing == Framing::None, close, broken: None, taken: 0 }
    }

    /// What follows it once it went out.
    pub(super) fn next(self) -> Next {
        match self.body {
            Body::Tunnel(tunnel) => Next::Tunnel(tunnel),
            _ if self.close => Next::End,
            _ => Next::Request,
        }
    }

    /// Sends what can be sent; ready when all of it went out.
    pub(super) fn poll<S>(&mut self, wire: &RefCell<Wire<S>>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.taken = 0;
        loop {
            let starved = self.gather(wire, cx).unwrap_or_else(|broken| {
                self.broken = Some(broken);
                self.ended = true;
                false
            });
            // Also before an untimely end: the client shall see what there was.
            let Poll::Ready(sent) = wire.borrow_mut().poll_out(cx) else {
                self.body.go_on(cx)?;
                return Poll::Pending;
            };
            sent?;
            if let Some(broken) = self.broken.take() {
                return Poll::Ready(Err(broken));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if starved {
                return wire.borrow_mut().poll_gone(cx).map(|gone| Err(gone.into()));
            }
            if self.taken >= TURN_BYTES_MOST {
                return give_way(cx);
            }
        }
    }

    /// Puts on the wire what there is of the body; whether there was nothing more.
    fn gather<S>(&mut self, wire: &RefCell<Wire<S>>, cx: &mut Context<'_>) -> Result<bool, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while !self.ended && wire.borrow_mut().outbox().has_room() {
            // The wire is free meanwhile: a body that is polled may read the request's.
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return Ok(true) };
            let is_last = self.body.is_end_stream();
            self.take(wire.borrow_mut().outbox(), frame, is_last)?;
        }
        Ok(false)
    }

    /// Puts what the body gave behind what waits; none: it has ended.
    fn take(
        &mut self,
        outbox: &mut Outbox,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
        is_last: bool,
    ) -> Result<(), Broken> {
        match frame.transpose()?.map(Frame::into_data) {
            Some(Ok(data)) => self.piece(outbox, data, is_last),
            // Frames of other kinds than data and trailers do not exist yet.
            Some(Err(frame)) => frame.into_trailers().map_or(Ok(()), |fields| self.end(outbox, fields)),
            None => self.end(outbox, HeaderMap::new()),
        }
    }

    fn piece(&mut self, outbox: &mut Outbox, data: Bytes, is_last: bool) -> Result<(), Broken> {
        // An empty chunk would end the body.
        if data.is_empty() {
            return if is_last { self.end(outbox, HeaderMap::new()) } else { Ok(()) };
        }
        self.taken += data.len();
        match &mut self.framing {
            Framing::None | Framing::UntilClose => outbox.piece(data),
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::Length)?;
                outbox.piece(data);
            }
            Framing::Chunked => outbox.chunk(data, is_last),
        }
        self.ended = is_last;
        if is_last && matches!(self.framing, Framing::Length(1..)) { Err(Broken::Length) } else { Ok(()) }
    }

    fn end(&mut self, outbox: &mut Outbox, trailers: HeaderMap) -> Result<(), Broken> {
        self.ended = true;
        match self.framing {
            Framing::Length(1..) => return Err(Broken::Length),
            Framing::Chunked => last_chunk(outbox.text(), &trailers),
            Framing::None | Framing::Length(0) | Framing::UntilClose => {}
        }
        Ok(())
    }
}

/// Writes what is said before an answer.
pub(super) fn write_interim(out: &mut Vec<u8>, Interim { status, headers, .. }: &Interim) {
    write_status(out, *status);
    headers.iter().for_each(|(name, value)| write_field(out, name.as_str(), value.as_bytes()));
    out.extend_from_slice(b"\r\n");
}

fn write_status(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_head(out: &mut Vec<u8>, response: &Response, framing: Framing, asked: Asked, close: bool) {
    let Response { status, headers, body, .. } = response;
    let status = *status;
    write_status(out, status);
    // Where there is no body, the length tells of the one there would have been; 204 cannot have one (RFC 9110 §8.6).
    let is_length_theirs = framing == Framing::None && status != StatusCode::NO_CONTENT;
    let mut is_dated = false;
    for (name, value) in headers.iter() {
        is_dated |= *name == header::DATE;
        let is_framing = *name == header::CONNECTION
            || *name == header::TRANSFER_ENCODING
            || (*name == header::CONTENT_LENGTH && !is_length_theirs);
        if !is_framing {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        Framing::Length(length) => {
            write_field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
        }
        Framing::Chunked => write_field(out, "transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    if !is_dated {
        // RFC 9110 §6.6.1: who passes on an answer without a date says when it came.
        date::with(|date| write_field(out, "date", date.as_bytes()));
    }
    if let Body::Tunnel(tunnel) = body {
        write_field(out, "connection", b"upgrade");
        write_field(out, "upgrade", tunnel.protocol.as_bytes());
    } else if close {
        write_field(out, "connection", b"close");
    } else if asked.is_http_1_0 {
        write_field(out, "connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
}

/// An answer as it goes out to a client that speaks HTTP/1.1, with a body that is there: for who looks at it without a
/// connection.
#[cfg(any(test, fuzzing))]
pub(crate) fn written(mut response: Response) -> Vec<u8> {
    let asked = Asked { for_head: false, is_http_1_0: false };
    let (framing, mut body) = (Framing::of(&response, asked), std::mem::take(&mut response.body));
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    let mut answer = Answer::begin(outbox.text(), response, framing, asked, false);
    let cx = &mut Context::from_waker(std::task::Waker::noop());
    while !answer.ended {
        let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) else { return out };
        if answer.take(&mut outbox, frame, body.is_end_stream()).is_err() {
            return out;
        }
        out.append(&mut outbox.drain());
    }
    out.append(&mut outbox.drain());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const GET: Asked = Asked { for_head: false, is_http_1_0: false };
    const HEAD: Asked = Asked { for_head: true, is_http_1_0: false };
    const OLD: Asked = Asked { for_head: false, is_http_1_0: true };

    fn begun(status: u16, headers: &[(&'static str, &'static str)], body: Body, asked: Asked) -> (String, Answer) {
        let mut response = Response::new(StatusCode::from_u16(status).unwrap(), body);
        for (name, value) in headers.iter().chain(&[("date", "now")]) {
            response.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut out = Vec::new();
        let framing = Framing::of(&response, asked);
        let answer = Answer::begin(&mut out, response, framing, asked, false);
        (String::from_utf8(out).unwrap(), answer)
    }

    /// A body of which nobody knows the length.
    struct Unknown;

    impl http_body::Body for Unknown {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(None)
        }
    }

    impl crate::net::Streaming for Unknown {}

    fn streaming() -> Body {
        Body::Stream(Box::pin(Unknown))
    }

    #[test]
    fn framing_comes_from_here_alone() {
        let lies = [("content-length", "3"), ("transfer-encoding", "gzip"), ("x-a", "1")];
        let (head, _) = begun(200, &lies, Body::full("hello"), GET);
        assert_eq!(head, "HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: now\r\ncontent-length: 5\r\n\r\n");
        let (head, answer) = begun(200, &lies, streaming(), GET);
        assert_eq!(head, "HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(matches!(answer.next(), Next::Request));
        let (head, answer) = begun(200, &lies, streaming(), OLD);
        assert_eq!(head, "HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: now\r\nconnection: close\r\n\r\n");
        assert!(matches!(answer.next(), Next::End));
    }

    #[test]
    fn where_there_is_no_body_the_length_is_the_backends() {
        for (status, asked, kept) in [(200, HEAD, true), (304, GET, true), (204, GET, false)] {
            let (head, answer) = begun(status, &[("content-length", "3")], Body::Empty, asked);
            assert_eq!(head.contains("content-length: 3\r\n"), kept, "{status}");
            assert!(answer.ended);
        }
        let (head, _) = begun(200, &[], Body::Empty, GET);
        assert!(head.contains("content-length: 0\r\n"));
    }

    #[test]
    fn a_status_without_a_name_is_passed_on() {
        assert!(begun(599, &[], Body::Empty, GET).0.starts_with("HTTP/1.1 599 \r\n"));
    }

    #[test]
    fn an_answer_without_a_date_gets_one() {
        let mut out = Vec::new();
        Answer::begin(&mut out, Response::new(StatusCode::OK, Body::Empty), Framing::Length(0), GET, true);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\ndate: ") && text.contains(" GMT\r\n") && text.contains("connection: close\r\n"));
    }

    #[test]
    fn who_asks_in_http_1_0_is_told_that_the_connection_stays() {
        assert!(begun(200, &[], Body::Empty, OLD).0.contains("connection: keep-alive\r\n"));
    }
}
