//! Whole messages on their way through.

use super::{Body, Headers};
use http::{HeaderValue, Method, StatusCode, Uri, Version};

/// A request as a client sent it.
#[derive(Debug)]
pub struct Request {
    /// As the client sent it.
    pub method: Method,
    /// As the client sent it.
    pub uri: Uri,
    /// What it was sent in.
    pub version: Version,
    /// All lines but `transfer-encoding`, and what `connection` says of one connection only.
    pub headers: Headers,
    /// May still be coming.
    pub body: Body,
}

/// A response, from a backend or made here.
#[derive(Debug)]
pub struct Response {
    /// From 200 on; 101 before a tunnel over HTTP/1.1.
    pub status: StatusCode,
    /// What it came in.
    pub version: Version,
    /// All lines but `transfer-encoding`, and what `connection` says of one connection only.
    pub headers: Headers,
    /// May still be coming.
    pub body: Body,
}

impl Response {
    /// Without headers.
    pub fn new(status: StatusCode, body: Body) -> Response {
        Response { status, version: Version::HTTP_11, headers: Headers::default(), body }
    }
}

/// Whether a client that says this with `expect` waits to be asked for its body.
pub fn waits_for_continue<'a>(said: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
    said.into_iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
