//! Requests that came unencrypted are sent to HTTPS: the same host, the same target, the same method.

use super::{Error, Kind};
use crate::net::{Body, Head, Response};
use http::{HeaderValue, StatusCode, header};

/// The port that `https` means.
const HTTPS: u16 = 443;

/// 308 to this port of HTTPS.
pub(super) fn to_https(head: &Head, port: u16) -> Result<Response, Error> {
    let host = head.host();
    if host.is_empty() {
        return Err(Kind::BadRequest("no host to be redirected to").into());
    }
    // `OPTIONS *` asks of the server as a whole.
    let target = if head.target == "*" { "/" } else { head.target.as_str() };
    let location = match port {
        HTTPS => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    let location = HeaderValue::try_from(location).map_err(|_| Kind::BadRequest("no such target"))?;
    let mut response = Response::new(StatusCode::PERMANENT_REDIRECT, Body::Empty);
    response.headers.append(header::LOCATION, location);
    Ok(response)
}
