//! Picks a backend and has it answer; where that fails before anything was lost, picks another.

use super::{Error, Kind, Worker, context::Context, replay::Replay, retry::Retries};
use crate::{
    balance::{Balancer, Pick},
    figures::{Attempt, Outcome, PoolCounts},
    net::{Body, Head, Response},
    upstream::{self, Backend, Connection, ExchangeError, Limits, Outgoing, Pool},
};
use std::{cell::RefCell, sync::Arc};
use tokio::time::{Instant, sleep};

/// The answer of one of the pool's backends, and whose it is.
pub(super) async fn forward(
    worker: &Worker,
    balancer: &RefCell<Balancer>,
    pool: &Pool,
    head: &mut Head,
    body: Body,
    context: &Context<'_>,
) -> Result<(Response, Arc<Backend>), Error> {
    let now = context.began;
    let counts = pool.figures.of(worker.index());
    let replay = Replay::new(body, pool.retry.replay);
    let mut retries = Retries::new(pool, &head.method, now);
    let mut trail = Trail::default();
    let mut begins = now;
    loop {
        let backend = trail.pick(worker, balancer, head, begins)?;
        context.asks(&backend);
        let sender = Sender { worker, counts, replay: &replay, retries: &retries };
        let lost = match sender.send(&backend, head).await {
            Ok(response) => {
                context.heard();
                return Ok((response, backend));
            }
            Err(lost) => lost,
        };
        counts.failed(lost.error.failure());
        let pause = if replay.is_whole() { retries.goes_on(&lost, counts, &mut worker.rng()) } else { None };
        let Some(pause) = pause else { return Err(failed(lost.error, &backend)) };
        tracing::debug!(backend = %backend.name, error = %lost.error, ?pause, "the request goes to another backend");
        if !pause.is_zero() {
            sleep(pause).await;
        }
        trail.lost(lost.error, backend);
        begins = Instant::now();
    }
}

/// Where a request has been.
#[derive(Default)]
struct Trail {
    attempts: u32,
    /// Who may not be chosen again.
    tried: Vec<Arc<Backend>>,
    /// What the client is told of when nobody is left.
    told: Option<(upstream::Error, Arc<Backend>)>,
    /// The last backend may have seen it: a retry was paid for, and is not lost for want of another backend.
    may_return: bool,
}

impl Trail {
    /// Who is asked next: another backend when there is one.
    fn pick(
        &mut self,
        worker: &Worker,
        balancer: &RefCell<Balancer>,
        head: &mut Head,
        now: Instant,
    ) -> Result<Arc<Backend>, Error> {
        loop {
            match balancer.borrow_mut().pick(head, now, &mut worker.rng(), self.attempts, &self.tried) {
                Pick::Backend(backend) => return Ok(backend),
                Pick::Reject(status) => return Err(Kind::Rejected(status).into()),
                Pick::Nobody if std::mem::take(&mut self.may_return) => self.tried.clear(),
                // What the last one did says more than that nobody is left.
                Pick::Nobody => {
                    return Err(self.told.take().map_or(Kind::NobodyReady.into(), |(error, by)| failed(error, &by)));
                }
            }
        }
    }

    fn lost(&mut self, error: upstream::Error, by: Arc<Backend>) {
        self.attempts += 1;
        self.tried.push(by.clone());
        self.may_return = error.sent;
        // That a request was sent weighs more than that nobody else could be reached.
        self.told = self.told.take().filter(|(before, _)| before.sent).or(Some((error, by)));
    }
}

fn failed(error: upstream::Error, by: &Backend) -> Error {
    Error { backend: Some(by.name.clone()), ..Kind::Upstream(error).into() }
}

/// Sends one request to one backend.
struct Sender<'a> {
    worker: &'a Worker,
    counts: &'a PoolCounts,
    replay: &'a Replay,
    retries: &'a Retries<'a>,
}

impl Sender<'_> {
    /// One attempt.
    async fn send(&self, backend: &Arc<Backend>, head: &Head) -> Result<Response, ExchangeError> {
        let connections = self.worker.connections();
        let now = Instant::now();
        let limits = self.retries.limits(now);
        let limits = Limits { stall: limits.stall.filter(|_| self.replay.stays_whole()), ..limits };
        let mut ticket = Attempt::begin(backend.figures.clone(), now);
        let connection = match connections.checkout(backend, head, &self.retries.timeout(&limits, now)).await {
            Ok(connection) => connection,
            Err(error) => {
                ticket.ended(blame(&error), Instant::now());
                return Err(ExchangeError { error, answered: false, reused: false });
            }
        };
        let lost = match self.exchange(connection, head, ticket, limits).await {
            Ok(response) => return Ok(response),
            Err(lost) => lost,
        };
        if !self.retries.may_reconnect(&lost) || !self.replay.is_whole() {
            return Err(lost);
        }
        self.counts.failed(lost.error.failure());
        let now = Instant::now();
        let mut ticket = Attempt::begin(backend.figures.clone(), now);
        match connections.connect(backend, head, &self.retries.timeout(&limits, now)).await {
            Ok(connection) => self.exchange(connection, head, ticket, limits).await,
            // The first failure decides what may follow: the request may have been sent then.
            Err(error) => {
                ticket.ended(blame(&error), Instant::now());
                Err(lost)
            }
        }
    }

    async fn exchange(
        &self,
        connection: Connection,
        head: &Head,
        ticket: Attempt,
        limits: Limits,
    ) -> Result<Response, ExchangeError> {
        let request =
            Outgoing { method: &head.method, target: &head.target, authority: &head.authority, headers: &head.headers };
        connection.exchange(request, self.replay.play(), ticket, limits).await
    }
}

/// Whose fault it is that there is no connection.
fn blame(error: &upstream::Error) -> Outcome {
    if error.is_ours() { Outcome::Abandoned } else { Outcome::Unreached }
}
