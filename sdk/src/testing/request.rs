//! A request for a plugin to look at.

use crate::host::{edits::FORBIDDEN_HEADERS, request::Part};
use std::collections::BTreeMap;

/// How many tags a request may have.
const TAGS_MAX: usize = 64;
/// How long a tag may be, in bytes, name and value each.
const TAG_MAX: usize = 4 << 10;

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
    /// SHA-256 of the certificate that the client showed.
    pub peer_certificate_sha256: Option<Vec<u8>>,
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
            peer_certificate_sha256: None,
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
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &[u8]) {
        self.remove_header(name);
        self.append_header(name, value);
    }

    pub(crate) fn append_header(&mut self, name: &str, value: &[u8]) {
        self.headers.push(legal_header(name, value));
    }

    pub(crate) fn remove_header(&mut self, name: &str) {
        let name = legal_name(name);
        self.headers.retain(|(known, _)| *known != name);
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        let mut parts = target.splitn(2, |&byte| byte == b'?');
        self.path = parts.next().unwrap_or_default().to_vec();
        self.query = parts.next().map(<[u8]>::to_vec);
    }

    pub(crate) fn set_tag(&mut self, name: &str, value: &str) {
        assert!(
            name.len().max(value.len()) <= TAG_MAX,
            "a tag has at most {TAG_MAX} bytes; a host stops the plugin here"
        );
        self.tags.insert(name.to_owned(), value.to_owned());
        assert!(self.tags.len() <= TAGS_MAX, "a request has at most {TAGS_MAX} tags; a host stops the plugin here");
    }

    /// The bytes that `hash` hashes.
    pub(crate) fn part(&self, part: Part, name: &str) -> Option<Vec<u8>> {
        match part {
            Part::Header => self.bytes(name).map(<[u8]>::to_vec),
            Part::Cookie => self.cookie(name).map(<[u8]>::to_vec),
            Part::Query => self.query_parameter(name).map(<[u8]>::to_vec),
            Part::Tag => self.tags.get(name).map(|tag| tag.as_bytes().to_vec()),
            Part::Path => Some(self.path.clone()),
            Part::Authority => Some(self.authority.as_bytes().to_vec()),
            Part::Client => Some(self.client_address.as_bytes().to_vec()),
        }
    }

    /// The first of a name, in any of the `cookie` headers.
    fn cookie(&self, name: &str) -> Option<&[u8]> {
        let lines = self.headers.iter().filter(|(known, _)| known == "cookie");
        let mut cookies = lines.flat_map(|(_, line)| line.split(|&byte| byte == b';'));
        cookies.find_map(|cookie| cookie.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    /// The first of a name, as it stands; empty when it has no `=`.
    fn query_parameter(&self, name: &str) -> Option<&[u8]> {
        let mut parameters = self.query.as_ref()?.split(|&byte| byte == b'&');
        parameters.find_map(|parameter| match parameter.strip_prefix(name.as_bytes())? {
            [] => Some(&[][..]),
            rest => rest.strip_prefix(b"="),
        })
    }
}

/// Name and value as a filter may set them, the name in lower case.
pub(super) fn legal_header(name: &str, value: &[u8]) -> (String, Vec<u8>) {
    let visible = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    assert!(value.iter().all(visible), "an illegal value for `{name}`; a host stops the plugin here");
    (legal_name(name), value.to_vec())
}

fn legal_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let legal = !name.is_empty() && name.bytes().all(token) && !FORBIDDEN_HEADERS.contains(&name.as_str());
    assert!(legal, "`{name}` is no header that a filter may touch; a host stops the plugin here");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let request = Request::get("/shop?flags&item=7&user=ann&flag").with_header("Cookie", "a=1; users=no");
        let request = request.with_header("cookie", "user=bob; user=eve");
        let part = |part, name| request.part(part, name).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(part(Part::Path, "").as_deref(), Some("/shop"));
        assert_eq!(part(Part::Query, "user").as_deref(), Some("ann"));
        assert_eq!(part(Part::Query, "flag").as_deref(), Some(""));
        assert_eq!(part(Part::Cookie, "user").as_deref(), Some("bob"));
        assert_eq!(part(Part::Header, "COOKIE").as_deref(), Some("a=1; users=no"));
        assert_eq!(part(Part::Tag, "user"), None);
    }

    #[test]
    #[should_panic(expected = "`host` is no header that a filter may touch")]
    fn a_framing_header_is_illegal() {
        Request::default().set_header("Host", b"x");
    }
}
