//! One request's line in the access log: filled in as things become known, written when the last of it is dropped, however
//! that comes about.

use crate::{
    net::{Body, BodyError, Connection, Request, Response, Side, Streaming},
    telemetry::access_log::{AccessLog, Ended, Entry},
};
use bytes::Bytes;
use http::{Version, header};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};
use tokio::time::Instant;

/// A line that is not written yet.
#[derive(Debug)]
pub(super) struct Line {
    log: Arc<AccessLog>,
    began: Instant,
    /// None: it was handed over.
    entry: Option<Box<Entry>>,
}

impl Line {
    /// Of a request that came to this listener; none: what came was no request.
    pub(super) fn new(
        log: &Arc<AccessLog>,
        listener: &Arc<str>,
        connection: &Connection,
        request: Option<&Request>,
        began: Instant,
    ) -> Line {
        let named = request.and_then(|request| match request.uri.authority() {
            Some(authority) => authority.as_str().try_into().ok(),
            None => request.headers.get(&header::HOST).cloned(),
        });
        let entry = Entry {
            time: SystemTime::now(),
            id: "".into(),
            listener: listener.clone(),
            client: connection.peer.ip().to_canonical(),
            protocol: request.map_or(Version::HTTP_11, |request| request.version),
            method: request.map(|request| request.method.clone()),
            host: named,
            path: request.map(|request| request.uri.path().into()),
            status: None,
            bytes: 0,
            duration: None,
            upstream: None,
            pool: None,
            backend: None,
            attempts: 0,
            plugin: None,
            generation: None,
            error: None,
            ended: Ended::ClientLeft,
        };
        Line { log: log.clone(), began, entry: Some(Box::new(entry)) }
    }

    /// Fills in.
    pub(super) fn note(&mut self, fill: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            fill(entry);
        }
    }

    /// Goes on with the answer's body.
    pub(super) fn follows(mut self, response: &mut Response) {
        self.note(|entry| entry.status = Some(response.status.as_u16()));
        // A tunnel is none of HTTP's bodies: its line is written as it opens.
        if response.body.is_end_stream() {
            self.note(|entry| entry.ended = Ended::Whole);
        } else {
            let body = std::mem::take(&mut response.body);
            response.body = Body::Stream(Box::pin(Recorded { body, line: self }));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.duration = Some(self.began.elapsed());
            self.log.put(entry);
        }
    }
}

/// A body on its way to the client.
struct Recorded {
    body: Body,
    line: Line,
}

impl Recorded {
    fn broke_off(&mut self, error: &BodyError) {
        let ended = if error.side == Side::Downstream { Ended::ClientLeft } else { Ended::BrokeOff };
        self.line.note(|entry| {
            entry.ended = ended;
            entry.error = Some(error.to_string().into());
        });
    }
}

impl Streaming for Recorded {
    fn go_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let gone_on = self.body.go_on(cx);
        if let Err(error) = &gone_on {
            self.broke_off(error);
        }
        gone_on
    }
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let is_whole = self.body.is_end_stream();
                self.line.note(|entry| {
                    entry.bytes += bytes;
                    if is_whole {
                        entry.ended = Ended::Whole;
                    }
                });
            }
            Poll::Ready(Some(Err(error))) => self.broke_off(error),
            Poll::Ready(None) => self.line.note(|entry| entry.ended = Ended::Whole),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
