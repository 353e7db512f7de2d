//! Picks a backend and has it answer; where that fails before anything was lost, picks another.

use super::{Error, Kind, Worker};
use crate::{
    balance::{Balancer, Pick},
    config::model::PoolTimeout,
    figures::{Attempt, Outcome, PoolCounts},
    net::{Body, Head, Response},
    upstream::{self, Backend, Connection, ExchangeError, Limits, Outgoing, Pool, Retry},
};
use std::{cell::RefCell, sync::Arc};
use tokio::time::Instant;

/// To how many other backends a request goes that may have reached one. A connect that fails sends nothing and costs no
/// retry.
const RETRIES_MOST: u32 = 1;

/// The answer of one of the pool's backends, and whose it is.
pub(super) async fn forward(
    worker: &Worker,
    balancer: &RefCell<Balancer>,
    pool: &Pool,
    head: &mut Head,
    mut body: Body,
    now: Instant,
) -> Result<(Response, Arc<Backend>), Error> {
    let mut sender = Sender::new(worker, pool, now);
    let mut tried: Vec<Arc<Backend>> = Vec::new();
    let mut last: Option<(upstream::Error, Arc<Backend>)> = None;
    let mut attempt_begins = now;
    loop {
        let attempt = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        let pick = balancer.borrow_mut().pick(head, attempt_begins, &mut worker.rng(), attempt, &tried);
        let backend = match pick {
            Pick::Backend(backend) => backend,
            Pick::Reject(status) => return Err(Kind::Rejected(status).into()),
            // What the last one did says more than that nobody is left.
            Pick::Nobody => return Err(last.map_or_else(|| Kind::NobodyReady.into(), |(error, by)| failed(error, &by))),
        };
        let lost = match sender.send(&backend, head, body).await {
            Ok(response) => return Ok((response, backend)),
            Err(lost) => lost,
        };
        sender.counts().failed(lost.error.failure());
        let may_repeat = sender.may_repeat(head, &lost);
        body = match lost.body {
            Some(body) if may_repeat => body,
            _ => return Err(failed(lost.error, &backend)),
        };
        sender.repeats(&lost.error);
        tracing::debug!(backend = %backend.name, error = %lost.error, "the request goes to another backend");
        tried.push(backend.clone());
        // That a request was sent weighs more than that nobody else could be reached.
        last = last.filter(|(before, _)| before.sent).or(Some((lost.error, backend)));
        attempt_begins = Instant::now();
    }
}

fn failed(error: upstream::Error, by: &Backend) -> Error {
    Error { backend: Some(by.name.clone()), ..Kind::Upstream(error).into() }
}

/// Sends one request until a backend answers it, and counts how often it may have arrived.
struct Sender<'a> {
    worker: &'a Worker,
    pool: &'a Pool,
    limits: Limits,
    retries: u32,
}

impl<'a> Sender<'a> {
    fn new(worker: &'a Worker, pool: &'a Pool, now: Instant) -> Sender<'a> {
        let limits = Limits {
            head: now + pool.timeout.head,
            idle: pool.timeout.idle,
            end: pool.timeout.total.map(|total| now + total),
            tunnel: pool.timeout.tunnel,
        };
        Sender { worker, pool, limits, retries: 0 }
    }

    /// One attempt at one backend. A kept connection that died unused says nothing about the backend, so at the first
    /// backend a new one is tried before another backend is: it costs no retry, for a backend that is dying loses both.
    async fn send(&mut self, backend: &Arc<Backend>, head: &Head, body: Body) -> Result<Response, ExchangeError> {
        let connections = self.worker.connections();
        let now = Instant::now();
        let mut ticket = Attempt::begin(backend.figures.clone(), now);
        let connection = match connections.checkout(backend, &self.timeout(now)).await {
            Ok(connection) => connection,
            Err(error) => {
                ticket.ended(blame(&error), Instant::now());
                return Err(ExchangeError { error, body: Some(body), answered: false, reused: false });
            }
        };
        let mut first = match self.exchange(connection, head, body, ticket).await {
            Ok(response) => return Ok(response),
            Err(first) => first,
        };
        if !first.reused || self.retries > 0 || !self.may_repeat(head, &first) {
            return Err(first);
        }
        let Some(body) = first.body.take() else { return Err(first) };
        self.counts().failed(first.error.failure());
        let now = Instant::now();
        let mut ticket = Attempt::begin(backend.figures.clone(), now);
        match connections.connect(backend, &self.timeout(now)).await {
            Ok(connection) => self.exchange(connection, head, body, ticket).await,
            // The first failure decides what may follow: the request may have been sent then.
            Err(error) => {
                ticket.ended(blame(&error), Instant::now());
                Err(ExchangeError { body: Some(body), ..first })
            }
        }
    }

    async fn exchange(
        &self,
        connection: Connection,
        head: &Head,
        body: Body,
        ticket: Attempt,
    ) -> Result<Response, ExchangeError> {
        let request =
            Outgoing { method: &head.method, target: &head.target, authority: &head.authority, headers: &head.headers };
        connection.exchange(request, body, ticket, self.limits).await
    }

    /// Whether the request may be sent once more after this.
    fn may_repeat(&self, head: &Head, lost: &ExchangeError) -> bool {
        let may = match lost.error.retry() {
            Retry::Unsent => true,
            Retry::Idempotent => self.retries < RETRIES_MOST && head.method.is_idempotent() && !lost.answered,
            Retry::No => false,
        };
        may && Instant::now() < self.until()
    }

    /// It goes to another backend after this.
    fn repeats(&mut self, after: &upstream::Error) {
        self.retries += u32::from(after.sent);
        self.counts().retries.add(u64::from(after.sent));
    }

    fn counts(&self) -> &PoolCounts {
        self.pool.figures.of(self.worker.index())
    }

    /// When the answer's head must be there.
    fn until(&self) -> Instant {
        self.limits.end.map_or(self.limits.head, |end| end.min(self.limits.head))
    }

    /// The pool's limits; a connect has no more time than the request has left.
    fn timeout(&self, now: Instant) -> PoolTimeout {
        let left = self.until().saturating_duration_since(now);
        let timeout = self.pool.timeout;
        PoolTimeout { connect: timeout.connect.min(left), ..timeout }
    }
}

/// Whose fault it is that there is no connection.
fn blame(error: &upstream::Error) -> Outcome {
    if error.is_ours() { Outcome::Abandoned } else { Outcome::Failed }
}
