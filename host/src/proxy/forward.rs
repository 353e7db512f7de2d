//! Picks a backend and has it answer; where that fails before anything was lost, picks another.

use super::{Error, Kind, View, Worker};
use crate::{
    balance::Pick,
    figures::{Attempt, Outcome},
    net::{Body, Head},
    upstream::{Backend, Connection, ExchangeError, Limits, Outgoing, Pool, Retry},
};
use http::Response;
use std::{rc::Rc, sync::Arc};
use tokio::time::Instant;

/// How often a request that may have reached a backend is sent again. A connect that fails sends nothing and costs no retry.
const RETRIES_MOST: u32 = 1;

/// The answer of one of the pool's backends.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    view: &View,
    pool: usize,
    head: &mut Head,
    mut body: Body,
    now: Instant,
) -> Result<Response<Body>, Error> {
    let Some(balancer) = view.balancer(pool) else { return Err(Kind::NotFound.into()) };
    let pool = balancer.borrow().assignment().pool.clone();
    let limits = Limits {
        head: now + pool.timeout.head,
        idle: pool.timeout.idle,
        end: pool.timeout.total.map(|total| now + total),
    };
    let mut tried: Vec<Arc<Backend>> = Vec::new();
    let mut last = None;
    let mut retries = 0;
    let mut attempt_begins = now;
    loop {
        let attempt = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        let pick = balancer.borrow_mut().pick(head, attempt_begins, &mut worker.rng(), attempt, &tried);
        let backend = match pick {
            Pick::Backend(backend) => backend,
            Pick::Reject(status) => return Err(Kind::Rejected(status).into()),
            // What the last one did says more than that nobody is left.
            Pick::Nobody => return Err(last.map_or(Kind::NobodyReady, Kind::Upstream).into()),
        };
        let ticket = Attempt::begin(backend.figures.clone(), attempt_begins);
        let failed = match send(worker, &pool, &backend, head, body, ticket, limits).await {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        attempt_begins = Instant::now();
        body = match (failed.error.retry(), failed.body) {
            (Retry::Unsent, Some(body)) if attempt_begins < limits.head => body,
            (Retry::Idempotent, Some(body))
                if retries < RETRIES_MOST && head.method.is_idempotent() && !failed.answered =>
            {
                retries += 1;
                body
            }
            _ => return Err(Kind::Upstream(failed.error).into()),
        };
        tracing::debug!(backend = %backend.name, error = %failed.error, "the request goes to another backend");
        tried.push(backend);
        last = Some(failed.error);
    }
}

/// One attempt at one backend. A kept connection that died unused says nothing about the backend, so a new one is tried
/// before another backend is.
async fn send(
    worker: &Rc<Worker>,
    pool: &Pool,
    backend: &Arc<Backend>,
    head: &Head,
    body: Body,
    mut ticket: Attempt,
    limits: Limits,
) -> Result<Response<Body>, ExchangeError> {
    let connections = worker.connections();
    let unsent = |error, body, mut ticket: Attempt| {
        ticket.ended(Outcome::Failed, Instant::now());
        ExchangeError { error, body: Some(body), answered: false, reused: false }
    };
    let connection = match connections.checkout(backend, &pool.timeout).await {
        Ok(connection) => connection,
        Err(error) => return Err(unsent(error, body, ticket)),
    };
    let failed = match exchange(connection, head, body, ticket, limits).await {
        Ok(response) => return Ok(response),
        Err(failed) => failed,
    };
    let may_repeat = match failed.error.retry() {
        Retry::Unsent => true,
        Retry::Idempotent => head.method.is_idempotent(),
        Retry::No => false,
    };
    let Some(body) = failed.body else { return Err(failed) };
    if !failed.reused || failed.answered || !may_repeat {
        return Err(ExchangeError { body: Some(body), ..failed });
    }
    ticket = Attempt::begin(backend.figures.clone(), Instant::now());
    match connections.connect(backend, &pool.timeout).await {
        Ok(connection) => exchange(connection, head, body, ticket, limits).await,
        Err(error) => Err(unsent(error, body, ticket)),
    }
}

async fn exchange(
    connection: Connection,
    head: &Head,
    body: Body,
    ticket: Attempt,
    limits: Limits,
) -> Result<Response<Body>, ExchangeError> {
    let request =
        Outgoing { method: &head.method, target: &head.target, authority: &head.authority, headers: &head.headers };
    connection.exchange(request, body, ticket, limits).await
}
