//! The listeners that are open. A reload keeps those whose address stays: their sockets, and the connections on them, are
//! not touched; what else is said of them goes for connections to come.

use super::cannot_start;
use crate::{
    admin::api,
    config::model::{self, Config},
    figures::Figures,
    net::Address,
    problem::Problem,
    proxy::{Policy, Rules},
    server::{Entrance, Listener, Porter, Sockets},
    sources::{Most, Sources},
    telemetry::access_log::AccessLog,
    tls::{Acceptor, Store},
};
use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The open listeners, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Doors {
    figures: Arc<Figures>,
    log: Option<Arc<AccessLog>>,
    open: Vec<Door>,
    /// The number of the next one.
    next: usize,
}

#[derive(Debug)]
struct Door {
    config: model::Listener,
    porter: Arc<Porter>,
    /// With the port that the system gave.
    address: Address,
}

/// Doors as another configuration wants them, with all that could be refused already made.
#[derive(Debug)]
pub(super) struct Staged {
    doors: Vec<Next>,
    next: usize,
}

#[derive(Debug)]
struct Next {
    door: Door,
    /// For connections to come; none: the door is new, and has it.
    entrance: Option<Entrance>,
    /// Certificates to be shown, where there are others.
    certificates: Option<Arc<Store>>,
    /// Bound just now.
    sockets: Option<Sockets>,
}

impl Doors {
    /// None is open yet.
    pub(super) fn new(figures: Arc<Figures>, log: Option<Arc<AccessLog>>) -> Doors {
        Doors { figures, log, open: Vec::new(), next: 0 }
    }

