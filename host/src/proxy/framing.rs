//! What a request asks for, beyond doubt: a message that two readers could read in two ways is refused, and what is let
//! through has one form. What no codec lets through (bad lengths and codings, control bytes, broken chunks) does not come this
//! far.

use super::{Error, Kind};
use crate::net::{Body, Connection, Head, Headers, Request, path};
use http::{
    HeaderValue, Method, Version, header,
    uri::{self, Authority, PathAndQuery, Scheme},
};
use std::{borrow::Cow, sync::Arc};

/// Bytes of a host with its port: the longest name DNS allows, and a port.
const AUTHORITY_BYTES_MAX: usize = 253 + 6;

/// Takes a request apart into its head and body, or says why it is refused. The client is the peer, for now.
pub(super) fn check(request: Request, connection: &Arc<Connection>) -> Result<(Head, Body), Error> {
    let Request { method, uri, version, mut headers, body } = request;
    let method = match method {
        // To a protocol instead of to a host (RFC 8441 §4): on HTTP/1.1 it would be an upgrade of GET.
        Method::CONNECT if version == Version::HTTP_2 && matches!(body, Body::Upgrade(_)) => Method::GET,
        Method::CONNECT => return Err(Kind::MethodNotAllowed.into()),
        method => method,
    };
    let uri = uri.into_parts();
    check_form(&uri)?;
    let authority = take_authority(uri.authority, &mut headers, version)?;
    let target = normalize(uri.path_and_query, &method)?;
    let client = connection.peer.ip().to_canonical();
    Ok((Head { method, target, authority, headers, client, tags: Vec::new(), connection: connection.clone() }, body))
}

/// Origin form, asterisk form, or absolute form of our own schemes.
fn check_form(uri: &uri::Parts) -> Result<(), Error> {
    match (&uri.scheme, &uri.authority) {
        (None, None) => Ok(()),
        // `GET shop.example`: the form of CONNECT.
        (None, Some(_)) => Err(refused("the target does not begin with a slash")),
        (Some(scheme), _) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => Ok(()),
        (Some(_), _) => Err(refused("the target's scheme is not http or https")),
    }
}

/// The target's own authority beats `host`, which leaves the headers.
fn take_authority(target: Option<Authority>, headers: &mut Headers, version: Version) -> Result<HeaderValue, Error> {
    let host = headers.get(&header::HOST).cloned();
    if headers.all(&header::HOST).nth(1).is_some() {
        return Err(refused("more than one host"));
    }
    if host.is_none() && version == Version::HTTP_11 {
        return Err(refused("no host"));
    }
    headers.remove(&header::HOST);
    if host.as_ref().is_some_and(|host| !is_authority(host.as_bytes())) {
        return Err(refused("malformed host"));
    }
    match (target, host) {
        (Some(target), host) => {
            let differs = host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()));
            if differs && version == Version::HTTP_2 {
                return Err(refused(":authority and host differ"));
            }
            let target = HeaderValue::from_str(target.as_str()).ok().filter(|target| is_authority(target.as_bytes()));
            target.ok_or_else(|| refused("malformed authority"))
        }
        (None, Some(host)) => Ok(host),
        (None, None) if version == Version::HTTP_2 => Err(refused("no :authority")),
        // HTTP/1.0 need not name one, and an empty host is how to say so to the backend.
        (None, None) => Ok(HeaderValue::from_static("")),
    }
}

/// By byte: whether it may stand in a host name or an IPv4 address.
static IN_HOSTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// A host name, an IPv4 address or an IPv6 address in brackets, and maybe a port. Nothing is allowed that a backend might
/// read as something else: no user, no list, no percent-encoding. Empty is an answer too.
fn is_authority(text: &[u8]) -> bool {
    let number = |text: &[u8]| text.iter().fold(0, |number: u32, digit| number * 10 + u32::from(digit - b'0'));
    let is_port =
        |text: &[u8]| text.len() <= 5 && text.iter().all(u8::is_ascii_digit) && number(text) <= u32::from(u16::MAX);
    let (host_is_fine, rest) = match text.iter().position(|&byte| byte == b']') {
        Some(end) => {
            let inside = text[..end].strip_prefix(b"[").unwrap_or_default();
            let fine = !inside.is_empty() && inside.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            (fine, &text[end + 1..])
        }
        None => {
            let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
            let fine = text[..end].iter().all(|&b| IN_HOSTS[usize::from(b)]);
            (fine, &text[end..])
        }
    };
    let port_is_fine = rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port);
    host_is_fine && port_is_fine && text.len() <= AUTHORITY_BYTES_MAX
}

