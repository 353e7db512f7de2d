//! Our own errors as gRPC clients read them: 200 with a `grpc-status`, in a head that is the whole answer. Which status
//! stands for which of HTTP's is gRPC's own table (its `http-grpc-status-mapping`).

use crate::net::{Body, Headers, Request, Response};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use std::fmt::Write;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a message is of a kind that says little for long by its nature: of gRPC, or of a stream of Connect.
pub(super) fn is_sparse(headers: &Headers) -> bool {
    let is_connect = |kind: &HeaderValue| has_prefix(kind.as_bytes(), b"application/connect+");
    is_grpc(headers) || headers.get(&header::CONTENT_TYPE).is_some_and(is_connect)
}

/// Whether the client reads gRPC, which travels in HTTP/2 only.
pub(super) fn reads_grpc(request: &Request) -> bool {
    request.version == Version::HTTP_2 && is_grpc(&request.headers)
}

/// Whether a message says that it is one of gRPC's.
fn is_grpc(headers: &Headers) -> bool {
    headers.get(&header::CONTENT_TYPE).is_some_and(|kind| is_grpc_type(kind.as_bytes()))
}

/// `application/grpc`, alone or with what it carries: `application/grpc+proto`.
fn is_grpc_type(kind: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    has_prefix(kind, TYPE) && matches!(kind.get(TYPE.len()), None | Some(b'+' | b';' | b' '))
}

fn has_prefix(kind: &[u8], prefix: &[u8]) -> bool {
    kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The error in gRPC's words; its text becomes the message.
pub(super) fn told(response: &mut Response) {
    let status = status(response.status);
    let text = match std::mem::take(&mut response.body) {
        Body::Full(Some(text)) => text,
        _ => Default::default(),
    };
    response.status = StatusCode::OK;
    response.headers.set(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers.set(GRPC_STATUS.clone(), HeaderValue::from_static(status));
    if let Ok(message) = HeaderValue::from_str(&encoded(text.trim_ascii_end())) {
        response.headers.set(GRPC_MESSAGE.clone(), message);
    }
}

fn status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "13",                   // INTERNAL
        401 => "16",                   // UNAUTHENTICATED
        403 => "7",                    // PERMISSION_DENIED
        404 => "12",                   // UNIMPLEMENTED
        429 | 502 | 503 | 504 => "14", // UNAVAILABLE
        _ => "2",                      // UNKNOWN
    }
}

/// Percent-encoded as gRPC has it: all but printable ASCII.
fn encoded(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => _ = write!(encoded, "%{byte:02X}"), // writing to a String cannot fail
            _ => encoded.push(byte.into()),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_is_grpc() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc_type(kind.as_bytes()), is, "{kind}");
        }
    }

    #[test]
    fn an_error_is_a_head_with_a_status_and_a_message() {
        let mut response = Response::new(StatusCode::SERVICE_UNAVAILABLE, Body::full("no backend: 100 %\nrequest 7\n"));
        response.headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        told(&mut response);
        let lines: Vec<_> =
            response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(
            lines,
            ["content-type: application/grpc", "grpc-status: 14", "grpc-message: no backend: 100 %25%0Arequest 7"]
        );
        assert_eq!((response.status, http_body::Body::is_end_stream(&response.body)), (StatusCode::OK, true));
    }
}
