//! A request's head as routes, filters, balancers and the backend see it: after the path was normalised, once.

use super::{Headers, NOBODY, proxy_protocol::Ends};
use bytes::Bytes;
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use xxhash_rust::xxh64::xxh64;

/// One request without its body. It is moved into a plugin's store for a call and taken back after it, so it is `Send`
/// and cheap to move.
#[derive(Clone, Debug)]
pub struct Head {
    /// As the client sent it.
    pub method: Method,
    /// Normalised.
    pub target: PathAndQuery,
    /// Host and, if given, port.
    pub authority: HeaderValue,
    /// Without pseudo headers; `host` is left out, it is `authority`.
    pub headers: Headers,
    /// As trusted proxies tell it; the peer when there is none.
    pub client: IpAddr,
    /// What filters said about this request.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// The connection it came on.
    pub connection: Arc<Connection>,
}

/// What holds for all requests of one downstream connection.
#[derive(Debug)]
pub struct Connection {
    /// The number that routes know the listener by.
    pub listener: usize,
    /// The other end of the socket; [`NOBODY`] where it has no address.
    pub peer: SocketAddr,
    /// The peer's address, as headers tell it; `unknown` where it has none.
    pub peer_line: HeaderValue,
    /// Where the client connected to; [`NOBODY`] where that has no address.
    pub local: SocketAddr,
    /// Whether a head of the PROXY protocol named these two.
    pub is_named: bool,
    /// None: plain HTTP.
    pub tls: Option<TlsFacts>,
}

/// What the TLS handshake told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The name in the client's hello, in lower case.
    pub sni: Option<Box<str>>,
    /// The protocol agreed on.
    pub alpn: Option<Box<str>>,
    /// Whether it took up an earlier session.
    pub resumed: bool,
    /// What the client was asked to show; none: nothing.
    pub asked: Option<Arc<Asked>>,
    /// The certificate that the client showed; it was verified.
    pub client: Option<Box<ClientCertificate>>,
}

/// What clients are asked to show: a certificate of one of these authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Nobody comes in without.
    pub is_required: bool,
    /// SHA-256 of each.
    pub authorities: BTreeSet<[u8; 32]>,
}

impl Asked {
    /// Whether who came by this handshake has done as much: was asked for the same, or has shown a certificate that is good
    /// here too.
    pub fn is_met_by(&self, tls: &TlsFacts) -> bool {
        let Some(asked) = &tls.asked else { return false };
        **asked == *self || (tls.client.is_some() && asked.authorities.is_subset(&self.authorities))
    }
}

/// What a client's certificate says, as headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: HeaderValue,
    /// Whose it is, such as `CN=a, O=b`; none when it says so in no readable way.
    pub subject: Option<HeaderValue>,
    /// Its alternative names, such as `DNS:a.example, URI:spiffe://a`; none when it has none.
    pub names: Option<HeaderValue>,
}

impl ClientCertificate {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
        self.sha256.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |sum, &byte| sum << 4 | digit(byte))).collect()
    }
}

