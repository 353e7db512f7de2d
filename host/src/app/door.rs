//! One listener: opened, or made another by another configuration. What its files hold decides as much as what is written
//! of it.

use super::{both, cannot_start};
use crate::{
    config::model::{self, Config},
    figures::Figures,
    net::{Address, SocketFile},
    problem::{Code, Problem},
    server::{Entrance, Porter, Sockets},
    sources::{Most, Sources},
    state::{Policy, Rules},
    telemetry::access_log::AccessLog,
    tls::{Acceptor, Store},
};
use std::{
    io,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

/// A listener that is open, or bound.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub config: model::Listener,
    pub porter: Arc<Porter>,
    /// With the port that the system gave.
    pub address: Address,
    /// It is the workers', and goes with the last of them.
    file: Option<Weak<SocketFile>>,
}

/// A door as another configuration wants it, with all that could be refused already made.
#[derive(Debug)]
pub(super) struct Next {
    pub door: Door,
    /// What is wrong with files of certificates, where those that were read before are shown.
    pub stale: Vec<Problem>,
    /// The files that were read before hold something else now.
    pub renewed: bool,
    /// For connections to come; none: the door is new, and has it, or nothing is other.
    pub entrance: Option<Entrance>,
    /// Certificates to be shown, where there are others.
    certificates: Option<Arc<Store>>,
    /// Some host asks clients for something else than its connections were asked for.
    asks_anew: bool,
    /// Bound just now.
    pub sockets: Option<Sockets>,
}

/// What an entrance is made of that does not stand with its listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a> {
    figures: &'a Figures,
    log: Option<&'a Arc<AccessLog>>,
    tunnels: Duration,
    /// Some listener asks clients for certificates.
    certificates: bool,
}

impl<'a> Shared<'a> {
    pub(super) fn of(config: &Config, figures: &'a Figures, log: Option<&'a Arc<AccessLog>>) -> Shared<'a> {
        let asks = |listener: &model::Listener| listener.tls.as_ref().is_some_and(|tls| !tls.clients.is_empty());
        let certificates = config.listeners.iter().any(asks);
        Shared { figures, log, tunnels: config.server.tunnels, certificates }
    }

    /// `before`: what held for its requests so far.
    fn entrance(
        &self,
        config: &model::Listener,
        number: usize,
        tls: Option<Acceptor>,
        store: Option<Arc<Store>>,
        before: Option<&Policy>,
    ) -> Entrance {
        let asking = store.filter(|store| store.asks());
        let policy = Policy {
            rules: asking.map(|store| Rules::new(move |host, tls| store.admits(host, tls))),
            certificates: self.certificates,
            trusted: config.trusted_proxies.clone(),
            proxy_protocol: config.proxy_protocol,
            forwarded: config.forwarded,
            redirect: config.redirect,
            sources: sources(config, before.and_then(|policy| policy.sources.as_deref())),
            request_id: config.request_id,
            explain_header: config.explain_header.as_deref().and_then(|name| name.parse().ok()),
            least_rate: config.timeout.least_rate,
            listener: config.name.as_str().into(),
            figures: self.figures.listener(&config.name),
            access_log: self.log.cloned(),
            tunnels: self.tunnels,
        };
        Entrance {
            number,
            tls,
            timeout: config.timeout,
            limit: config.head,
            proxy_protocol: config.proxy_protocol,
            policy: Arc::new(policy),
        }
    }
}

impl Next {
    /// A new one.
    ///
    /// # Errors
    /// All that is wrong with its address and its files.
    pub(super) fn new(
        config: &model::Listener,
        number: usize,
        bound: Result<Sockets, Problem>,
        shared: Shared<'_>,
    ) -> Result<Next, Vec<Problem>> {
        let read = config.tls.as_ref().map(|tls| Store::load(tls, Path::new(""))).transpose();
        let (store, sockets) = both(read, bound.map_err(|problem| vec![problem]))?;
        let store = store.map(Arc::new);
        let entrance = shared.entrance(config, number, acceptor(store.clone())?, store, None);
        let door = Door {
            config: config.clone(),
            porter: Porter::new(entrance),
            address: sockets.address().clone(),
            file: sockets.file(),
        };
        Ok(Next {
            door,
            stale: Vec::new(),
            renewed: false,
            entrance: None,
            certificates: None,
            asks_anew: false,
            sockets: Some(sockets),
        })
    }

