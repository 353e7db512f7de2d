//! Pools: who chooses among their backends, and the limits of requests to them.

use super::{Backend, BackendTls, Cookie, Eject, Health, Named, Protocol};
use crate::{net::proxy_protocol, problem::Spot};
use std::time::Duration;

/// The balancer of a pool that names none.
pub const DEFAULT_BALANCER: &str = "round-robin";

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
    /// Who is asked when that one has no opinion, or chooses inside of what it narrows to; in order.
    pub then: Vec<Link>,
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
    /// Who chooses between tiers.
    pub tiers: Tiers,
    /// What binds clients to backends; none: nothing.
    pub cookie: Option<Cookie>,
    /// How long a backend that became ready takes to its full share; none: it has it at once.
    pub slow_start: Option<Duration>,
    /// Limits of one request.
    pub timeout: PoolTimeout,
    /// What is sent once more.
    pub retry: Retry,
    /// After how long without an answer a second backend is asked; none: never.
    pub hedge: Option<Duration>,
    /// Bounds for the shares of healthy backends; none: as the balancer chooses.
    pub share: Option<Share>,
    /// How much at the same time; none: all that comes.
    pub limit: Option<PoolLimit>,
    /// How backends report their own load; none: nobody listens.
    pub reported: Option<Reported>,
    /// How backends are asked how busy they are, where the balancer wants to know; none: they are not.
    pub probe: Option<Probe>,
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
            then: Vec::new(),
            fallback: Fallback::default(),
            hash: None,
            health: Health::default(),
            eject: Some(Eject::default()),
            panic: None,
            tiers: Tiers::default(),
            cookie: None,
            slow_start: None,
            timeout: PoolTimeout::default(),
            retry: Retry::default(),
            hedge: None,
            share: None,
            limit: None,
            reported: None,
            probe: None,
        }
    }
}

/// Bounds for the shares of a pool's healthy backends, in per cent of the latest picks of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// None has less.
    pub least: Option<u32>,
    /// None has more, unless so few are ready that an equal share is more.
    pub most: Option<u32>,
}

/// A balancer behind the first one of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub plugin: String,
    /// One JSON object, `{}` when none was given.
    pub settings: String,
    /// Where it is named.
    pub spot: Option<Spot>,
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

/// Who chooses between tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tiers {
    /// The host offers the balancer as much of them as is needed.
    #[default]
    Host,
    /// The balancer is offered all that are ready.
    Plugin,
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

/// How the backends of a pool report their own load in the heads of their answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// By ORCA, in `endpoint-load-metrics`.
    pub orca: bool,
    /// Numbers by the name under which plugins know them, and the header in which they stand.
    pub headers: Vec<(String, http::HeaderName)>,
    /// How long a number holds.
    pub fresh: Duration,
}

impl Default for Reported {
    fn default() -> Self {
        Reported { orca: true, headers: Vec::new(), fresh: Duration::from_secs(10) }
    }
}

/// How backends are asked how busy they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// In which way.
    pub by: ProbeBy,
    /// For one of them, from the connect on.
    pub timeout: Duration,
    /// So many of each backend in so long.
    pub per_backend: (u32, Duration),
    /// So many of all backends together in so long.
    pub per_pool: (u32, Duration),
}

/// In which way backends are asked how busy they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeBy {
    /// `GET` this path.
    Get(String),
    /// By what this header of the last answer told.
    Header(http::HeaderName),
}

impl Probe {
    /// This way, within the usual limits.
    pub fn by(by: ProbeBy) -> Probe {
        let second = Duration::from_secs(1);
        Probe { by, timeout: Duration::from_millis(250), per_backend: (20, second), per_pool: (500, second) }
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
    /// Without a byte on an HTTP/2 connection with requests until it is asked whether it is alive; none: it never is.
    pub ping: Option<Duration>,
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
            ping: Some(Duration::from_secs(5)),
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
    /// Connections to each of its backends; none: no limit.
    pub backend_connections: Option<u32>,
    /// Requests that wait for room.
    pub queue: u32,
    /// How long one waits.
    pub wait: Duration,
}

impl Default for PoolLimit {
    fn default() -> Self {
        Self {
            requests: None,
            backend_requests: None,
            backend_connections: None,
            queue: 1000,
            wait: Duration::from_secs(1),
        }
    }
}
