//! The configuration after it was checked: no value here is invalid, and nothing behind this room checks again.
//!
//! Each type can be compared: a reload leaves alone what is equal. Where something stands in the file is no part of what it
//! is (see [`Spot`](crate::problem::Spot)), so text that was only moved changes nothing.

mod backend;
mod cookie;
mod health;
mod listen;
mod pool;
mod process;
mod route;

pub use backend::{Backend, BackendTls, Lookup, Named, Protocol, Roots};
pub use cookie::{Cookie, SameSite, Secret, Secrets};
pub use health::{Eject, Health, HealthCheck, HealthGet};
pub use listen::{
    ByteRate, CertificateSource, ClientRule, DEFAULT_MODE, Forwarded, HeadLimit, ListenTimeout, Listener, Network,
    SourceLimit, Tls, Verify,
};
pub use pool::{
    BalancerChoice, DEFAULT_BALANCER, Fallback, HashKey, Link, Pool, PoolLimit, PoolTimeout, Probe, ProbeBy, Reported,
    Retry, Share, Tiers,
};
pub use process::{AccessLog, AdminAddress, Faults, Plugins, Resolver, Server};
pub use route::{FilterUse, HostMatch, OnFault, Route};

use std::net::SocketAddr;

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

impl Config {
    /// The same, where certificates that have expired are shown all the same, if `allow`.
    #[must_use]
    pub fn allowing_expired(mut self, allow: bool) -> Config {
        let shown = self.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut());
        shown.for_each(|tls| tls.allow_expired = allow);
        self.pools.iter_mut().filter_map(|pool| pool.tls.as_mut()).for_each(|tls| tls.allow_expired = allow);
        self
    }
}
