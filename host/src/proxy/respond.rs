//! The one place where an error becomes a response: status, a short text with a request id, and whether the connection
//! may go on.

use super::{Error, Kind, request_id::RequestId};
use crate::{
    net::{Body, Response, Side},
    problem::Code,
    upstream::{self, ErrorKind, Retry},
};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};

/// The header that names the page of the manual.
const ERROR_HEADER: HeaderName = HeaderName::from_static("pointsman-error");
/// When to come back, in seconds: health checks look every second.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What the client gets.
pub(super) fn respond(error: &Error, version: Version, id: &RequestId) -> Response {
    let status = status(&error.kind);
    let mut response = Response::new(status, Body::full(format!("{}\nrequest {id}\n", text(error, status))));
    let headers = &mut response.headers;
    headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(wait) = retry_after(&error.kind, status) {
        headers.append(header::RETRY_AFTER, wait);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.append(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    if let Some(code) = code(&error.kind)
        && let Ok(value) = HeaderValue::from_str(&code.to_string())
    {
        headers.append(ERROR_HEADER, value);
    }
    // Who cannot be understood is not listened to any further: what follows may be the smuggled half of this request.
    // HTTP/2 keeps its streams apart by itself, and has no such header.
    if error.is_doubtful() && version < Version::HTTP_2 {
        headers.append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// When the client may come back; none: nobody knows.
fn retry_after(kind: &Kind, status: StatusCode) -> Option<HeaderValue> {
    let said = match kind {
        Kind::TooManyRequests(wait_s) => Some((*wait_s).into()),
        Kind::Rejected(_, told) => told.as_ref().and_then(|told| told.retry_after_s).map(HeaderValue::from),
        _ => None,
    };
    said.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER))
}

fn status(kind: &Kind) -> StatusCode {
    match kind {
        Kind::BadRequest(_) | Kind::Malformed(_) => StatusCode::BAD_REQUEST,
        Kind::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Kind::TargetTooLong => StatusCode::URI_TOO_LONG,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Kind::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
        Kind::Rejected(status, _) => StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        Kind::FilterUnavailable | Kind::NobodyReady | Kind::Overloaded | Kind::QueueFull | Kind::WaitedInVain => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::Upstream(error) if matches!(error.kind, ErrorKind::RequestTimeout(_)) => StatusCode::REQUEST_TIMEOUT,
        Kind::Upstream(error) if error.side() == Side::Downstream => StatusCode::BAD_REQUEST,
        Kind::Upstream(error) if error.is_disagreement() => StatusCode::BAD_GATEWAY,
        // Nothing was sent to anybody: come back when one of them listens again.
        Kind::Upstream(error) if error.retry() == Retry::Unsent || error.is_ours() => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Upstream(error) if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
        Kind::Upstream(_) | Kind::NotSwitched => StatusCode::BAD_GATEWAY,
    }
}

fn text(error: &Error, status: StatusCode) -> String {
    match &error.kind {
        // What happened between us and a backend is for the log: its texts name addresses.
        Kind::Upstream(error) if matches!(error.kind, ErrorKind::NoUpgrade) => error.to_string(),
        Kind::Upstream(error) if error.is_ours() => "no connection to a backend can be made now".into(),
        Kind::Upstream(error) if is_full(error) => "no room at a backend".into(),
        Kind::Upstream(_) if status == StatusCode::SERVICE_UNAVAILABLE => "no backend available".into(),
        Kind::Upstream(error) if error.side() == Side::Upstream => {
            if error.is_timeout() { "no answer from the backend in time" } else { "no usable answer from the backend" }
                .into()
        }
        kind => kind.to_string(),
    }
}

/// Whether backends are there, and our limits left no room at them.
fn is_full(error: &upstream::Error) -> bool {
    matches!(error.kind, ErrorKind::NoPlace(_) | ErrorKind::NoConnection(_) | ErrorKind::TooManyWait)
}

fn code(kind: &Kind) -> Option<Code> {
    match kind {
        Kind::NobodyReady => Some(Code::NO_BACKEND),
        Kind::QueueFull | Kind::WaitedInVain => Some(Code::NO_ROOM),
        Kind::Upstream(error) if is_full(error) => Some(Code::NO_ROOM),
        Kind::Overloaded => Some(Code::OVERLOADED),
        Kind::Upstream(error) if error.retry() == Retry::Unsent && !error.is_disagreement() => Some(Code::NO_BACKEND),
        _ => None,
    }
}
