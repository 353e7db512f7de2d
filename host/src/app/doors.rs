//! The listeners that are open. A reload keeps those whose address stays: their sockets, and the connections on them, are
//! not touched. How connections come in goes for those to come; what holds for requests (the policy) is handed to the
//! snapshot, and so holds on all of them at once.

use super::cannot_start;
use crate::{
    admin::api,
    config::model::{self, Config},
    figures::Figures,
    net::{Address, SocketFile},
    problem::Problem,
    server::{Entrance, Listener, Porter, Sockets},
    sources::{Most, Sources},
    state::{Numbered, Policy, Rules},
    telemetry::access_log::AccessLog,
    tls::{Acceptor, Store},
};
use std::{
    io,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

/// The open listeners, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Doors {
    figures: Arc<Figures>,
    log: Option<Arc<AccessLog>>,
    open: Vec<Door>,
    /// Those that were told to close, by their numbers: they may have their addresses still.
    closing: Vec<(usize, Address)>,
    /// The number of the next one.
    next: usize,
}

#[derive(Debug)]
struct Door {
    config: model::Listener,
    porter: Arc<Porter>,
    /// With the port that the system gave.
    address: Address,
    /// It is the workers', and goes with the last of them.
    file: Option<Weak<SocketFile>>,
}

/// Doors as another configuration wants them, with all that could be refused already made.
#[derive(Debug)]
pub(super) struct Staged {
    doors: Vec<Next>,
    /// What is wrong with files of certificates, where those that were read before are shown.
    stale: Vec<Problem>,
    next: usize,
}

#[derive(Debug)]
struct Next {
    door: Door,
    /// For connections to come; none: the door is new, and has it.
    entrance: Option<Entrance>,
    /// Certificates to be shown, where there are others.
    certificates: Option<Arc<Store>>,
    /// The files that were read before hold something else now.
    renewed: bool,
    /// Of its socket file, where it has another one.
    mode: Option<u32>,
    /// Other certificates are asked for than its connections were asked for.
    asks_anew: bool,
    /// Bound just now.
    sockets: Option<Sockets>,
}

impl Doors {
    /// None is open yet.
    pub(super) fn new(figures: Arc<Figures>, log: Option<Arc<AccessLog>>) -> Doors {
        Doors { figures, log, open: Vec::new(), closing: Vec::new(), next: 0 }
    }

    /// Reads certificates and binds what is not open yet. What is wrong stands beside what is not: a door that cannot be
    /// opened is left out. What an open one shows, and is to show, it goes on showing if something is wrong with its files.
    pub(super) fn stage(&self, config: &Config) -> (Staged, Vec<Problem>) {
        let mut staged = Staged { doors: Vec::new(), stale: Vec::new(), next: self.next };
        let mut problems = Vec::new();
        let shared = Shared::of(config);
        let mut left: Vec<&Door> = self.open.iter().collect();
        let kept: Vec<_> = config.listeners.iter().map(|listener| take(&mut left, listener)).collect();
        for (listener, kept) in config.listeners.iter().zip(kept) {
            let number = kept.map_or(staged.next, |door| door.porter.entrance().index);
            staged.next += usize::from(kept.is_none());
            let store = listener.tls.as_ref().map(|tls| certificates(tls, kept)).transpose();
            let bound = match kept {
                Some(_) => Ok(None),
                None => {
                    let going = left.iter().map(|door| &door.address).chain(self.closing.iter().map(|(_, at)| at));
                    let bind = match going.into_iter().any(|at| overlap(at, &listener.address)) {
                        true => Sockets::bind_beside,
                        false => Sockets::bind,
                    };
                    bind(listener, config.server.workers).map(Some)
                }
            };
            match (store, bound) {
                (Ok(store), Ok(sockets)) => {
                    let (store, stale) = store.unzip();
                    let serving = format!("listener {} goes on with what was read before", listener.name);
                    let stale = stale.into_iter().flatten().map(|problem| problem.serving(serving.as_str()));
                    staged.stale.extend(stale);
                    match self.next(listener, number, kept, store.map(Arc::new), sockets, shared) {
                        Ok(next) => staged.doors.push(next),
                        Err(error) => problems.extend(error),
                    }
                }
                (store, bound) => {
                    problems.extend(store.err().into_iter().flatten());
                    problems.extend(bound.err());
                }
            }
        }
        (staged, problems)
    }