/// How the client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Connection {
    /// A connection that was accepted.
    pub fn new(listener: usize, peer: SocketAddr, tls: Option<TlsFacts>) -> Connection {
        if peer == NOBODY {
            let peer_line = HeaderValue::from_static("unknown");
            return Connection { listener, peer, peer_line, local: NOBODY, is_named: false, tls };
        }
        let line = Bytes::from(peer.ip().to_canonical().to_string());
        // An address is always a legal value.
        let peer_line = HeaderValue::from_maybe_shared(line).unwrap_or(HeaderValue::from_static("unknown"));
        Connection { listener, peer, peer_line, local: NOBODY, is_named: false, tls }
    }

    /// The same, made to this address.
    pub fn to(self, local: SocketAddr) -> Connection {
        Connection { local, ..self }
    }

    /// The same, where a head of the PROXY protocol was to name its ends.
    pub fn named(self, is_named: bool) -> Connection {
        Connection { is_named, ..self }
    }

    /// How the client came.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// A part of a request that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The first value of this header.
    Header(&'a str),
    /// The first cookie of this name.
    Cookie(&'a str),
    /// The value of the first query parameter of this name, as it stands, not decoded.
    Query(&'a str),
    /// The tag of this name.
    Tag(&'a str),
    /// The path without the query.
    Path,
    /// Host and port.
    Authority,
    /// The client's address as text.
    Client,
}

impl Head {
    /// The host as routes compare it: in lower case, without the port, without the dot that ends a full name.
    pub fn host(&self) -> Cow<'_, str> {
        // Framing lets no authority through that is not ASCII.
        let authority = str::from_utf8(self.authority.as_bytes()).unwrap_or_default();
        // Looked at from its end: what is no digit there is the colon before a port, or belongs to the host.
        let host = match authority.bytes().rposition(|byte| !byte.is_ascii_digit()) {
            Some(colon) if authority.as_bytes()[colon] == b':' => &authority[..colon],
            _ => authority,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        match host.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(host.to_ascii_lowercase()),
            false => Cow::Borrowed(host),
        }
    }

    /// Whose connection it came on, as a backend may be told; none: the client has no address.
    pub fn ends(&self) -> Option<Ends> {
        let Connection { peer, local, .. } = *self.connection;
        // What trusted proxies tell of a client has no port.
        let is_peer = peer.ip().to_canonical() == self.client;
        let source = if is_peer { peer } else { SocketAddr::new(self.client, 0) };
        (source != NOBODY).then_some(Ends { source, destination: local })
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.named(name).map(HeaderValue::as_bytes)
    }

    /// The first cookie of a name, in any of the `cookie` headers.
    pub fn cookie(&self, name: &str) -> Option<&[u8]> {
        self.headers.all(&http::header::COOKIE).find_map(|line| {
            line.as_bytes()
                .split(|&b| b == b';')
                .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        })
    }

    /// The value of the first query parameter of a name, as it stands; empty when it has no `=`.
    pub fn query_parameter(&self, name: &str) -> Option<&[u8]> {
        self.target.query()?.split('&').find_map(|pair| match pair.split_once('=') {
            Some((n, value)) => (n == name).then_some(value.as_bytes()),
            None => (pair == name).then_some(&b""[..]),
        })
    }

    /// The tag of a name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }

    /// xxh64 over the bytes of a part; none when it is absent.
    pub fn hash(&self, part: Part<'_>, seed: u64) -> Option<u64> {
        let bytes = match part {
            Part::Header(name) => self.header(name)?,
            Part::Cookie(name) => self.cookie(name)?,
            Part::Query(name) => self.query_parameter(name)?,
            Part::Tag(name) => self.tag(name)?.as_bytes(),
            Part::Path => self.target.path().as_bytes(),
            Part::Authority => self.authority.as_bytes(),
            Part::Client => return Some(xxh64(self.client.to_string().as_bytes(), seed)),
        };
        Some(xxh64(bytes, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_its_port_and_in_lower_case() {
        let host = |authority: &'static str| {
            let head = Head {
                method: Method::GET,
                target: PathAndQuery::from_static("/"),
                authority: HeaderValue::from_static(authority),
                headers: Headers::default(),
                client: NOBODY.ip(),
                tags: Vec::new(),
                connection: Arc::new(Connection::new(0, NOBODY, None)),
            };
            head.host().into_owned()
        };
        for (authority, expected) in [
            ("a.example", "a.example"),
            ("A.Example:8443", "a.example"),
            ("a.example.:80", "a.example"),
            ("a1:", "a1"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("1", "1"),
            (":80", ""),
            ("", ""),
        ] {
            assert_eq!(host(authority), expected, "{authority}");
        }
    }

    #[test]
    fn who_showed_what_is_good_here_too_may_come_and_who_was_asked_for_less_may_not() {
        let asked = |is_required, authorities: &[u8]| {
            let authorities = authorities.iter().map(|byte| [*byte; 32]).collect();
            Arc::new(Asked { is_required, authorities })
        };
        let nothing = HeaderValue::from_static("");
        let shown = ClientCertificate { sha256: nothing, subject: None, names: None };
        let came = |asked: Option<Arc<Asked>>, shows: bool| TlsFacts {
            asked,
            client: shows.then(|| Box::new(shown.clone())),
            ..TlsFacts::default()
        };
        let here = asked(true, &[1, 2]);
        for (by, is_good) in [
            (came(None, false), false),
            (came(Some(asked(true, &[1, 2])), true), true),
            (came(Some(asked(true, &[1])), true), true),
            (came(Some(asked(false, &[2])), true), true),
            (came(Some(asked(true, &[1, 3])), true), false),
            (came(Some(asked(false, &[1, 2])), false), false),
        ] {
            assert_eq!(here.is_met_by(&by), is_good, "{by:?}");
        }
        assert!(asked(false, &[1]).is_met_by(&came(Some(asked(false, &[1])), false)));
        assert!(
            !asked(false, &[1, 2]).is_met_by(&came(Some(asked(false, &[1])), false)),
            "it might have shown another"
        );
    }
}
