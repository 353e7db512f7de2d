//! What is matched or taken from a request: hosts, paths, hash keys.

use super::{TEXT_MOST, parsed};
use crate::{
    config::{
        model::{HashKey, HostMatch},
        read::{Reader, Shape, Value},
    },
    net::path,
};
use serde_json::{Value as Json, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host, or all hosts below one.
#[derive(Clone, Debug)]
pub(in crate::config) struct HostPattern(pub(in crate::config) HostMatch);

impl Shape for HostPattern {
    const EXPECTED: &'static str = r#"a host such as "shop.example" or "*.shop.example""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let host = text.to_ascii_lowercase();
            let (wild, name) = host.strip_prefix("*.").map_or((false, host.as_str()), |name| (true, name));
            if !wild && is_bare_ip(name) {
                return Ok(HostPattern(HostMatch::Exact(name.into())));
            }
            if host == "*" {
                return Err("leave `host` out to match every host".into());
            }
            if name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                return Err("expected a host without a port".into());
            }
            match is_name(name) {
                true if wild => Ok(HostPattern(HostMatch::Wildcard(format!(".{name}")))),
                true => Ok(HostPattern(HostMatch::Exact(name.into()))),
                false => Err(format!("expected {}", Self::EXPECTED)),
            }
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["shop.example", "*.shop.example"] })
    }
}

/// A name or an address that a certificate can be for.
#[derive(Clone, Debug)]
pub(in crate::config) struct ServerName(pub(in crate::config) String);

impl Shape for ServerName {
    const EXPECTED: &'static str = r#"a host such as "shop.example", or an address"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let fits = text.parse::<IpAddr>().is_ok() || is_name(text);
            fits.then(|| ServerName(text.to_ascii_lowercase())).ok_or_else(|| format!("expected {}", Self::EXPECTED))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["shop.example", "10.0.0.1"] })
    }
}

/// Whether a text is a host's name, such as `shop.example`.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// As it stands in a `Host` header: an IPv6 address has its brackets.
fn is_bare_ip(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.map_or_else(|| text.parse::<Ipv4Addr>().is_ok(), |v6| v6.parse::<Ipv6Addr>().is_ok())
}

/// A path prefix of whole segments, without a slash at its end unless it is the root.
#[derive(Clone, Debug)]
pub(in crate::config) struct PathPrefix(pub(in crate::config) String);

impl Shape for PathPrefix {
    const EXPECTED: &'static str = r#"a path such as "/cart""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            if text.ends_with('*') {
                return Err("expected a path without `*`: it matches all below it anyway".into());
            }
            let is_plain = |c: char| !c.is_control() && !matches!(c, ' ' | '?' | '#' | '*');
            if !text.starts_with('/') || text.len() > TEXT_MOST || !text.chars().all(is_plain) {
                return Err(format!("expected {}", Self::EXPECTED));
            }
            let path = shortest(text);
            // Requests come with their paths in one form: no other is ever matched.
            match path::normalize(path) {
                Ok(normal) if normal == path => Ok(PathPrefix(path.into())),
                Ok(normal) => Err(format!("requests come with this path as {:?}", shortest(&normal))),
                Err(error) => Err(format!("no request comes with this path: {error}")),
            }
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/[^?#*\\s]*$" })
    }
}

/// The path without slashes at its end, but for the root's.
fn shortest(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// The name of a header.
#[derive(Clone, Debug)]
pub(in crate::config) struct HeaderField(pub(in crate::config) String);

impl Shape for HeaderField {
    const EXPECTED: &'static str = r#"the name of a header such as "x-explain""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| match text.len() <= TEXT_MOST && text.parse::<http::HeaderName>().is_ok() {
            true => Ok(HeaderField(text.to_ascii_lowercase())),
            false => Err(format!("expected {}", Self::EXPECTED)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" })
    }
}

/// What a health check asks for.
#[derive(Clone, Debug)]
pub(in crate::config) struct HealthPath(pub(in crate::config) String);

impl Shape for HealthPath {
    const EXPECTED: &'static str = r#"a path such as "/healthz""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            is_path(text, &['#']).then(|| HealthPath(text.into())).ok_or_else(|| format!("expected {}", Self::EXPECTED))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/[^#\\s]*$" })
    }
}

fn is_path(text: &str, without: &[char]) -> bool {
    text.starts_with('/')
        && text.len() <= TEXT_MOST
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.contains(without)
}

impl Shape for HashKey {
    const EXPECTED: &'static str = r#""header:NAME", "cookie:NAME", "query:NAME", "path" or "client""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let (kind, name) = text.split_once(':').unwrap_or((text, ""));
            let is_name = name.parse::<http::HeaderName>().is_ok();
            match kind {
                "header" if is_name => Ok(HashKey::Header(name.to_ascii_lowercase())),
                "cookie" if is_name => Ok(HashKey::Cookie(name.into())),
                "query" if !name.is_empty() && !name.contains(['&', '=', '#']) => Ok(HashKey::Query(name.into())),
                "path" if text == "path" => Ok(HashKey::Path),
                "client" if text == "client" => Ok(HashKey::Client),
                _ => Err(format!("expected {}", Self::EXPECTED)),
            }
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(header:.+|cookie:.+|query:.+|path|client)$" })
    }
}

/// Where requests are sent that come without encryption.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Redirect(pub(in crate::config) u16);

impl Shape for Redirect {
    const EXPECTED: &'static str = r#""https", or "https:8443" with a port"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let port = |text: &str| match text.strip_prefix("https")? {
            "" => Some(443),
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0),
        };
        parsed(value, reader, |text| port(text).map(Redirect).ok_or_else(|| format!("expected {}", Self::EXPECTED)))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^https(:[0-9]+)?$" })
    }
}