    /// Puts the next ones in force; `open` is given those that are new. Those that the next configuration does not have are
    /// closed, and returned.
    pub(super) fn publish(&mut self, staged: Staged, mut open: impl FnMut(Listener)) -> Vec<Arc<Porter>> {
        self.next = staged.next;
        let mut before = std::mem::take(&mut self.open);
        for Next { door, entrance, certificates, renewed: _, mode, asks_anew, sockets } in staged.doors {
            before.retain(|old| !Arc::ptr_eq(&old.porter, &door.porter));
            if let Some((acceptor, certificates)) = door.porter.entrance().tls.as_ref().zip(certificates) {
                acceptor.show(certificates);
            }
            if let Some(entrance) = entrance {
                door.porter.change(entrance);
            }
            if let Some((file, mode)) = door.file.as_ref().and_then(Weak::upgrade).zip(mode)
                && let Err(error) = file.set_mode(mode)
            {
                tracing::warn!("listener {}: {} keeps the mode it has: {error}", door.config.name, door.address);
            }
            if asks_anew {
                door.porter.renew();
            }
            if let Some(sockets) = sockets {
                open(Listener { sockets, porter: door.porter.clone() });
            }
            self.open.push(door);
        }
        before.iter().for_each(|door| door.porter.close());
        self.closing.extend(before.iter().map(|door| (door.porter.entrance().index, door.address.clone())));
        before.into_iter().map(|door| door.porter).collect()
    }

    /// Nothing is left of a listener that was closed.
    pub(super) fn closed(&mut self, number: usize) {
        self.closing.retain(|(closing, _)| *closing != number);
    }

    /// What routes know them by, and what holds for their requests, in the order of the configuration.
    pub(super) fn listeners(&self) -> Vec<Numbered> {
        let entrances = self.open.iter().map(|door| door.porter.entrance());
        entrances.map(|entrance| (entrance.index, entrance.policy.clone())).collect()
    }

    /// What people know them by, in the order of the configuration.
    pub(super) fn names_and_addresses(&self) -> Vec<(String, Address)> {
        self.open.iter().map(|door| (door.config.name.clone(), door.address.clone())).collect()
    }

    /// For people.
    pub(super) fn told(&self) -> Vec<api::Listener> {
        let certificates = |door: &Door| {
            let shown = door.porter.entrance().tls.as_ref().map(Acceptor::shown)?;
            let now = SystemTime::now();
            let told = shown.certificates().iter().map(|certificate| api::Certificate {
                source: certificate.source.clone(),
                names: certificate.names.clone(),
                days_left: certificate.days_left(now),
                expires_unix: certificate.expires,
            });
            Some(told.collect())
        };
        let told = self.open.iter().map(|door| api::Listener {
            name: door.config.name.clone(),
            address: door.address.to_string(),
            tls: door.config.tls.is_some(),
            certificates: certificates(door).unwrap_or_default(),
        });
        told.collect()
    }
}

impl Staged {
    /// The listeners whose files hold other certificates than they did.
    pub(super) fn renewed(&self) -> impl Iterator<Item = &str> {
        self.doors.iter().filter(|next| next.renewed).map(|next| next.door.config.name.as_str())
    }

    /// What is wrong with files of certificates, where those that were read before are shown.
    pub(super) fn stale(&self) -> &[Problem] {
        &self.stale
    }

    /// What routes will know the listeners by, and what will hold for their requests, in the order of the configuration.
    pub(super) fn listeners(&self) -> Vec<Numbered> {
        let numbered = |next: &Next| match &next.entrance {
            Some(entrance) => (entrance.index, entrance.policy.clone()),
            None => {
                let now = next.door.porter.entrance();
                (now.index, now.policy.clone())
            }
        };
        self.doors.iter().map(numbered).collect()
    }
}

/// A listener is its address; where the system chooses the port, its name too.
fn is_same(one: &model::Listener, other: &model::Listener) -> bool {
    let is_any_port = one.address.tcp().is_some_and(|address| address.port() == 0);
    one.address == other.address && (!is_any_port || one.name == other.name)
}

/// Whether two sockets would both get some of the connections.
fn overlap(one: &Address, other: &Address) -> bool {
    let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else { return false };
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_any || one.ip() == other.ip())
}

/// What an entrance is made of that does not stand with its listener.
#[derive(Clone, Copy, Debug)]
struct Shared {
    tunnels: Duration,
    /// Some listener asks clients for certificates.
    certificates: bool,
}

impl Shared {
    fn of(config: &Config) -> Shared {
        let asks = |listener: &model::Listener| listener.tls.as_ref().is_some_and(|tls| !tls.clients.is_empty());
        Shared { tunnels: config.server.tunnels, certificates: config.listeners.iter().any(asks) }
    }
}

