//! A request's head, and how its body is framed.

use crate::{
    net::{Body, h1::write_field},
    upstream::Outgoing,
};
use http::{HeaderName, HeaderValue, Method, header};
use http_body::Body as _;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, and none is expected.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks, for nobody knows how many.
    Chunked,
}

impl Framing {
    pub(super) fn of(method: &Method, body: &Body) -> Framing {
        match body.size_hint().exact() {
            _ if body.is_end_stream() => Framing::without_body(method),
            Some(0) => Framing::without_body(method),
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        }
    }

    /// RFC 9110 §8.6: where the method expects a body, its absence is said.
    fn without_body(method: &Method) -> Framing {
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) { Framing::Length(0) } else { Framing::None }
    }
}

/// Writes a head. `host`, what frames the body and what asks for an upgrade come from here and nowhere else: a copy among the headers, whoever put
/// it there, would let the backend see another end of the request than we do.
pub(super) fn head(out: &mut Vec<u8>, request: &Outgoing<'_>, framing: Framing, upgrade: Option<&HeaderValue>) {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, "host", request.authority.as_bytes());
    for (name, value) in request.headers.iter() {
        if !is_ours(name) {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        Framing::None => {}
        Framing::Length(length) => write_field(out, "content-length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => write_field(out, "transfer-encoding", b"chunked"),
    }
    if let Some(protocols) = upgrade {
        write_field(out, "connection", b"upgrade");
        write_field(out, "upgrade", protocols.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A request as it goes out, with a body that is there: for who looks at it without a connection.
#[cfg(any(test, fuzzing))]
pub(crate) fn written(request: &Outgoing<'_>, body: Body) -> Vec<u8> {
    let (framing, mut outbox) = (Framing::of(request.method, &body), crate::net::h1::Outbox::default());
    head(outbox.text(), request, framing, None);
    // It breaks off for a body alone that is not as long as it said.
    super::upload::Upload::new(body, framing).drain(&mut outbox).unwrap_or_default()
}

/// Written by the codec; and `te` is what only HTTP/2 says of itself to each backend.
fn is_ours(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TE].contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Headers;
    use http::uri::PathAndQuery;

    fn encoded(method: &Method, headers: &[(&str, &str)], body: &Body) -> String {
        let mut map = Headers::default();
        for (name, value) in headers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let target = PathAndQuery::from_static("/a?b=c");
        let authority = HeaderValue::from_static("shop.example:8080");
        let request = Outgoing { method, target: &target, authority: &authority, headers: &map };
        let mut out = Vec::new();
        head(&mut out, &request, Framing::of(method, body), None);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_without_a_body() {
        assert_eq!(
            encoded(&Method::GET, &[("accept", "*/*"), ("x-a", "1"), ("x-a", "2")], &Body::Empty),
            "GET /a?b=c HTTP/1.1\r\nhost: shop.example:8080\r\naccept: */*\r\nx-a: 1\r\nx-a: 2\r\n\r\n"
        );
    }

    #[test]
    fn where_a_body_is_expected_its_absence_is_said() {
        for (method, said) in [
            (Method::GET, false),
            (Method::HEAD, false),
            (Method::DELETE, false),
            (Method::OPTIONS, false),
            (Method::POST, true),
            (Method::PUT, true),
            (Method::PATCH, true),
        ] {
            let head = encoded(&method, &[], &Body::Empty);
            assert_eq!(head.contains("content-length: 0\r\n"), said, "{method}");
        }
    }

    #[test]
    fn framing_and_host_come_from_the_codec_alone() {
        let lies = [
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("host", "elsewhere"),
            ("te", "trailers"),
            ("x-b", "1"),
        ];
        assert_eq!(
            encoded(&Method::POST, &lies, &Body::full("hello")),
            "POST /a?b=c HTTP/1.1\r\nhost: shop.example:8080\r\nx-b: 1\r\ncontent-length: 5\r\n\r\n"
        );
    }
}
