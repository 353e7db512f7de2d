//! A request's head as routes, filters, balancers and the backend see it: after the path was normalised, once.

use super::{Headers, NOBODY, proxy_protocol::Ends};
use bytes::Bytes;
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{
    borrow::Cow,
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
    /// Index of the listener in the configuration.
    pub listener: usize,
    /// The other end of the socket; [`NOBODY`] where it has no address.
    pub peer: SocketAddr,
    /// The peer's address, as headers tell it; `unknown` where it has none.
    pub peer_line: HeaderValue,
    /// Where the client connected to; [`NOBODY`] where nobody has to be told.
    pub local: SocketAddr,
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
    /// The number of the rule about client certificates that it was done by; 0: none was asked for.
    pub rule: usize,
    /// The certificate that the client showed; it was verified.
    pub client: Option<Box<ClientCertificate>>,
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
            return Connection { listener, peer, peer_line: HeaderValue::from_static("unknown"), local: NOBODY, tls };
        }
        let line = Bytes::from(peer.ip().to_canonical().to_string());
        // An address is always a legal value.
        let peer_line = HeaderValue::from_maybe_shared(line).unwrap_or(HeaderValue::from_static("unknown"));
        Connection { listener, peer, peer_line, local: NOBODY, tls }
    }

    /// The same, made to this address.
    pub fn to(self, local: SocketAddr) -> Connection {
        Connection { local, ..self }
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
        let authority = self.authority.to_str().unwrap_or_default();
        let host = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
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
