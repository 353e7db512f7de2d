//! One request's way, readable as a list. Branches are here, the work is in the leaves; an error of any step becomes a
//! response in [`respond`], and nowhere else.

mod access;
mod context;
mod error;
mod explain;
mod forward;
mod framing;
mod grpc;
mod headers;
mod hedge;
mod overload;
mod redirect;
mod replay;
mod report;
mod request_id;
mod respond;
mod retry;
mod room;
mod upgrade;
mod view;
mod worker;

pub use error::{Error, Kind};
pub use overload::Overload;
pub use report::sent_away;
pub use view::View;
pub use worker::Worker;

use crate::{
    config::model::OnFault,
    filter::Verdict,
    net::{Body, Connection, Head, Interims, NOBODY, Request, Response, h1::BadMessage},
    plugin::Turn,
    state::{Policy, RouteEntry},
};
use bytes::Bytes;
use context::Context;
use forward::forward;
use http::{Method, StatusCode, Version, header};
use http_body::Body as _;
use overload::Inside;
use request_id::X_REQUEST_ID;
use respond::respond;
use std::{rc::Rc, sync::Arc};
use tokio::time::Instant;

/// Serves one request. Never fails: what goes wrong is a response too, and what has no body by HTTP's rules comes without
/// one. What a backend says before its answer is put into `interims`. `before`: what held when the connection came.
/// Dropping the future abandons the request, and the backend's connection with it.
pub async fn serve(
    worker: &Rc<Worker>,
    before: &Policy,
    connection: &Arc<Connection>,
    request: Request,
    interims: &Interims,
) -> Response {
    let version = request.version;
    let is_head = request.method == Method::HEAD;
    let is_connect = version == Version::HTTP_2 && matches!(request.body, Body::Upgrade(_));
    let is_grpc = grpc::reads_grpc(&request);
    // One snapshot for the whole request; it is let go of when this function returns, long before a body may end. What
    // holds now holds on older connections too.
    let view = worker.view_of(connection.listener);
    let policy = view.policy(connection.listener).map_or(before, |policy| policy);
    let context = Context::new(worker, policy, connection, Some(&request), interims);
    let answer = match worker.enter() {
        Some(inside) => answer(worker, &view, policy, connection, request, &context, inside).await,
        None => Err(Kind::Overloaded.into()),
    };
    let mut response = match answer.and_then(|response| upgrade::agreed(response, is_connect)) {
        Ok(response) => response,
        Err(error) => {
            let mut response = say(&context, &error, version);
            if is_grpc {
                grpc::told(&mut response);
            }
            response
        }
    };
    end_with_head(&mut response, is_head);
    context.answered(&mut response);
    response
}

/// Takes the body from a response that has none (RFC 9110 §6.4.1). One to HEAD still tells the length it would have.
fn end_with_head(response: &mut Response, is_head: bool) {
    let has_none = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if response.status == StatusCode::NO_CONTENT {
        response.headers.remove(&header::CONTENT_LENGTH);
    }
    if !(is_head || has_none) || response.body.is_end_stream() {
        return;
    }
    if let (false, Some(length)) = (has_none, response.body.size_hint().exact()) {
        response.headers.set(header::CONTENT_LENGTH, length.into());
    }
    response.body = Body::Empty;
}

/// What a client gets whose message is none: no request came of it.
pub fn refuse(worker: &Worker, policy: &Policy, connection: &Connection, bad: BadMessage) -> Response {
    let interims = Interims::new(false);
    let context = Context::new(worker, policy, connection, None, &interims);
    let mut response = say(&context, &Kind::from(bad).into(), Version::HTTP_11);
    context.answered(&mut response);
    response
}

/// An error as a response, told to the log.
fn say(context: &Context<'_>, error: &Error, version: Version) -> Response {
    let response = respond(error, version, context.id());
    report::answered(context.worker, error, response.status, context.id());
    context.note(|entry| entry.error = Some(error.to_string().into()));
    response
}

