//! What fails is told to the log, once, where an error has become a response or has broken one off; and no more often
//! than somebody can read.

use super::{Error, Kind, Worker, forward::Answered, overload::Inside, request_id::RequestId};
use crate::{
    net::{Body, BodyError, Connection, Response, Side, Streaming},
    state::Policy,
    upstream::{Backend, Permit, Pool},
};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use std::{
    fmt::Display,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Warnings of one worker in [`SPELL`]. What is left out is counted, and told of with the next line.
const LINES_MOST: u32 = 10;
/// In how long.
const SPELL: Duration = Duration::from_secs(1);

/// How much one worker has warned of lately.
#[derive(Debug)]
pub(super) struct Warnings {
    spell_ends: Instant,
    told: u32,
    left_out: u64,
}

impl Warnings {
    pub(super) fn new() -> Warnings {
        Warnings { spell_ends: Instant::now(), told: 0, left_out: 0 }
    }

    /// How many were left out since the last one, if one more may be told now.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now >= self.spell_ends {
            *self = Warnings { spell_ends: now + SPELL, told: 0, ..*self };
        }
        if self.told == LINES_MOST {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// A request was answered here for this error; the client was told the same id.
pub(super) fn answered(worker: &Worker, error: &Error, status: StatusCode, id: &RequestId) {
    let (request, status) = (id, status.as_u16());
    let (pool, backend) = (error.pool.as_deref(), error.backend.as_deref());
    // That there are too many is told of once, by whoever counts them.
    if status < 500 || matches!(error.kind, Kind::Overloaded) {
        tracing::debug!(%request, pool, backend, "answered {status}: {error}");
    } else if let Some(left_out) = admit(worker) {
        tracing::warn!(%request, pool, backend, left_out, "answered {status}: {error}");
    }
}

/// A client's connection was ended, for it did too much of this. Counted, and told no more often than anything else.
pub fn sent_away(worker: &Worker, policy: &Policy, connection: &Connection, why: &dyn Display) {
    policy.figures.of(worker.index()).sent_away.up();
    if let Some(left_out) = admit(worker) {
        tracing::warn!(client = %connection.peer, listener = connection.listener, left_out, "a client was sent away: {why}");
    }
}

/// The answer of a backend, which is told of should it break off. The request counts until it has ended, a tunnel too.
pub(super) fn watched(worker: &Rc<Worker>, pool: &Arc<Pool>, answered: Answered, inside: Option<Inside>) -> Response {
    let Answered { mut response, backend, permit } = answered;
    let counted = (permit, inside);
    response.body = match response.body {
        Body::Stream(body) => {
            let (worker, pool) = (worker.clone(), pool.clone());
            Body::Stream(Box::pin(Watched { body, worker, pool, backend, _counted: counted }))
        }
        Body::Tunnel(mut tunnel) => {
            if counted.0.is_some() || counted.1.is_some() {
                tunnel.holds = Some(Box::new(counted));
            }
            Body::Tunnel(tunnel)
        }
        whole => whole,
    };
    response
}

/// None: nothing was left out, or nothing may be told.
fn admit(worker: &Worker) -> Option<Option<u64>> {
    let left_out = worker.warnings().admit(Instant::now())?;
    Some((left_out > 0).then_some(left_out))
}

/// A body that is still coming.
struct Watched {
    body: Pin<Box<dyn Streaming>>,
    worker: Rc<Worker>,
    pool: Arc<Pool>,
    backend: Arc<Backend>,
    /// The request counts until its answer has ended.
    _counted: (Option<Permit>, Option<Inside>),
}

impl Watched {
    fn broke_off(&self, error: &BodyError) {
        if error.side == Side::Upstream
            && let Some(left_out) = admit(&self.worker)
        {
            tracing::warn!(
                pool = &*self.pool.name,
                backend = &*self.backend.name,
                left_out,
                "an answer broke off: {error}"
            );
        }
    }
}

impl Streaming for Watched {
    fn go_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let gone_on = self.body.as_mut().go_on(cx);
        if let Err(error) = &gone_on {
            self.broke_off(error);
        }
        gone_on
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.body.as_mut().poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(error))) => self.broke_off(error),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.pool.hears(&self.backend, |name| trailers.get(name));
                }
            }
            _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_a_few_lines_and_a_number() {
        let mut warnings = Warnings::new();
        let mut told = || (0..1000).filter_map(|_| warnings.admit(Instant::now())).collect::<Vec<_>>();
        assert_eq!(told(), vec![0; LINES_MOST as usize]);
        tokio::time::advance(SPELL).await;
        let next = told();
        assert_eq!((next.len(), next[0], next[1]), (LINES_MOST as usize, 990, 0));
    }
}
