//! The process: plugins, the admin API, and the rest.

use crate::problem::Spot;
use std::{net::SocketAddr, path::PathBuf, thread::available_parallelism, time::Duration};

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

impl Default for Server {
    fn default() -> Self {
        // Where the system does not tell, one worker serves; that is slow and right.
        let workers = available_parallelism().map_or(1, usize::from);
        Self {
            workers,
            requests: None,
            drain: Duration::from_secs(30),
            tunnels: Duration::from_secs(10),
            zone: String::new(),
            access_log: None,
            resolver: Resolver::default(),
        }
    }
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