/// A request's head as a backend is told it, with nothing in between that a configuration decides; none: it is refused.
#[cfg(any(test, fuzzing))]
pub(crate) fn as_told(request: Request) -> Option<Head> {
    let version = request.version;
    let (mut head, _) = framing::check(request, &Arc::new(Connection::new(0, NOBODY, None))).ok()?;
    headers::believe(&mut head, &Policy::default());
    headers::towards_backend(&mut head.headers, version);
    Some(head)
}

/// An answer as a client is told it, with nothing in between that a configuration decides.
#[cfg(any(test, fuzzing))]
pub(crate) fn as_passed_on(response: &mut Response) {
    headers::towards_client(&mut response.headers, response.version);
}

async fn answer(
    worker: &Rc<Worker>,
    view: &View,
    policy: &Policy,
    connection: &Arc<Connection>,
    request: Request,
    context: &Context<'_>,
    inside: Option<Inside>,
) -> Result<Response, Error> {
    let now = context.began;
    let version = request.version;
    let (mut head, body) = framing::check(request, connection)?;
    let body = upgrade::check(&mut head, body, version, &mut worker.rng())?;
    headers::believe(&mut head, policy);
    context.note(|entry| entry.client = head.client);
    if !policy.belongs(&head) {
        return Err(Kind::Misdirected.into());
    }
    admit(&head, policy)?;
    if let Some(port) = policy.redirect {
        return redirect::to_https(&head, port);
    }
    if policy.request_id {
        head.headers.set(X_REQUEST_ID.clone(), context.id().value());
    }
    let route = view.route(connection.listener, &head.host(), head.target.path()).ok_or(Kind::NotFound)?;
    let balancer = view.balancer(route.pool).ok_or(Kind::NotFound)?;
    let pool = {
        let balancer = balancer.borrow();
        let assignment = balancer.assignment();
        context.goes_to(assignment.pool.clone(), assignment.generation().map(|generation| &**generation))
    };
    let in_pool = |error| Error { pool: Some(pool.name.clone()), ..error };
    if let Some(response) = run_filters(worker, view, route, &mut head, now).map_err(in_pool)? {
        return Ok(response);
    }
    // After the filters, so that none of them brings back what is stripped here.
    headers::towards_backend(&mut head.headers, version);
    let mut answered = forward(worker, balancer, pool, &mut head, body, context).await.map_err(in_pool)?;
    upgrade::towards_client(&mut answered.response, version);
    headers::towards_client(&mut answered.response.headers, answered.response.version);
    Ok(report::watched(worker, pool, answered, inside))
}

/// Refuses what is more than its source may ask for.
fn admit(head: &Head, policy: &Policy) -> Result<(), Error> {
    let Some(sources) = policy.sources.as_ref().filter(|_| head.client != NOBODY.ip()) else { return Ok(()) };
    sources.request(head.client).map_err(|wait_s| Kind::TooManyRequests(wait_s).into())
}

/// Shows the request to the route's filters, in order, until one answers it.
fn run_filters(
    worker: &Worker,
    view: &View,
    route: &RouteEntry,
    head: &mut Head,
    now: Instant,
) -> Result<Option<Response>, Error> {
    for link in &route.filters {
        let Some(filter) = view.filter(link.filter) else { continue };
        let turn =
            Turn { now_us: worker.micros(now), random: worker.rng().bits(), key: None, attempt: 0, explain: false };
        match filter.borrow_mut().on_request(head, turn) {
            Verdict::Next => {}
            Verdict::Respond(response) => return Ok(Some(told(response))),
            Verdict::Unavailable if link.on_fault == OnFault::Continue => {}
            Verdict::Unavailable => return Err(Kind::FilterUnavailable.into()),
        }
    }
    Ok(None)
}

/// A filter's answer.
fn told(response: http::Response<Bytes>) -> Response {
    let (parts, body) = response.into_parts();
    Response { headers: parts.headers.into(), ..Response::new(parts.status, Body::full(body)) }
}