/// The target with its path in its one form; untouched, and not copied, when it is in that form already.
fn normalize(target: Option<PathAndQuery>, method: &Method) -> Result<PathAndQuery, Error> {
    let target = target.unwrap_or(PathAndQuery::from_static("/"));
    if target == "*" {
        let is_options = *method == Method::OPTIONS;
        return if is_options { Ok(target) } else { Err(refused("* is a target for OPTIONS only")) };
    }
    // Not `path()`: that tells a slash where an absolute form has none.
    let path = target.as_str().split('?').next().unwrap_or_default();
    match path::normalize(path).map_err(|error| refused(error.as_str()))? {
        Cow::Borrowed(_) => Ok(target),
        Cow::Owned(mut path) => {
            if let Some(query) = target.query() {
                path.push('?');
                path.push_str(query);
            }
            PathAndQuery::try_from(path).map_err(|_| refused("the target is too long"))
        }
    }
}

fn refused(why: &'static str) -> Error {
    Kind::BadRequest(why).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TlsFacts;
    use http::HeaderName;

    fn connection() -> Arc<Connection> {
        let tls = TlsFacts::default();
        Arc::new(Connection::new(0, "192.0.2.7:5000".parse().unwrap(), Some(tls)))
    }

    fn outcome(version: Version, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Head, String> {
        let line = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let headers = headers.iter().map(line).collect();
        let (method, uri) = (method.parse().unwrap(), target.parse().unwrap());
        match check(Request { method, uri, version, headers, body: Body::Empty }, &connection()) {
            Ok((head, _)) => Ok(head),
            Err(error) => Err(error.to_string()),
        }
    }

    fn get(target: &str, headers: &[(&str, &str)]) -> Result<Head, String> {
        outcome(Version::HTTP_11, "GET", target, headers)
    }

    #[test]
    fn case_21_one_host() {
        assert!(get("/", &[]).is_err());
        assert!(get("/", &[("host", "a"), ("host", "b")]).is_err());
        assert!(get("/", &[("host", "a"), ("host", "a")]).is_err());
        assert_eq!(outcome(Version::HTTP_10, "GET", "/", &[]).unwrap().authority, "");
        assert!(outcome(Version::HTTP_2, "GET", "/", &[]).is_err());
    }

    #[test]
    fn case_22_a_host_is_a_name_or_an_address_and_maybe_a_port() {
        for host in [
            "a",
            "Shop.example",
            "shop.example.",
            "a_b-c.example:8443",
            "192.0.2.1:80",
            "[2001:db8::1]:80",
            "[::1]",
            "a:",
            "a:65535",
        ] {
            assert_eq!(get("/", &[("host", host)]).unwrap().authority, host);
        }
        let long = "a".repeat(AUTHORITY_BYTES_MAX + 1);
        for host in [
            "a b", "a@b", "a/b", "a,b", "a\\b", "a%41", "a?b", "a#b", "a:b", "a:123456", "a:65536", "a:1:2", "[]",
            "[::1", "::1", "]", "[a]b", &long,
        ] {
            assert!(get("/", &[("host", host)]).is_err(), "{host}");
        }
    }

    #[test]
    fn case_23_the_absolute_form_beats_the_host() {
        let head = get("http://good.example/own?q", &[("host", "evil.example")]).unwrap();
        assert_eq!((head.authority.as_bytes(), head.target.as_str()), (&b"good.example"[..], "/own?q"));
        assert_eq!(get("http://good.example?q", &[("host", "a")]).unwrap().target, "/?q");
        assert!(get("http://u:p@good.example/", &[("host", "good.example")]).is_err());
        assert!(get("ftp://good.example/", &[("host", "good.example")]).is_err());
        assert!(get("http://good.example/", &[]).is_err(), "even here HTTP/1.1 wants a host");
    }

    #[test]
    fn case_24_a_target_begins_with_a_slash() {
        assert!(get("own", &[("host", "a")]).is_err());
        assert!(get("*", &[("host", "a")]).is_err());
        assert_eq!(outcome(Version::HTTP_11, "OPTIONS", "*", &[("host", "a")]).unwrap().target, "*");
        let connect = outcome(Version::HTTP_11, "CONNECT", "a:443", &[("host", "a:443")]);
        assert_eq!(connect.unwrap_err(), "method not allowed");
    }

    #[test]
    fn case_46_authority_and_host_agree() {
        let h2 = |host| outcome(Version::HTTP_2, "GET", "https://a.example/", &[("host", host)]);
        assert!(h2("b.example").is_err());
        assert_eq!(h2("A.example").unwrap().authority, "a.example");
        assert_eq!(outcome(Version::HTTP_2, "GET", "/", &[("host", "a")]).unwrap().authority, "a");
    }

    #[test]
    fn case_70_one_and_the_same_path() {
        for target in ["/a/../admin?x=/../y", "//admin?x=/../y", "/%61dmin?x=/../y", "/admin?x=/../y"] {
            assert_eq!(get(target, &[("host", "a")]).unwrap().target, "/admin?x=/../y", "{target}");
        }
        for target in ["/..", "/%2e%2e/admin", "/a%00", "/%"] {
            assert!(get(target, &[("host", "a")]).is_err(), "{target}");
        }
    }

    #[test]
    fn the_head_has_no_host_and_knows_the_peer() {
        let head = get("/", &[("host", "a"), ("x", "y")]).unwrap();
        assert_eq!(head.headers.len(), 1);
        assert_eq!(head.client, connection().peer.ip());
    }
}