    /// Reads certificates and binds what is not open yet. What is wrong stands beside what is not: a door that cannot be
    /// opened is left out.
    pub(super) fn stage(&self, config: &Config, allow_expired: bool) -> (Staged, Vec<Problem>) {
        let mut staged = Staged { doors: Vec::new(), next: self.next };
        let mut problems = Vec::new();
        let shared = Shared::of(config);
        let mut left: Vec<&Door> = self.open.iter().collect();
        for listener in &config.listeners {
            let kept = left.iter().position(|door| is_same(&door.config, listener)).map(|at| left.remove(at));
            let number = kept.map_or(staged.next, |door| door.porter.entrance().index);
            staged.next += usize::from(kept.is_none());
            let store = listener.tls.as_ref().map(|tls| Store::load(tls, Path::new(""), allow_expired)).transpose();
            let bound = match kept {
                Some(_) => Ok(None),
                None => Sockets::bind(listener, config.server.workers).map(Some),
            };
            match (store, bound) {
                (Ok(store), Ok(sockets)) => {
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

    /// Closes those that the next configuration does not have.
    pub(super) fn close_those_not_in(&self, next: &Staged) {
        let stays = |door: &&Door| next.doors.iter().any(|other| Arc::ptr_eq(&other.door.porter, &door.porter));
        self.open.iter().filter(|door| !stays(door)).for_each(|door| door.porter.close());
    }

    /// Puts the next ones in force; `open` is given those that are new.
    pub(super) fn publish(&mut self, staged: Staged, mut open: impl FnMut(Listener)) {
        self.next = staged.next;
        self.open.clear();
        for Next { door, entrance, certificates, sockets } in staged.doors {
            if let Some((acceptor, certificates)) = door.porter.entrance().tls.as_ref().zip(certificates) {
                acceptor.show(certificates);
            }
            if let Some(entrance) = entrance {
                door.porter.change(entrance);
            }
            if let Some(sockets) = sockets {
                open(Listener { sockets, porter: door.porter.clone() });
            }
            self.open.push(door);
        }
    }

    /// Reads all certificates anew. A listener goes on with what it shows where something is wrong with any of its own.
    /// Says whose are others now, and what is wrong.
    pub(super) fn renew_certificates(&self, config: &Config, allow_expired: bool) -> (Vec<String>, Vec<Problem>) {
        let (mut renewed, mut problems) = (Vec::new(), Vec::new());
        for door in &self.open {
            let now = door.porter.entrance();
            let Some((tls, shows)) = door.config.tls.as_ref().zip(now.tls.as_ref()) else { continue };
            let renew = |store: Arc<Store>| {
                if asks_clients(&door.config) {
                    let tls = acceptor(Some(store))?;
                    door.porter.change(self.entrance(&door.config, now.index, tls, Shared::of(config)));
                } else {
                    shows.show(store);
                }
                Ok(())
            };
            let wrong = match Store::load(tls, Path::new(""), allow_expired) {
                Ok(store) if *shows.shown() == store => continue,
                Ok(store) => renew(Arc::new(store)).err(),
                Err(wrong) => Some(wrong),
            };
            match wrong {
                None => renewed.push(door.config.name.clone()),
                Some(wrong) => {
                    let serving = format!("listener {} goes on with the certificates it has", door.config.name);
                    problems.extend(wrong.into_iter().map(|problem| problem.serving(serving.as_str())));
                }
            }
        }
        (renewed, problems)
    }

    /// What routes know them by, in the order of the configuration.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.open.iter().map(|door| door.porter.entrance().index).collect()
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
    /// The listeners that will show other certificates than now.
    pub(super) fn renewed(&self) -> impl Iterator<Item = &str> {
        self.doors.iter().filter(|next| next.certificates.is_some()).map(|next| next.door.config.name.as_str())
    }

    /// What routes will know the listeners by, in the order of the configuration.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.doors.iter().map(|next| next.door.porter.entrance().index).collect()
    }
}

/// A listener is its address; where the system chooses the port, its name too.
fn is_same(one: &model::Listener, other: &model::Listener) -> bool {
    let is_any_port = one.address.tcp().is_some_and(|address| address.port() == 0);
    one.address == other.address && (!is_any_port || one.name == other.name)
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
            let entrance = self.entrance(config, number, acceptor(store)?, shared);
            let address = sockets.as_ref().map_or_else(|| config.address.clone(), |bound| bound.address().clone());
            let door = Door { config: config.clone(), porter: Porter::new(entrance), address };
            return Ok(Next { door, entrance: None, certificates: None, sockets });
        };
        let now = door.porter.entrance();
        // The same acceptor where only certificates are others: it has the keys of the tickets that clients hold.
        let same_rules = differ_in_certificates_alone(&door.config, config);
        let other = match (&now.tls, &store) {
            (Some(acceptor), Some(store)) => *acceptor.shown() != **store,
            (None, None) => false,
            _ => true,
        };
        let keeps = same_rules && (!other || !asks_clients(config));
        let (tls, certificates) = match keeps {
            true => (now.tls.clone(), store.filter(|_| other)),
            false => (acceptor(store)?, None),
        };
        let is_same = keeps && door.config == *config && now.tunnels == shared.tunnels;
        let is_same = is_same && now.policy.certificates == shared.certificates;
        let entrance = (!is_same).then(|| self.entrance(config, number, tls, shared));
        let door = Door { config: config.clone(), porter: door.porter.clone(), address: door.address.clone() };
        Ok(Next { door, entrance, certificates, sockets: None })
    }

    fn entrance(&self, config: &model::Listener, index: usize, tls: Option<Acceptor>, shared: Shared) -> Entrance {
        let rules = tls.as_ref().and_then(Acceptor::rules).map(Rules::new);
        let model::SourceLimit { connections, connections_per_source, requests_per_source } = config.limit;
        let is_limited = config.limit != model::SourceLimit::default();
        let policy = Policy {
            rules,
            certificates: shared.certificates,
            trusted: config.trusted_proxies.clone(),
            forwarded: config.forwarded,
            redirect: config.redirect,
            sources: is_limited
                .then(|| Sources::new(Most { connections, connections_per_source, requests_per_source })),
            request_id: config.request_id,
            least_rate: config.timeout.least_rate,
            listener: config.name.as_str().into(),
            figures: self.figures.listener(&config.name),
            access_log: self.log.clone(),
        };
        Entrance {
            index,
            tls,
            timeout: config.timeout,
            limit: config.head,
            proxy_protocol: config.proxy_protocol,
            policy,
            tunnels: shared.tunnels,
        }
    }
}

fn acceptor(store: Option<Arc<Store>>) -> Result<Option<Acceptor>, Vec<Problem>> {
    store.map(Acceptor::new).transpose().map_err(|error| cannot_start(io::Error::other(error)))
}

fn asks_clients(config: &model::Listener) -> bool {
    config.tls.as_ref().is_some_and(|tls| !tls.clients.is_empty())
}

fn differ_in_certificates_alone(one: &model::Listener, other: &model::Listener) -> bool {
    let bare = |listener: &model::Listener| {
        let mut tls = listener.tls.clone()?;
        tls.certificates.clear();
        Some(tls)
    };
    bare(one) == bare(other)
}
