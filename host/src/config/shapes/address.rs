//! Addresses: of listeners, backends, networks and the admin API.

use super::parsed;
use crate::config::{
    model::{AdminAddress, Network},
    read::{Reader, Shape, Value},
};
use serde_json::{Value as Json, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a listener listens.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct ListenAddress(pub(in crate::config) SocketAddr);

impl Shape for ListenAddress {
    const EXPECTED: &'static str = r#"IP:port such as "0.0.0.0:443" or "[::]:443""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| match address(text) {
            Some(address) => Ok(ListenAddress(address)),
            None => Err(match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
                Ok(port) => format!("expected IP:port; did you mean \"0.0.0.0:{port}\"?"),
                Err(_) => format!("expected {}", Self::EXPECTED),
            }),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["0.0.0.0:443", "[::]:443"] })
    }
}

/// Where a backend listens, and how that was written.
#[derive(Clone, Debug)]
pub(in crate::config) struct BackendAddress {
    pub(in crate::config) address: SocketAddr,
    pub(in crate::config) written: String,
}

impl Shape for BackendAddress {
    const EXPECTED: &'static str = r#"an address such as "10.0.0.1:8080""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| match address(text) {
            Some(address) if address.port() == 0 => Err("expected a port from 1 to 65535".into()),
            Some(address) => Ok(BackendAddress { address, written: text.into() }),
            None => Err(backend_hint(text)),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["10.0.0.1:8080", "localhost:8080"] })
    }
}

/// What to say of a text that is no backend's address.
fn backend_hint(text: &str) -> String {
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or(rest);
        return format!("expected IP:port without `{scheme}://`, such as \"{rest}\"");
    }
    if text.parse::<IpAddr>().is_ok() || host == "localhost" || text == "localhost" {
        return "expected a port too, such as \"10.0.0.1:8080\"".into();
    }
    let is_name = host.starts_with(|c: char| c.is_ascii_alphabetic())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    match is_name {
        true => "expected IP:port or localhost:port; names of other hosts are not looked up".into(),
        false => "expected IP:port or localhost:port".into(),
    }
}

/// `IP:port`, `[IPv6]:port` or `localhost:port`.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into()),
        None => text.parse().ok(),
    }
}

impl Shape for Network {
    const EXPECTED: &'static str = r#"an address or a network such as "10.0.0.0/8""#;
    const NOUN: &'static str = "network";
    const LIST: &'static str = r#"a list such as ["10.0.0.0/8"]"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let network = |text: &str| {
            let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr = address.parse().ok()?;
            let all = if address.is_ipv4() { 32 } else { 128 };
            Network::new(address, bits.map_or(Some(all), |bits| bits.parse().ok())?)
        };
        parsed(value, reader, |text| network(text).ok_or_else(|| format!("expected {}", Self::EXPECTED)))
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["10.0.0.0/8", "192.0.2.7"] })
    }
}

impl Shape for AdminAddress {
    const EXPECTED: &'static str = "unix:PATH, or a loopback address such as \"127.0.0.1:9000\"";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, AdminAddress::parse)
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["unix:/run/pointsman/admin.sock", "127.0.0.1:9000"] })
    }
}
