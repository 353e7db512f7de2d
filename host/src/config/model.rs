//! The configuration after it was checked: no value here is invalid, and nothing behind this room checks again.
//!
//! Each type can be compared: a reload leaves alone what is equal. Where something stands in the file is no part of what it
//! is (see [`Spot`]), so text that was only moved changes nothing.

use crate::{
    net::{Address, NOBODY, proxy_protocol},
    problem::Spot,
};
use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// The balancer of a pool that names none.
pub const DEFAULT_BALANCER: &str = "round-robin";

/// The mode of a listener's socket file: for its user and group.
pub const DEFAULT_MODE: u32 = 0o660;

/// Everything one process serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Never empty.
    pub listeners: Vec<Listener>,
    /// In the order of their names; routes refer to them by index.
    pub pools: Vec<Pool>,
    /// In the order of the file.
    pub routes: Vec<Route>,
    /// Where plugin files come from, and what a plugin may use.
    pub plugins: Plugins,
    /// Where the admin API listens.
    pub admin: AdminAddress,
    /// Where metrics are read, beside the admin API.
    pub metrics: Option<SocketAddr>,
    /// The process itself.
    pub server: Server,
}

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
        Tls { certificates, clients: BTreeMap::new() }
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

/// How a pool's backends are spoken to over TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTls {
    /// Who vouches for the backends.
    pub roots: Roots,
    /// Of whom a certificate is asked, in place of each backend's own host.
    pub sni: Option<String>,
    /// What is shown to a backend that asks who is there.
    pub identity: Option<CertificateSource>,
    /// Every certificate is believed.
    pub dangerous_skip_verification: bool,
    /// Where it is asked for.
    pub spot: Option<Spot>,
}

impl Default for BackendTls {
    fn default() -> Self {
        Self { roots: Roots::System, sni: None, identity: None, dangerous_skip_verification: false, spot: None }
    }
}

/// Who vouches for backends.
#[derive(Clone, Debug, PartialEq)]
pub enum Roots {
    /// Whom this system trusts.
    System,
    /// A PEM file of certificates, read at start.
    File {
        /// The file.
        path: PathBuf,
        /// Where it is named.
        spot: Option<Spot>,
    },
    /// A PEM text.
    Memory(String),
}

/// Which HTTP a pool's backends are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: known beforehand on a plain connection, asked for on an encrypted one.
    Http2,
    /// What an encrypted connection agrees on, HTTP/2 preferred.
    Auto,
}

/// Limits of a downstream connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenTimeout {
    /// From accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Without a request, or without a byte of one.
    pub idle: Duration,
}

impl Default for ListenTimeout {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), head: Duration::from_secs(10), idle: Duration::from_secs(75) }
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

/// A named group of backends with one balancer and one health policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// As configured.
    pub name: String,
    /// Names are unique within the pool. Empty only where there are `names`.
    pub backends: Vec<Backend>,
    /// Backends by name.
    pub names: Vec<Named>,
    /// How they are spoken to over TLS; none: plain.
    pub tls: Option<BackendTls>,
    /// Which HTTP they are spoken to; never [`Protocol::Auto`] without TLS.
    pub protocol: Protocol,
    /// How they are told whose connection it is; HTTP/1.1 only, and no connection is kept. None: they are not.
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// Which plugin chooses.
    pub balancer: BalancerChoice,
    /// One JSON object, `{}` when none was given.
    pub settings: String,
    /// Where the balancer and its settings are named.
    pub spot: Option<Spot>,
    /// Who chooses while the plugin cannot.
    pub fallback: Fallback,
    /// What `turn.key` hashes.
    pub hash: Option<HashKey>,
    /// How backends are checked.
    pub health: Health,
    /// When a backend is taken out for what its requests tell; none: never.
    pub eject: Option<Eject>,
    /// Below which share of ready backends, in per cent, all of them get requests; none: never.
    pub panic: Option<u32>,
    /// How long a backend that became ready takes to its full share; none: it has it at once.
    pub slow_start: Option<Duration>,
    /// Limits of one request.
    pub timeout: PoolTimeout,
    /// What is sent once more.
    pub retry: Retry,
    /// After how long without an answer a second backend is asked; none: never.
    pub hedge: Option<Duration>,
    /// How much at the same time; none: all that comes.
    pub limit: Option<PoolLimit>,
}

