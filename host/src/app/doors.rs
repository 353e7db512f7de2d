//! The listeners that are open. A reload keeps those whose address stays: their sockets, and the connections on them, are
//! not touched. How connections come in goes for those to come; what holds for requests (the policy) is handed to the
//! snapshot, and so holds on all of them at once.

use super::door::{Door, Next, Shared};
use crate::{
    admin::api,
    config::model::{self, Config},
    figures::Figures,
    net::Address,
    problem::Problem,
    server::{Listener, Porter, Sockets},
    state::Numbered,
    telemetry::access_log::AccessLog,
    tls::Acceptor,
};
use std::{sync::Arc, time::SystemTime};

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

/// Doors as another configuration wants them, with all that could be refused already made.
#[derive(Debug)]
pub(super) struct Staged {
    doors: Vec<Next>,
    next: usize,
}

/// What became of those that were staged.
#[derive(Debug)]
pub(super) struct Published {
    /// Those that the configuration does not have, on their way out.
    pub closing: Vec<Arc<Porter>>,
    /// What the system refused, where nothing is lost by it.
    pub warnings: Vec<Problem>,
}

impl Doors {
    /// None is open yet.
    pub(super) fn new(figures: Arc<Figures>, log: Option<Arc<AccessLog>>) -> Doors {
        Doors { figures, log, open: Vec::new(), closing: Vec::new(), next: 0 }
    }

    /// Reads certificates and binds what is not open yet. What is wrong stands beside what is not: a door that cannot be
    /// opened is left out.
    pub(super) fn stage(&self, config: &Config) -> (Staged, Vec<Problem>) {
        let mut staged = Staged { doors: Vec::new(), next: self.next };
        let mut problems = Vec::new();
        let shared = Shared::of(config, &self.figures, self.log.as_ref());
        let mut left: Vec<&Door> = self.open.iter().collect();
        let kept: Vec<_> = config.listeners.iter().map(|listener| take(&mut left, listener)).collect();
        for (listener, kept) in config.listeners.iter().zip(kept) {
            let next = match kept {
                Some(door) => door.next(listener, shared),
                None => {
                    let number = staged.next;
                    staged.next += 1;
                    Next::new(listener, number, self.bind(listener, &left, config.server.workers), shared)
                }
            };
            match next {
                Ok(next) => staged.doors.push(next),
                Err(refused) => problems.extend(refused),
            }
        }
        (staged, problems)
    }

    /// `going`: the doors that this configuration does not have.
    fn bind(&self, listener: &model::Listener, going: &[&Door], workers: usize) -> Result<Sockets, Problem> {
        let mut ours = going.iter().map(|door| &door.address).chain(self.closing.iter().map(|(_, at)| at));
        match ours.any(|at| overlap(at, &listener.address)) {
            true => Sockets::bind_beside(listener, workers),
            false => Sockets::bind(listener, workers),
        }
    }

    /// Puts the next ones in force; `open` is given those that are new. First those change that stay, for this waits for
    /// nobody; new ones may wait for busy workers; and those that the next configuration does not have are closed when
    /// others are there in their place.
    pub(super) fn publish(&mut self, staged: Staged, mut open: impl FnMut(Listener)) -> Published {
        self.next = staged.next;
        let mut before = std::mem::take(&mut self.open);
        let mut warnings = Vec::new();
        let mut new = Vec::new();
        for mut next in staged.doors {
            let old = before.iter().position(|old| Arc::ptr_eq(&old.porter, &next.door.porter));
            if let Some(old) = old.map(|at| before.remove(at)) {
                warnings.extend(next.change(&old));
            }
            new.extend(next.sockets.map(|sockets| Listener { sockets, porter: next.door.porter.clone() }));
            self.open.push(next.door);
        }
        new.into_iter().for_each(&mut open);
        before.iter().for_each(|door| door.porter.close());
        self.closing.extend(before.iter().map(|door| (door.porter.entrance().number, door.address.clone())));
        Published { closing: before.into_iter().map(|door| door.porter).collect(), warnings }
    }

    /// Nothing is left of a listener that was closed.
    pub(super) fn closed(&mut self, number: usize) {
        self.closing.retain(|(closing, _)| *closing != number);
    }

    /// What routes know them by, and what holds for their requests, in the order of the configuration.
    pub(super) fn listeners(&self) -> Vec<Numbered> {
        let entrances = self.open.iter().map(|door| door.porter.entrance());
        entrances.map(|entrance| (entrance.number, entrance.policy.clone())).collect()
    }

    /// What was written of them, in the order of the configuration; a mode that the system refused is not among it.
    pub(super) fn configs(&self) -> impl Iterator<Item = &model::Listener> {
        self.open.iter().map(|door| &door.config)
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
    pub(super) fn stale(&self) -> impl Iterator<Item = &Problem> {
        self.doors.iter().flat_map(|next| &next.stale)
    }

    /// What routes will know the listeners by, and what will hold for their requests, in the order of the configuration.
    pub(super) fn listeners(&self) -> Vec<Numbered> {
        let numbered = |next: &Next| match &next.entrance {
            Some(entrance) => (entrance.number, entrance.policy.clone()),
            None => {
                let now = next.door.porter.entrance();
                (now.number, now.policy.clone())
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

/// The open door that goes on as this listener, out of those that are left.
fn take<'a>(left: &mut Vec<&'a Door>, listener: &model::Listener) -> Option<&'a Door> {
    left.iter().position(|door| is_same(&door.config, listener)).map(|at| left.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::{path::Path, time::Duration};

    #[test]
    fn who_stays_changes_before_anybody_waits_for_who_is_new() {
        let listener = |name: &str, idle: u64| {
            format!("[[listen]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\ntimeout = {{ idle = \"{idle}s\" }}\n")
        };
        let pool = "[pool.shop]\nbackends = [\"127.0.0.1:1\"]\n";
        let mut doors = Doors::new(Arc::new(Figures::new(1)), None);
        let staged = |doors: &Doors, listeners: [String; 2]| {
            let config = config::parse(&(listeners.concat() + pool), Path::new("test.toml")).unwrap();
            let (staged, problems) = doors.stage(&config);
            assert_eq!(problems, []);
            staged
        };
        let first = staged(&doors, [listener("goes", 1), listener("stays", 1)]);
        doors.publish(first, drop);
        let [goes, stays] = [0, 1].map(|at| doors.open[at].porter.clone());
        let second = staged(&doors, [listener("new", 1), listener("stays", 2)]);
        let mut opened = 0;
        let published = doors.publish(second, |new| {
            opened += 1;
            assert_eq!(new.porter.entrance().policy.listener.as_ref(), "new");
            assert_eq!(stays.entrance().timeout.idle, Duration::from_secs(2));
        });
        assert_eq!(opened, 1);
        assert!(published.closing.len() == 1 && Arc::ptr_eq(&published.closing[0], &goes));
    }
}
