//! Names that are looked up, and who is asked for them.

use super::parsed;
use crate::config::{
    model::{Lookup, Resolver},
    read::{Reader, Shape, Value},
};
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};

/// What a service's name is written with.
pub(super) const SERVICE: &str = "srv:";
/// Bytes of a name that can be asked for, and of one of its labels.
const NAME_MOST: usize = 253;
const LABEL_MOST: usize = 63;
/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// `srv:_http._tcp.app.example`, or what is expected.
pub(super) fn service(text: &str) -> Result<Lookup, String> {
    let name = text.strip_prefix(SERVICE).filter(|name| is_name(name));
    let expected = || "expected srv: and a service's name, such as \"srv:_http._tcp.app.example\"".into();
    name.map(|name| Lookup::Service(name.to_ascii_lowercase())).ok_or_else(expected)
}

/// `app.example:8080`.
pub(super) fn host(text: &str) -> Option<Lookup> {
    let (name, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    is_host(name).then(|| Lookup::Host { name: name.to_ascii_lowercase(), port })
}

/// An address that is none is no name either: the last label of a name is no number.
pub(super) fn is_host(text: &str) -> bool {
    let last = whole(text).rsplit('.').next().unwrap_or_default();
    is_name(text) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Whom certificates must be for: what is configured, never what a name server says. Of a service that is its domain.
pub(super) fn vouched_for(lookup: &Lookup) -> String {
    let mut name = whole(lookup.name());
    while let Some((_, domain)) = name.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        name = domain;
    }
    name.to_owned()
}

/// Labels of letters, digits, `-` and `_`.
fn is_name(text: &str) -> bool {
    let may_be = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| (1..=LABEL_MOST).contains(&label.len()) && label.bytes().all(may_be);
    text.len() <= NAME_MOST && whole(text).split('.').all(is_label)
}

/// Without the dot that says that a name is whole.
fn whole(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Shape for Resolver {
    const EXPECTED: &'static str = r#""system", or a name server such as "10.0.0.2" or "127.0.0.1:5353""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let server = |text: &str| {
            let address = text.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, DNS_PORT))).or_else(|_| text.parse());
            address.ok().filter(|address| address.port() != 0).map(Resolver::Server)
        };
        parsed(value, reader, |text| match text {
            "system" => Ok(Resolver::System),
            text => server(text).ok_or_else(|| format!("expected {}", Self::EXPECTED)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["system", "10.0.0.2", "127.0.0.1:5353"] })
    }
}