impl Pool {
    /// These backends, round robin, and the default of everything else.
    pub fn new(name: impl Into<String>, backends: Vec<Backend>) -> Pool {
        Pool {
            name: name.into(),
            backends,
            names: Vec::new(),
            tls: None,
            protocol: Protocol::default(),
            proxy_protocol: None,
            balancer: BalancerChoice::Named(DEFAULT_BALANCER.into()),
            settings: "{}".into(),
            spot: None,
            fallback: Fallback::default(),
            hash: None,
            health: Health::default(),
            eject: Some(Eject::default()),
            panic: None,
            slow_start: None,
            timeout: PoolTimeout::default(),
            retry: Retry::default(),
            hedge: None,
            limit: None,
        }
    }
}

/// One address of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As configured; the address when no name was given.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// The host in its address, as configured: whom its certificate must be for.
    pub host: String,
    /// 0 to 1000; 0 takes no new work.
    pub weight: u32,
    /// Tier, 0 first.
    pub priority: u32,
    /// Empty when none was configured.
    pub zone: String,
    /// In the order of the file.
    pub metadata: Vec<(String, String)>,
}

impl Backend {
    /// Of this name, there, and the default of everything else.
    pub fn new(name: impl Into<String>, address: impl Into<Address>) -> Backend {
        let address = address.into();
        Backend {
            name: name.into(),
            host: address.host(),
            address,
            weight: 1,
            priority: 0,
            zone: String::new(),
            metadata: Vec::new(),
        }
    }
}

/// Backends by name: each address that the name stands for is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What is looked up.
    pub lookup: Lookup,
    /// What they have in common: its name begins theirs, and its address is none.
    pub each: Backend,
}

/// What a name is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The addresses of a host, of both families.
    Host {
        /// In lower case.
        name: String,
        /// Of each backend.
        port: u16,
    },
    /// The hosts and ports of a service (SRV), their priorities for tiers, and their weights; the name in lower case.
    Service(String),
}

/// Which plugin chooses for a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BalancerChoice {
    /// The one of this name: the plugin directory's file, else the embedded one.
    Named(String),
    /// The balancer admitted last, whatever its name; until then the embedded one of this name. What `try` uses.
    Newest {
        /// Before any file was admitted.
        until_then: String,
    },
}

/// Who chooses while a pool's plugin cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fallback {
    /// Native, by weight.
    #[default]
    RoundRobin,
    /// Nobody: 503.
    Reject,
}

/// The part of a request that `turn.key` hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The first value of a header, its name in lower case.
    Header(String),
    /// The first cookie of a name.
    Cookie(String),
    /// The first query parameter of a name.
    Query(String),
    /// The path.
    Path,
    /// The client's address.
    Client,
}

/// How a pool's backends are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// Between two checks of a backend that is up.
    pub interval: Duration,
    /// For one check, from the connect on.
    pub timeout: Duration,
    /// Successes in a row that bring one back, at least 1.
    pub rise: u32,
    /// Failures in a row that take one out, at least 1.
    pub fall: u32,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// For a TCP connection only.
    Connect,
    /// Over HTTP/1.1.
    Get(HealthGet),
}

/// A `GET`, and what its answer has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthGet {
    /// With the query, if any.
    pub path: String,
    /// One of these.
    pub status: Vec<RangeInclusive<u16>>,
    /// The body has this text.
    pub body: Option<String>,
}

impl HealthCheck {
    /// `GET` this path and expect 200 to 399.
    pub fn get(path: impl Into<String>) -> HealthCheck {
        HealthCheck::Get(HealthGet { path: path.into(), status: vec![200..=399], body: None })
    }
}

impl Default for Health {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { check: HealthCheck::Connect, interval: second, timeout: second, rise: 1, fall: 2 }
    }
}

/// When a backend is taken out for what its requests tell, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eject {
    /// So many requests in a row without an answer, or with 502, 503 or 504; none: never.
    pub failures: Option<u32>,
    /// So long without a byte while requests wait and others answer; none: never.
    pub stall: Option<Duration>,
    /// When far fewer of its answers are below 500 than of the pool's on average.
    pub success_rate: bool,
    /// When its answers take so many times as long as the pool's median; none: never.
    pub latency: Option<u32>,
    /// How long it is out the first time; the second time twice as long, and so on.
    pub time: Duration,
    /// The longest it is out.
    pub time_most: Duration,
    /// The largest share of the pool that is out for this, in per cent.
    pub share: u32,
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            failures: Some(5),
            stall: Some(Duration::from_millis(500)),
            success_rate: true,
            latency: None,
            time: Duration::from_secs(10),
            time_most: Duration::from_secs(300),
            share: 50,
        }
    }
}

