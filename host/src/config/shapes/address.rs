//! Addresses: of listeners, backends, networks and the admin API.

use super::{name, parsed};
use crate::{
    config::{
        model::{AdminAddress, Lookup, Network},
        place::SOCKET_PATH_MOST,
        read::{Reader, Shape, Value},
    },
    net::Address,
};
use serde_json::{Value as Json, json};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// Where a listener listens.
#[derive(Clone, Debug)]
pub(in crate::config) struct ListenAddress(pub(in crate::config) Address);

impl Shape for ListenAddress {
    const EXPECTED: &'static str = r#"IP:port such as "0.0.0.0:443" or "[::]:443", or unix:PATH"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| match address(text) {
            _ if text.starts_with(UNIX) => unix(text).map(ListenAddress),
            Some(address) => Ok(ListenAddress(address.into())),
            None => Err(match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
                Ok(port) => format!("expected IP:port; did you mean \"0.0.0.0:{port}\"?"),
                Err(_) => format!("expected {}", Self::EXPECTED),
            }),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["0.0.0.0:443", "[::]:443", "unix:/run/shop.sock"] })
    }
}

impl Shape for SocketAddr {
    const EXPECTED: &'static str = r#"IP:port such as "0.0.0.0:9464""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| address(text).ok_or_else(|| format!("expected {}", Self::EXPECTED)))
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["0.0.0.0:9464", "127.0.0.1:9464"] })
    }
}

/// Where a backend listens, and how that was written.
#[derive(Clone, Debug)]
pub(in crate::config) struct BackendAddress {
    pub(in crate::config) place: Place,
    pub(in crate::config) host: String,
    pub(in crate::config) written: String,
}

/// An address, or what is looked up for some.
#[derive(Clone, Debug)]
pub(in crate::config) enum Place {
    Address(Address),
    Lookup(Lookup),
}

impl Shape for BackendAddress {
    const EXPECTED: &'static str = r#"an address such as "10.0.0.1:8080" or "app.example:8080""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| match address(text) {
            _ if text.starts_with(UNIX) => unix(text).map(|address| BackendAddress::new(address, text)),
            _ if text.starts_with(name::SERVICE) => name::service(text).map(|lookup| BackendAddress::by(lookup, text)),
            Some(address) if address.port() == 0 => Err("expected a port from 1 to 65535".into()),
            Some(address) => Ok(BackendAddress::new(address.into(), text)),
            None => name::host(text).map(|lookup| BackendAddress::by(lookup, text)).ok_or_else(|| backend_hint(text)),
        })
    }

    fn schema() -> Json {
        let by_name = ["app.example:8080", "srv:_http._tcp.app.example"];
        json!({ "type": "string", "examples": ["10.0.0.1:8080", "localhost:8080", by_name[0], by_name[1], "unix:/run/app.sock"] })
    }
}

impl BackendAddress {
    fn new(address: Address, written: &str) -> BackendAddress {
        let host = if written.starts_with("localhost:") { "localhost".into() } else { address.host() };
        BackendAddress { place: Place::Address(address), host, written: written.into() }
    }

    fn by(lookup: Lookup, written: &str) -> BackendAddress {
        BackendAddress { host: name::vouched_for(&lookup), place: Place::Lookup(lookup), written: written.into() }
    }
}

/// What a socket file is written with.
const UNIX: &str = "unix:";

/// `unix:PATH`, or what is expected.
fn unix(text: &str) -> Result<Address, String> {
    let path = text.strip_prefix(UNIX).unwrap_or_default();
    let fits = (1..=SOCKET_PATH_MOST).contains(&path.len()) && !path.contains('\0');
    let wrong = || format!("expected unix:PATH with a path of 1 to {SOCKET_PATH_MOST} bytes");
    fits.then(|| Path::new(path).into()).ok_or_else(wrong)
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
    match name::is_host(text) {
        true => "expected a port too, such as \"app.example:8080\"".into(),
        false => "expected IP:port, NAME:port or srv:NAME".into(),
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
    const EXPECTED: &'static str = r#"an address, a network such as "10.0.0.0/8", or "unix""#;
    const NOUN: &'static str = "network";
    const LIST: &'static str = r#"a list such as ["10.0.0.0/8"]"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let network = |text: &str| {
            if text == "unix" {
                return Some(Network::UNIX);
            }
            let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr = address.parse().ok()?;
            let all = if address.is_ipv4() { 32 } else { 128 };
            Network::new(address, bits.map_or(Some(all), |bits| bits.parse().ok())?)
        };
        parsed(value, reader, |text| network(text).ok_or_else(|| format!("expected {}", Self::EXPECTED)))
    }

    fn schema() -> Json {
        json!({ "type": "string", "examples": ["10.0.0.0/8", "192.0.2.7", "unix"] })
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
