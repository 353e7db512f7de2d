//! Heads between our types and those of the `h2` crate.

use crate::{
    net::{
        Body, Headers,
        h1::{BadMessage, FIELDS_MOST, content_length},
    },
    upstream::Outgoing,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header, response};
use http_body::Body as _;

/// How many bytes a request's body has, where that is to be said.
pub(super) fn announced(method: &Method, body: &Body) -> Option<u64> {
    let expects_one = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    body.size_hint().exact().filter(|length| *length > 0 || expects_one)
}

/// A request's head; none when its host cannot be said in HTTP/2.
pub(super) fn request(outgoing: &Outgoing<'_>, scheme: &str, length: Option<u64>) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = outgoing.method.clone();
    *request.version_mut() = Version::HTTP_2;
    let uri = Uri::builder().scheme(scheme).authority(outgoing.authority.as_bytes());
    *request.uri_mut() = uri.path_and_query(outgoing.target.clone()).build().ok()?;
    let headers = request.headers_mut();
    headers.reserve(outgoing.headers.len() + 1);
    for (name, value) in outgoing.headers.iter().filter(|(name, value)| is_sayable(name, value)) {
        headers.append(name, value.clone());
    }
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Some(request)
}

/// What HTTP/2 says otherwise, or has no word for (RFC 9113 §8.2.2), stays here.
fn is_sayable(name: &HeaderName, value: &HeaderValue) -> bool {
    match name.as_str() {
        "host" | "content-length" | "transfer-encoding" => false,
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" => false,
        "te" => value == "trailers",
        _ => true,
    }
}

/// An answer's head.
#[derive(Debug)]
pub(in crate::upstream) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) headers: Headers,
    /// How many bytes its body has, as it says.
    pub(super) length: Option<u64>,
}

pub(super) fn answer(parts: response::Parts) -> Result<AnswerHead, BadMessage> {
    if parts.headers.len() > FIELDS_MOST {
        return Err(BadMessage::TooManyFields);
    }
    let length = length(&parts.headers)?;
    Ok(AnswerHead { status: parts.status, headers: parts.headers.into(), length })
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, BadMessage> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter().map(|line| content_length(line.as_bytes()));
    let Some(first) = lengths.next().transpose()? else { return Ok(None) };
    if lengths.all(|length| length == Ok(first)) { Ok(Some(first)) } else { Err(BadMessage::ContentLength) }
}
