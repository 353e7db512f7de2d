//! A request for a plugin to look at.

use crate::host::request::Part;
use std::collections::BTreeMap;

/// Names that no filter may touch: they frame the message or name the connection.
const ILLEGAL: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// A request for a plugin to look at; by default `GET /` to `localhost` from `192.0.2.1`, over TLS.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// `https`.
    pub scheme: String,
    /// `localhost`.
    pub authority: String,
    /// Without the query.
    pub path: Vec<u8>,
    /// Without the question mark.
    pub query: Option<Vec<u8>>,
    /// Names in lower case, repeats kept.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What earlier filters said.
    pub tags: BTreeMap<String, String>,
    /// An IP address.
    pub client_address: String,
    /// The name in the TLS hello.
    pub sni: Option<String>,
    /// The protocol of the TLS handshake.
    pub alpn: Option<String>,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            method: "GET".into(),
            scheme: "https".into(),
            authority: "localhost".into(),
            path: b"/".to_vec(),
            query: None,
            headers: Vec::new(),
            tags: BTreeMap::new(),
            client_address: "192.0.2.1".into(),
            sni: Some("localhost".into()),
            alpn: Some("h2".into()),
        }
    }
}

impl Request {
    /// With this method and target, the query included.
    pub fn new(method: &str, target: &str) -> Request {
        let mut request = Request { method: method.into(), ..Request::default() };
        request.set_target(target.as_bytes());
        request
    }

    /// `GET` with this target.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// With one header more.
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
        self
    }

    /// The first value of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) {
        self.remove_header(name);
        self.append_header(name, value);
    }

    pub(crate) fn append_header(&mut self, name: &str, value: &[u8]) {
        let visible = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        assert!(value.iter().all(visible), "an illegal value for `{name}`; a host stops the plugin here");
        self.headers.push((legal(name), value.to_vec()));
    }

    pub(crate) fn remove_header(&mut self, name: &str) {
        let name = legal(name);
        self.headers.retain(|(known, _)| *known != name);
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        let mut parts = target.splitn(2, |&byte| byte == b'?');
        self.path = parts.next().unwrap_or_default().to_vec();
        self.query = parts.next().map(<[u8]>::to_vec);
    }

    /// The bytes that `hash` hashes.
    pub(crate) fn part(&self, part: Part, name: &str) -> Option<Vec<u8>> {
        match part {
            Part::Header => self.bytes(name).map(<[u8]>::to_vec),
            Part::Cookie => named(self.header("cookie")?, ';', name),
            Part::Query => named(std::str::from_utf8(self.query.as_ref()?).ok()?, '&', name),
            Part::Tag => self.tags.get(name).map(|tag| tag.as_bytes().to_vec()),
            Part::Path => Some(self.path.clone()),
            Part::Authority => Some(self.authority.as_bytes().to_vec()),
            Part::Client => Some(self.client_address.as_bytes().to_vec()),
        }
    }
}

/// The value of the first `name=value` in a list.
fn named(list: &str, separator: char, name: &str) -> Option<Vec<u8>> {
    let mut pairs = list.split(separator).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes().to_vec())
}

fn legal(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let legal = !name.is_empty() && name.bytes().all(token) && !ILLEGAL.contains(&name.as_str());
    assert!(legal, "`{name}` is no header that a filter may touch; a host stops the plugin here");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let request = Request::get("/shop?item=7&user=ann").with_header("Cookie", "a=1; user=bob; user=eve");
        let part = |part, name| request.part(part, name).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(part(Part::Path, "").as_deref(), Some("/shop"));
        assert_eq!(part(Part::Query, "user").as_deref(), Some("ann"));
        assert_eq!(part(Part::Cookie, "user").as_deref(), Some("bob"));
        assert_eq!(part(Part::Tag, "user"), None);
    }

    #[test]
    #[should_panic(expected = "`host` is no header that a filter may touch")]
    fn a_framing_header_is_illegal() {
        Request::default().set_header("Host", b"x");
    }
}
