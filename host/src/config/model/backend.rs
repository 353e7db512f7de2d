//! Backends, and how they are spoken to.

use super::CertificateSource;
use crate::{net::Address, problem::Spot};
use std::path::PathBuf;

/// How a pool's backends are spoken to over TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTls {
    /// Who vouches for the backends.
    pub roots: Roots,
    /// Of whom a certificate is asked, in place of each backend's own host.
    pub sni: Option<String>,
    /// What is shown to a backend that asks who is there.
    pub identity: Option<CertificateSource>,
    /// It is shown even if it has expired.
    pub allow_expired: bool,
    /// Every certificate is believed.
    pub dangerous_skip_verification: bool,
    /// Where it is asked for.
    pub spot: Option<Spot>,
}

impl Default for BackendTls {
    fn default() -> Self {
        Self {
            roots: Roots::System,
            sni: None,
            identity: None,
            allow_expired: false,
            dangerous_skip_verification: false,
            spot: None,
        }
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

impl Lookup {
    /// In lower case, without port.
    pub fn name(&self) -> &str {
        let (Lookup::Host { name, .. } | Lookup::Service(name)) = self;
        name
    }
}