impl Doors {
    fn next(
        &self,
        config: &model::Listener,
        number: usize,
        kept: Option<&Door>,
        store: Option<Arc<Store>>,
        sockets: Option<Sockets>,
        shared: Shared,
    ) -> Result<Next, Vec<Problem>> {
        let Some(door) = kept else {
            let entrance = self.entrance(config, number, acceptor(store.clone())?, store, None, shared);
            let address = sockets.as_ref().map_or_else(|| config.address.clone(), |bound| bound.address().clone());
            let file = sockets.as_ref().and_then(Sockets::file);
            let door = Door { config: config.clone(), porter: Porter::new(entrance), address, file };
            let (renewed, asks_anew) = (false, false);
            return Ok(Next { door, entrance: None, certificates: None, renewed, mode: None, asks_anew, sockets });
        };
        let now = door.porter.entrance();
        let shown = now.tls.as_ref().map(Acceptor::shown);
        let (asked, asks) = (asks(shown.as_ref()), asks(store.as_ref()));
        let others = shown != store;
        // The same acceptor where only certificates are others: it has the keys of the tickets that clients hold.
        let keeps = differ_in_certificates_alone(&door.config, config)
            && shown.zip(store.as_ref()).is_none_or(|(shown, store)| shown.asks_as(store));
        let (tls, certificates) = match keeps {
            true => (now.tls.clone(), store.clone().filter(|_| others)),
            false => (acceptor(store.clone())?, None),
        };
        let is_same = keeps
            // Which host asks for what hangs on the names in the certificates.
            && !(others && asks)
            && door.config == *config
            && (now.policy.tunnels, now.policy.certificates) == (shared.tunnels, shared.certificates);
        let entrance = (!is_same).then(|| self.entrance(config, number, tls, store, Some(&now.policy), shared));
        let renewed = others && door.config.tls == config.tls;
        let mode = (door.config.mode != config.mode).then_some(config.mode);
        let door = Door {
            config: config.clone(),
            porter: door.porter.clone(),
            address: door.address.clone(),
            file: door.file.clone(),
        };
        let asks_anew = !keeps && (asked || asks);
        Ok(Next { door, entrance, certificates, renewed, mode, asks_anew, sockets: None })
    }

    /// `before`: what held for its requests so far.
    fn entrance(
        &self,
        config: &model::Listener,
        index: usize,
        tls: Option<Acceptor>,
        store: Option<Arc<Store>>,
        before: Option<&Policy>,
        shared: Shared,
    ) -> Entrance {
        let asking = store.filter(|store| store.asks());
        let policy = Policy {
            rules: asking.map(|store| Rules::new(move |host, tls| store.admits(host, tls))),
            certificates: shared.certificates,
            trusted: config.trusted_proxies.clone(),
            proxy_protocol: config.proxy_protocol,
            forwarded: config.forwarded,
            redirect: config.redirect,
            sources: sources(config, before.and_then(|policy| policy.sources.as_deref())),
            request_id: config.request_id,
            least_rate: config.timeout.least_rate,
            listener: config.name.as_str().into(),
            figures: self.figures.listener(&config.name),
            access_log: self.log.clone(),
            tunnels: shared.tunnels,
        };
        Entrance {
            index,
            tls,
            timeout: config.timeout,
            limit: config.head,
            proxy_protocol: config.proxy_protocol,
            policy: Arc::new(policy),
        }
    }
}

/// Limits, if there are any; what sources have open and have asked for goes on counting.
fn sources(config: &model::Listener, before: Option<&Sources>) -> Option<Arc<Sources>> {
    let model::SourceLimit { connections, connections_per_source, requests_per_source } = config.limit;
    let most = Most { connections, connections_per_source, requests_per_source };
    let is_limited = config.limit != model::SourceLimit::default();
    is_limited.then(|| before.map_or_else(|| Sources::new(most), |before| before.with(most)))
}

/// The open door that goes on as this listener, out of those that are left.
fn take<'a>(left: &mut Vec<&'a Door>, listener: &model::Listener) -> Option<&'a Door> {
    left.iter().position(|door| is_same(&door.config, listener)).map(|at| left.remove(at))
}

/// The certificates of a listener, and what is wrong where those that it shows already stay.
fn certificates(tls: &model::Tls, kept: Option<&Door>) -> Result<(Store, Vec<Problem>), Vec<Problem>> {
    let shown = kept.and_then(|door| door.porter.entrance().tls.as_ref().map(Acceptor::shown));
    let before = kept.and_then(|door| door.config.tls.as_ref()).zip(shown.as_deref());
    Store::renew(tls, Path::new(""), before)
}

fn acceptor(store: Option<Arc<Store>>) -> Result<Option<Acceptor>, Vec<Problem>> {
    store.map(Acceptor::new).transpose().map_err(|error| cannot_start(io::Error::other(error)))
}

fn asks(store: Option<&Arc<Store>>) -> bool {
    store.is_some_and(|store| store.asks())
}

fn differ_in_certificates_alone(one: &model::Listener, other: &model::Listener) -> bool {
    let bare = |listener: &model::Listener| {
        let mut tls = listener.tls.clone()?;
        tls.certificates.clear();
        Some(tls)
    };
    bare(one) == bare(other)
}
