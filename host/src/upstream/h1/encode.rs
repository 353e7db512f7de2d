//! A request's head, and how its body is framed.

use super::{Outgoing, trailers};
use crate::net::Body;
use http::{HeaderMap, Method, header};
use http_body::Body as _;
use std::io::Write;

/// What stands behind a chunk's data.
pub(super) const CHUNK_END: &[u8] = b"\r\n";
/// What stands behind the last data of a body without trailers.
pub(super) const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

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

/// Writes a head. `host` and what frames the body come from here and nowhere else: a copy among the headers, whoever put
/// it there, would let the backend see another end of the request than we do.
pub(super) fn head(out: &mut Vec<u8>, request: &Outgoing<'_>, framing: Framing) {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, b"host", request.authority.as_bytes());
    for (name, value) in request.headers {
        if *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    match framing {
        Framing::None => {}
        Framing::Length(length) => field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk.
pub(super) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{size:x}\r\n");
}

/// Writes the last chunk, and the trailers that may stand behind it.
pub(super) fn last_chunk(out: &mut Vec<u8>, fields: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in fields {
        if trailers::is_legal(name) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, uri::PathAndQuery};

    fn encoded(method: &Method, headers: &[(&str, &str)], body: &Body) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let target = PathAndQuery::from_static("/a?b=c");
        let authority = HeaderValue::from_static("shop.example:8080");
        let request = Outgoing { method, target: &target, authority: &authority, headers: &map };
        let mut out = Vec::new();
        head(&mut out, &request, Framing::of(method, body));
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
        let lies = [("content-length", "3"), ("transfer-encoding", "chunked"), ("host", "elsewhere"), ("x-b", "1")];
        assert_eq!(
            encoded(&Method::POST, &lies, &Body::full("hello")),
            "POST /a?b=c HTTP/1.1\r\nhost: shop.example:8080\r\nx-b: 1\r\ncontent-length: 5\r\n\r\n"
        );
    }

    #[test]
    fn only_legal_trailers_follow_the_last_chunk() {
        let mut fields = HeaderMap::new();
        fields.insert("x-checksum", HeaderValue::from_static("abc"));
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        fields.insert(header::HOST, HeaderValue::from_static("elsewhere"));
        let mut out = Vec::new();
        last_chunk(&mut out, &fields);
        assert_eq!(out, b"0\r\nx-checksum: abc\r\n\r\n");
    }
}