    /// Has connections come in as it says from now on; nothing of it waits for anybody. `before`: the door as it was.
    /// Returns what the system refuses, which stays as it was.
    pub(super) fn change(&mut self, before: &Door) -> Option<Problem> {
        let door = &mut self.door;
        if let Some((acceptor, certificates)) = door.porter.entrance().tls.as_ref().zip(self.certificates.take()) {
            acceptor.show(certificates);
        }
        if let Some(entrance) = self.entrance.take() {
            door.porter.change(entrance);
        }
        if self.asks_anew {
            door.porter.renew();
        }
        let file = door.file.as_ref().and_then(Weak::upgrade).filter(|_| before.config.mode != door.config.mode)?;
        let error = file.set_mode(door.config.mode).err()?;
        // The next change tries it again.
        door.config.mode = before.config.mode;
        let headline = format!("listener {}: {} keeps the mode it has: {error}", door.config.name, door.address);
        Some(Problem::warning(Code::ADDRESS_DENIED, headline))
    }
}

impl Door {
    /// It goes on as this listener. What it shows, and is to show, it goes on showing if something is wrong with its files.
    ///
    /// # Errors
    /// All that is wrong with files that are new to it.
    pub(super) fn next(&self, config: &model::Listener, shared: Shared<'_>) -> Result<Next, Vec<Problem>> {
        let now = self.porter.entrance();
        let shown = now.tls.as_ref().map(Acceptor::shown);
        let before = self.config.tls.as_ref().zip(shown.as_deref());
        let read = config.tls.as_ref().map(|tls| Store::renew(tls, Path::new(""), before)).transpose()?;
        let (store, stale) = read.unzip();
        let store = store.map(Arc::new);
        let serving = format!("listener {} goes on with what was read before", config.name);
        let stale = stale.into_iter().flatten().map(|problem| problem.serving(serving.as_str())).collect();

        let others = shown != store;
        let asks = [&shown, &store].into_iter().flatten().any(|store| store.asks());
        let both = shown.as_deref().zip(store.as_deref());
        // The same acceptor where only certificates are others: it has the keys of the tickets that clients hold.
        let keeps = differ_in_certificates_alone(&self.config, config)
            && both.is_none_or(|(shown, store)| shown.asks_as(store));
        let asks_anew = asks && (!keeps || both.is_some_and(|(shown, store)| !rule_alike(shown, store)));
        let (tls, certificates) = match keeps {
            true => (now.tls.clone(), store.clone().filter(|_| others)),
            false => (acceptor(store.clone())?, None),
        };
        let is_same = keeps
            // Which host asks for what hangs on the names in the certificates.
            && !(others && asks)
            && self.config == *config
            && (now.policy.tunnels, now.policy.certificates) == (shared.tunnels, shared.certificates);
        let entrance = (!is_same).then(|| shared.entrance(config, now.number, tls, store, Some(&now.policy)));
        let renewed = others && self.config.tls == config.tls;
        let door = Door { config: config.clone(), ..self.clone() };
        Ok(Next { door, stale, renewed, entrance, certificates, asks_anew, sockets: None })
    }
}

/// Limits, if there are any; what sources have open and have asked for goes on counting.
fn sources(config: &model::Listener, before: Option<&Sources>) -> Option<Arc<Sources>> {
    let model::SourceLimit { connections, connections_per_source, requests_per_source } = config.limit;
    let most = Most { connections, connections_per_source, requests_per_source };
    let is_limited = config.limit != model::SourceLimit::default();
    is_limited.then(|| before.map_or_else(|| Sources::new(most), |before| before.with(most)))
}

fn acceptor(store: Option<Arc<Store>>) -> Result<Option<Acceptor>, Vec<Problem>> {
    store.map(Acceptor::new).transpose().map_err(|error| cannot_start(io::Error::other(error)))
}

fn differ_in_certificates_alone(one: &model::Listener, other: &model::Listener) -> bool {
    let bare = |listener: &model::Listener| {
        let mut tls = listener.tls.clone()?;
        tls.certificates.clear();
        Some(tls)
    };
    bare(one) == bare(other)
}

/// Whether two stores with the same rules about clients have them hold for the same hosts. A host goes by a name that one
/// of them has, or by none.
fn rule_alike(one: &Store, other: &Store) -> bool {
    let certificates = one.certificates().iter().chain(other.certificates());
    let names = certificates.flat_map(|certificate| &certificate.names);
    let mut names = names.map(|name| Some(name.as_str())).chain([None]);
    names.all(|name| one.rule(name) == other.rule(name))
}
