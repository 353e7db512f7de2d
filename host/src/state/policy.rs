//! What holds for all requests of a listener, whenever their connections were made.

use crate::{
    config::model::{ByteRate, Forwarded, Network},
    figures::ListenerFigures,
    net::{Connection, Head, TlsFacts},
    sources::Sources,
    telemetry::access_log::AccessLog,
};
use http::HeaderName;
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

/// What a listener believes and passes on about the way a request came, what it lets through, and where that is told.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Peers whose forwarding headers are believed.
    pub trusted: Vec<Network>,
    /// Whether connections begin with a head of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Which forwarding headers the backends get.
    pub forwarded: Forwarded,
    /// The port of HTTPS to which every request is sent.
    pub redirect: Option<u16>,
    /// What sources have open and ask for; none: nobody counts.
    pub sources: Option<Arc<Sources>>,
    /// What a client has to bring of a body that is waited for.
    pub least_rate: ByteRate,
    /// Whether the backends get the request's id.
    pub request_id: bool,
    /// What trusted proxies ask with how a backend was chosen.
    pub explain_header: Option<HeaderName>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// What is counted of the listener.
    pub figures: Arc<ListenerFigures>,
    /// Whether any listener of this process asks clients for certificates, so that what is said of them means something.
    pub certificates: bool,
    /// What is asked of the clients of which host; none: nothing of anybody.
    pub rules: Option<Rules>,
    /// Where each request is told; none: nowhere.
    pub access_log: Option<Arc<AccessLog>>,
    /// How long tunnels may go on once they are told to end.
    pub tunnels: Duration,
}

impl Policy {
    /// Whether this address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether the forwarding headers of this connection's peer are believed. A proxy that names no client passes on what
    /// some client says of itself, and has looked at none of it.
    pub fn believes(&self, connection: &Connection) -> bool {
        self.trusts(connection.peer.ip()) && (connection.is_named || !self.proxy_protocol)
    }

    /// Whether a request for its host may come on its connection: one that was made for another name, or before this was
    /// in force, may have shown less than the host asks for.
    pub fn belongs(&self, head: &Head) -> bool {
        self.rules.as_ref().is_none_or(|rules| (rules.0)(&head.host(), head.connection.tls.as_ref()))
    }
}

/// Whether a request for a host may come on a connection that was made so; none: without TLS.
#[derive(Clone)]
pub struct Rules(Arc<MayCome>);

type MayCome = dyn Fn(&str, Option<&TlsFacts>) -> bool + Send + Sync;

impl Rules {
    /// As this says.
    pub fn new(may_come: impl Fn(&str, Option<&TlsFacts>) -> bool + Send + Sync + 'static) -> Rules {
        Rules(Arc::new(may_come))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}
