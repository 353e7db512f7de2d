//! Where clients come in, and what they may do there.

use crate::{
    net::{Address, NOBODY},
    problem::Spot,
};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

/// The mode of a listener's socket file: for its user and group.
pub const DEFAULT_MODE: u32 = 0o660;

/// A bound address that takes connections from clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// As configured; the address when no name was given.
    pub name: String,
    /// Port 0 asks the system for a free one.
    pub address: Address,
    /// Of the socket file, where the address is one.
    pub mode: u32,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    /// Limits of a connection's life.
    pub timeout: ListenTimeout,
    /// Limits of requests' heads.
    pub head: HeadLimit,
    /// Each connection begins with a head of the PROXY protocol, and its peer is in `trusted_proxies`.
    pub proxy_protocol: bool,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Which forwarding headers the backends get.
    pub forwarded: Forwarded,
    /// Whether backends get each request's id, as `x-request-id`.
    pub request_id: bool,
    /// What trusted proxies ask with how a backend was chosen, in lower case; none: nobody may.
    pub explain_header: Option<String>,
    /// The port of HTTPS to which every request is sent instead of being served.
    pub redirect: Option<u16>,
    /// How much sources may have open and ask for.
    pub limit: SourceLimit,
    /// Where it stands in the file.
    pub spot: Option<Spot>,
}

impl Listener {
    /// Plain HTTP there, and the default of everything else.
    pub fn new(name: impl Into<String>, address: impl Into<Address>) -> Listener {
        Listener {
            name: name.into(),
            address: address.into(),
            mode: DEFAULT_MODE,
            tls: None,
            timeout: ListenTimeout::default(),
            head: HeadLimit::default(),
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            forwarded: Forwarded::default(),
            request_id: false,
            explain_header: None,
            redirect: None,
            limit: SourceLimit::default(),
            spot: None,
        }
    }
}

/// How much the sources of a listener may have open and ask for. None: as much as comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceLimit {
    /// Connections at one time.
    pub connections: Option<u32>,
    /// Connections of one source at one time.
    pub connections_per_source: Option<u32>,
    /// Requests of one source in how long.
    pub requests_per_source: Option<(u32, Duration)>,
}

/// Certificates of a listener; the first is the default. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Chosen by the name in the client's hello.
    pub certificates: Vec<CertificateSource>,
    /// By the index of the certificate: clients that are shown it are asked for one of theirs.
    pub clients: BTreeMap<usize, ClientRule>,
    /// One that has expired is shown all the same.
    pub allow_expired: bool,
}

/// Which certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// PEM: whoever these signed is let in.
    pub ca: PathBuf,
    /// Whether one is let in that shows none.
    pub verify: Verify,
    /// Where it is named.
    pub spot: Option<Spot>,
}

/// Whether a client has to show a certificate. One that does not pass is refused either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verify {
    /// It has to.
    #[default]
    Require,
    /// It may.
    Request,
}

impl From<Vec<CertificateSource>> for Tls {
    /// Without asking clients for theirs.
    fn from(certificates: Vec<CertificateSource>) -> Tls {
        Tls { certificates, clients: BTreeMap::new(), allow_expired: false }
    }
}

/// Where a certificate chain and its key come from.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificateSource {
    /// PEM files, read at start.
    Files {
        /// Chain, leaf first.
        cert: PathBuf,
        /// Private key.
        key: PathBuf,
        /// Where they are named.
        spot: Option<Spot>,
    },
    /// PEM texts made in memory, as `try` does.
    Memory {
        /// Chain, leaf first.
        cert: String,
        /// Private key.
        key: String,
    },
}

/// Limits of a downstream connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenTimeout {
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Without a request, or with a client that takes nothing of its answer.
    pub idle: Duration,
    /// What a client has to bring of a body that is waited for, and to take of an answer that waits.
    pub least_rate: ByteRate,
}

/// Bytes a second; none: as few as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteRate(pub Option<u32>);

impl ByteRate {
    /// Bytes in so long: one at the least.
    pub fn within(self, time: Duration) -> usize {
        let bytes = u128::from(self.0.unwrap_or(0)) * time.as_millis() / 1000;
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }
}

impl Default for ListenTimeout {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            least_rate: ByteRate(Some(240)),
        }
    }
}

/// Limits of requests' heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimit {
    /// Bytes of a request's head.
    pub head: usize,
    /// Header lines of a request, 512 at the most.
    pub headers: usize,
    /// Bytes of a request's target.
    pub target: usize,
}

impl Default for HeadLimit {
    fn default() -> Self {
        Self { head: 64 << 10, headers: 128, target: 8 << 10 }
    }
}

/// An address prefix such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Those that come over a socket file and have no address.
    pub const UNIX: Network = Network { address: NOBODY.ip(), bits: 32 };

    /// None when `bits` is more than the address has.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether the address lies inside. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address.to_canonical(), other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.bits));
                u64::from(a.to_bits()) >> shift == u64::from(b.to_bits()) >> shift
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.bits);
                a.to_bits().checked_shr(shift).unwrap_or(0) == b.to_bits().checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

/// Which forwarding headers the backends get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto`, `-Host`.
    #[default]
    X,
    /// `Forwarded` of RFC 7239.
    Rfc7239,
    /// Neither.
    None,
}