/// Limits of one request to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTimeout {
    /// One connect, with its TLS handshake.
    pub connect: Duration,
    /// From the request to the last byte of the answer's head, all attempts together.
    pub head: Duration,
    /// The same of one attempt; none: each has what is left of `head`.
    pub per_try: Option<Duration>,
    /// Without a byte of a body in either direction, and how long an unused connection is kept.
    pub idle: Duration,
    /// The whole exchange; none: no end.
    pub total: Option<Duration>,
    /// Without a byte of a tunnel in either direction.
    pub tunnel: Duration,
}

impl Default for PoolTimeout {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            head: Duration::from_secs(30),
            per_try: None,
            idle: Duration::from_secs(60),
            total: None,
            tunnel: Duration::from_secs(3600),
        }
    }
}

/// What is sent once more when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Of one request, when a backend may have seen it.
    pub most: u32,
    /// Share of the pool's requests that may be retries, in per cent.
    pub budget: u32,
    /// Bytes of a request's body that are kept to be sent again.
    pub replay: usize,
    /// Before the first retry; twice as long before each further one.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { most: 1, budget: 20, replay: 64 << 10, backoff: Duration::from_millis(25) }
    }
}

/// How much of a pool there may be at the same time, and who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimit {
    /// Requests of the whole pool; none: no limit.
    pub requests: Option<u32>,
    /// Requests at each of its backends; none: no limit.
    pub backend_requests: Option<u32>,
    /// Requests that wait for room.
    pub queue: u32,
    /// How long one waits.
    pub wait: Duration,
}

impl Default for PoolLimit {
    fn default() -> Self {
        Self { requests: None, backend_requests: None, queue: 1000, wait: Duration::from_secs(1) }
    }
}

/// A match on listener, host and path, and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Index into [`Config::listeners`]; none: all of them.
    pub listener: Option<usize>,
    /// Which hosts.
    pub host: HostMatch,
    /// Whole segments: `/cart` matches `/cart` and `/cart/x`, never `/cartoon`.
    pub path: String,
    /// Index into [`Config::pools`].
    pub pool: usize,
    /// In order.
    pub filters: Vec<FilterUse>,
}

/// Which hosts a route is for, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This one.
    Exact(String),
    /// Any host with one or more labels before this suffix; written `*.example.com`, kept as `.example.com`.
    Wildcard(String),
}

/// A filter on a route.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterUse {
    /// Its name.
    pub plugin: String,
    /// One JSON object.
    pub settings: String,
    /// What a fault, or a filter that never loaded, means for the request.
    pub on_fault: OnFault,
    /// Where it is named.
    pub spot: Option<Spot>,
}

/// What a filter's fault means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFault {
    /// 503.
    #[default]
    Reject,
    /// As if the filter were not there.
    Continue,
}

/// Where plugin files come from, and what a plugin may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugins {
    /// Watched; none: only what is embedded.
    pub directory: Option<PathBuf>,
    /// CPU time of one `pick`, `on-request` or `tick`.
    pub deadline: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// A plugin file's size, in bytes.
    pub size: u64,
    /// When a generation is taken out.
    pub faults: Faults,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            directory: None,
            deadline: Duration::from_millis(5),
            memory: 16 << 20,
            size: 64 << 20,
            faults: Faults::default(),
        }
    }
}

/// When a generation is taken out: `limit` faults within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// At least 1.
    pub limit: u32,
    /// They count this long.
    pub window: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self { limit: 5, window: Duration::from_secs(10) }
    }
}

/// Where the admin API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A socket file, mode 0600.
    Unix(PathBuf),
    /// Loopback only.
    Tcp(SocketAddr),
}

/// The process itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Threads that serve, 1 to 1024.
    pub workers: usize,
    /// Requests at the same time; none: all that come.
    pub requests: Option<u32>,
    /// How long running requests may go on after SIGTERM.
    pub drain: Duration,
    /// How long tunnels may go on after SIGTERM; no longer than `drain`.
    pub tunnels: Duration,
    /// The zone this process runs in; empty when none was configured.
    pub zone: String,
    /// Where each request is told; none: nowhere.
    pub access_log: Option<AccessLog>,
    /// Who is asked for backends by name.
    pub resolver: Resolver,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Appended to.
    File {
        /// Made where there is none.
        path: PathBuf,
        /// Where it is named.
        spot: Option<Spot>,
    },
}

/// Who is asked for backends by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolver {
    /// Whom `/etc/resolv.conf` says, with its search list; `/etc/hosts` goes before.
    #[default]
    System,
    /// This name server.
    Server(SocketAddr),
}
