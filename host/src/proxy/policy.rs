//! What holds for all requests of a listener.

use crate::{
    config::model::{ByteRate, Forwarded, Network},
    figures::ListenerFigures,
    net::Head,
    sources::Sources,
    telemetry::access_log::AccessLog,
};
use std::{fmt, net::IpAddr, sync::Arc};

/// What a listener believes and passes on about the way a request came, what it lets through, and where that is told.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Peers whose forwarding headers are believed.
    pub trusted: Vec<Network>,
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
    /// The listener's name.
    pub listener: Arc<str>,
    /// What is counted of the listener.
    pub figures: Arc<ListenerFigures>,
    /// Whether any listener of this process asks clients for certificates, so that what is said of them means something.
    pub certificates: bool,
    /// Which rule about clients' certificates holds for which host; none: all hosts have the same.
    pub rules: Option<Rules>,
    /// Where each request is told; none: nowhere.
    pub access_log: Option<Arc<AccessLog>>,
}

impl Policy {
    /// Whether this peer's forwarding headers are believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a request for its host may come on its connection: one that was made for another name may have shown less
    /// than the host asks for.
    pub(super) fn belongs(&self, head: &Head) -> bool {
        let (Some(rules), Some(tls)) = (&self.rules, &head.connection.tls) else { return true };
        let asked = (rules.0)(&head.host());
        asked == 0 || asked == tls.rule
    }
}

/// The number of the rule about clients' certificates by host, 0 where nothing is asked.
#[derive(Clone)]
pub struct Rules(Arc<dyn Fn(&str) -> usize + Send + Sync>);

impl Rules {
    /// As this says.
    pub fn new(of_host: impl Fn(&str) -> usize + Send + Sync + 'static) -> Rules {
        Rules(Arc::new(of_host))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}
