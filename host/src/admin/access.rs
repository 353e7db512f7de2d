//! Who may call: on a unix socket whoever may open it; on TCP only programs of this machine, never a page in a browser,
//! and nothing is changed without the token.

use super::directory;
use crate::{
    config::{model::AdminAddress, token_file},
    problem::{Code, Problem},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The one path that has an address of its own.
const METRICS: &str = "/metrics";

/// What a caller has to show.
#[derive(Debug)]
pub(super) enum Access {
    /// The file system has checked already.
    Socket,
    /// A loopback host, no origin, and this token for changes.
    Loopback { token: String },
    /// Nothing: metrics alone are read, by whoever reaches the address.
    Metrics,
}

impl Access {
    /// For this address; writes a new token where one is needed.
    pub(super) fn new(address: &AdminAddress) -> Result<Access, Problem> {
        let AdminAddress::Tcp(address) = address else { return Ok(Access::Socket) };
        let path = token_file(*address);
        let token = write_token(&path).map_err(|error| {
            Problem::error(Code::ADDRESS_TAKEN, format!("cannot write the admin token {}: {error}", path.display()))
                .note("or use a socket: `address = \"unix:PATH\"` under [admin]")
        })?;
        Ok(Access::Loopback { token })
    }

    /// Whether the call may be made; if not, the status and why.
    pub(super) fn check(
        &self,
        method: &Method,
        target: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), (StatusCode, &'static str)> {
        let token = match self {
            Access::Socket => return Ok(()),
            Access::Metrics if target.path() == METRICS => return Ok(()),
            Access::Metrics => return Err((StatusCode::NOT_FOUND, "only /metrics is here")),
            Access::Loopback { token } => token,
        };
        // A page whose host name was pointed at this machine names itself here; two names are one too many.
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let is_target_foreign = target.authority().is_some_and(|authority| !is_loopback_host(authority.as_str()));
        if hosts.next().is_some() || !host.is_some_and(is_loopback_host) || is_target_foreign {
            return Err((StatusCode::FORBIDDEN, "the admin API answers loopback hosts only"));
        }
        // Not every call of a page names its origin; where it comes from is told all the same.
        let is_of_page = headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
        if headers.contains_key(header::ORIGIN) || is_of_page {
            return Err((StatusCode::FORBIDDEN, "the admin API answers no pages"));
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()?.strip_prefix("Bearer "));
        if method != Method::GET && !bearer.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
            return Err((StatusCode::UNAUTHORIZED, "a changing call needs the token of admin-PORT.token"));
        }
        Ok(())
    }
}

/// `localhost`, an address of 127.0.0.0/8 or `[::1]`, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// A new token in a file that only its user may read.
fn write_token(path: &Path) -> io::Result<String> {
    let mut random = [0_u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    directory::make_for(path)?;
    // Away with an old one: its mode would stay.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(token.as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<header::HeaderName>().unwrap(), value.parse::<header::HeaderValue>().unwrap())
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn on_tcp_only_local_programs_may_call_and_changes_need_the_token() {
        let access = Access::Loopback { token: "secret".into() };
        let check = |method, list: &[_]| {
            access
                .check(&method, &Uri::from_static("/v1/status"), &headers(list))
                .map_err(|(status, _)| status.as_u16())
        };
        let host = ("host", "localhost");
        assert_eq!(check(Method::GET, &[host]), Ok(()));
        assert_eq!(check(Method::GET, &[("host", "127.0.0.1:9000")]), Ok(()));
        assert_eq!(check(Method::GET, &[("host", "[::1]:9000")]), Ok(()));
        assert_eq!(check(Method::GET, &[("host", "evil.example")]), Err(403));
        assert_eq!(check(Method::GET, &[("host", "127.0.0.1.evil.example:9000")]), Err(403));
        assert_eq!(check(Method::GET, &[]), Err(403));
        assert_eq!(check(Method::GET, &[host, ("origin", "http://localhost")]), Err(403));
        assert_eq!(check(Method::GET, &[host, ("sec-fetch-site", "cross-site")]), Err(403));
        assert_eq!(check(Method::GET, &[host, ("sec-fetch-site", "none")]), Ok(()), "typed by hand");
        for (target, status) in
            [("http://evil.example/v1/status", Err(403)), ("http://localhost:9000/v1/status", Ok(()))]
        {
            let checked = access.check(&Method::GET, &Uri::from_static(target), &headers(&[host]));
            assert_eq!(checked.map_err(|(status, _)| status.as_u16()), status, "{target}");
        }
        assert_eq!(check(Method::POST, &[host]), Err(401));
        assert_eq!(check(Method::POST, &[host, ("authorization", "Bearer secreT")]), Err(401));
        assert_eq!(check(Method::POST, &[host, ("authorization", "Bearer secret")]), Ok(()));
    }

    #[test]
    fn where_metrics_are_read_nothing_else_is() {
        let check = |path| {
            let headers = headers(&[("host", "evil.example")]);
            Access::Metrics.check(&Method::GET, &Uri::from_static(path), &headers).is_ok()
        };
        assert!(check("/metrics") && !check("/v1/status") && !check("/"));
    }
}
