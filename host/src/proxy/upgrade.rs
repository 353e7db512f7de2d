//! What a client may go on with instead of HTTP: WebSocket, and any protocol that client and backend know and we need not.
//! HTTP itself is none of them, for nobody would look at its requests.

use super::{Error, Kind};
use crate::{
    net::{Body, Head, Response, h1::has_token},
    rng::Rng,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};

static WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// The request's body: as it is if it may be upgraded. A request that may not is an ordinary one on HTTP/1.1, where an
/// upgrade is a wish (RFC 9110 §7.8), and refused on HTTP/2, where it is the method (RFC 8441 §4).
pub(super) fn check(head: &mut Head, body: Body, version: Version, rng: &mut Rng) -> Result<Body, Error> {
    let Body::Upgrade(protocols) = &body else { return Ok(body) };
    if head.method == Method::HEAD
        || protocols.is_empty()
        || protocols.as_bytes().split(|&byte| byte == b',').any(is_http)
    {
        return if version == Version::HTTP_2 { Err(refused("no such protocol")) } else { Ok(Body::Empty) };
    }
    if has_token(protocols, b"websocket") {
        check_websocket(head, version, rng)?;
    }
    Ok(body)
}

/// Before its hop-by-hop headers are taken out: an answer that opens a tunnel is 200 on HTTP/2 (RFC 8441 §5.1).
pub(super) fn towards_client(response: &mut Response, version: Version) {
    if matches!(response.body, Body::Tunnel(_)) && version == Version::HTTP_2 {
        response.status = StatusCode::OK;
        response.headers.remove(&WEBSOCKET_ACCEPT);
    }
}

/// To a CONNECT of HTTP/2, success means that what follows is the other protocol: a backend, or a filter, that answers
/// otherwise has not agreed.
pub(super) fn agreed(response: Response, is_connect: bool) -> Result<Response, Error> {
    let is_tunnel = matches!(response.body, Body::Tunnel(_));
    if is_connect && !is_tunnel && response.status.is_success() { Err(Kind::NotSwitched.into()) } else { Ok(response) }
}

/// A name of HTTP's own, or of what would bring it under cover, with any version.
fn is_http(protocol: &[u8]) -> bool {
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default().trim_ascii();
    [&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|http| name.eq_ignore_ascii_case(http))
}

/// RFC 6455 §4.1. A backend that is content with less would be a tunnel for whoever can have a browser send a request. On
/// HTTP/2 there is no key, and a backend on HTTP/1.1 wants one.
fn check_websocket(head: &mut Head, version: Version, rng: &mut Rng) -> Result<(), Error> {
    if version == Version::HTTP_2 {
        head.headers.set(WEBSOCKET_KEY.clone(), key(rng)?);
    }
    let mut keys = head.headers.all(&WEBSOCKET_KEY);
    let is_well = head.method == Method::GET && keys.next().is_some_and(is_key) && keys.next().is_none();
    if is_well { Ok(()) } else { Err(refused("a WebSocket without its key")) }
}

/// Sixteen bytes in base64.
fn is_key(value: &HeaderValue) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(value.as_bytes().strip_suffix(b"=="), Some(key) if key.len() == 22 && key.iter().all(is_digit))
}

/// Sixteen bytes of chance in base64: 21 digits of six bits, and one of two.
fn key(rng: &mut Rng) -> Result<HeaderValue, Error> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digit = |most: u64| char::from(DIGITS[(rng.bits() & most) as usize]);
    let mut key: String = (0..21).map(|_| digit(0b11_1111)).collect();
    key.push(digit(0b11_0000));
    key.push_str("==");
    HeaderValue::try_from(key).map_err(|_| refused("no key"))
}

fn refused(why: &'static str) -> Error {
    Kind::BadRequest(why).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Connection, Headers};
    use http::uri::PathAndQuery;
    use std::sync::Arc;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn head(method: Method, keys: &[&'static str]) -> Head {
        let peer = "192.0.2.7:5000".parse().unwrap();
        let mut headers = Headers::default();
        keys.iter().for_each(|key| headers.append(WEBSOCKET_KEY.clone(), HeaderValue::from_static(key)));
        Head {
            method,
            target: PathAndQuery::from_static("/"),
            authority: HeaderValue::from_static("shop.example"),
            headers,
            client: std::net::SocketAddr::ip(&peer),
            tags: Vec::new(),
            connection: Arc::new(Connection::new(0, peer, None)),
        }
    }

    /// Whether it may be upgraded; none when it is refused.
    fn checked(mut head: Head, protocols: &'static str, version: Version) -> Option<bool> {
        let body = Body::Upgrade(HeaderValue::from_static(protocols));
        let body = check(&mut head, body, version, &mut Rng::new(1)).ok()?;
        Some(matches!(body, Body::Upgrade(_)))
    }

    #[test]
    fn case_34_http_is_never_gone_on_with() {
        assert_eq!(checked(head(Method::GET, &[]), "", Version::HTTP_2), None, "no name at all");
        for protocols in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.2, HTTP/1.1", "h2"] {
            assert_eq!(checked(head(Method::GET, &[KEY]), protocols, Version::HTTP_11), Some(false), "{protocols}");
            assert_eq!(checked(head(Method::GET, &[]), protocols, Version::HTTP_2), None, "{protocols}");
        }
        assert_eq!(checked(head(Method::POST, &[]), "IRC/6.9, RTA/x11", Version::HTTP_11), Some(true));
        assert_eq!(checked(head(Method::HEAD, &[]), "IRC/6.9", Version::HTTP_11), Some(false));
    }

    #[test]
    fn case_35_a_websocket_has_one_key() {
        for (method, keys, well) in [
            (Method::GET, &[KEY][..], true),
            (Method::POST, &[KEY], false),
            (Method::GET, &[], false),
            (Method::GET, &[KEY, KEY], false),
            (Method::GET, &[""], false),
            (Method::GET, &["dGhlIHNhbXBsZSBub25jZQ="], false),
            (Method::GET, &["dGhlIHNhbXBsZSBub25j ZQ=="], false),
        ] {
            let outcome = checked(head(method.clone(), keys), "WebSocket", Version::HTTP_11);
            assert_eq!(outcome, well.then_some(true), "{method} {keys:?}");
        }
    }

    #[test]
    fn a_websocket_over_http_2_is_given_a_key() {
        let mut head = head(Method::GET, &[]);
        let body = Body::Upgrade(HeaderValue::from_static("websocket"));
        assert!(check(&mut head, body, Version::HTTP_2, &mut Rng::new(1)).is_ok());
        assert!(is_key(head.headers.get(&WEBSOCKET_KEY).unwrap()));
    }
}
