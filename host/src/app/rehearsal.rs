//! What a start would find, without serving: certificates are read, addresses bound and let go, plugins admitted,
//! backends asked once. `check` prints it.

use super::{Options, cannot_start, prepare, side_runtime, status};
use crate::{
    admin::{self, api},
    config::model::Config,
    figures::Figures,
    net::Address,
    problem::Problem,
    server::Sockets,
    tls::Certificate,
};
use std::{net::SocketAddr, path::Path, sync::Arc};

/// What a start would find.
#[derive(Debug)]
pub struct Rehearsal {
    /// All certificates of all listeners.
    pub certificates: Vec<Result<Certificate, Problem>>,
    /// The addresses of all listeners, and whether they could be listened on.
    pub ports: Vec<(Address, Result<(), Problem>)>,
    /// Whether the admin address could be listened on.
    pub admin: Result<(), Problem>,
    /// The address for metrics, if one is configured, and whether it could be listened on.
    pub metrics: Option<(SocketAddr, Result<(), Problem>)>,
    /// Every plugin that was admitted or refused.
    pub plugins: Vec<api::Plugin>,
    /// What is wrong with plugins; with `strict` a start would be refused for it.
    pub amiss: Vec<Problem>,
    /// Names of backends that have no address.
    pub names: Vec<Problem>,
    /// The pools and how their backends stand after one check.
    pub pools: Vec<api::Pool>,
}

impl Rehearsal {
    /// Goes through a start. Blocking; not for use within an async runtime.
    ///
    /// # Errors
    /// What keeps a plugin from being tried at all: the system gives no thread or memory.
    pub fn of(config: &Config, options: &Options) -> Result<Rehearsal, Vec<Problem>> {
        let config = &config.clone().allowing_expired(options.allow_expired);
        let sources =
            config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificates);
        let certificates =
            sources.map(|source| Certificate::load(source, Path::new(""), options.allow_expired)).collect();
        // Bound all at once, as a start does, so that two listeners cannot have the same port one after the other.
        let ports: Vec<_> =
            config.listeners.iter().map(|listener| (listener.address.clone(), Sockets::bind(listener, 1))).collect();
        let ports = ports.into_iter().map(|(address, bound)| (address, bound.map(drop))).collect();
        let admin = admin::try_bind(&config.admin);
        let metrics = config.metrics.map(|address| (address, admin::try_bind_metrics(address)));

        let side = side_runtime().map_err(cannot_start)?;
        let listeners: Vec<_> = (0..config.listeners.len()).map(|number| (number, Arc::default())).collect();
        let prepared = prepare(config, options, &listeners, &Figures::new(1), &side)?;
        let (pools, plugins) = status::told(&prepared.applier.cell().load(), &prepared.applier.board().entries());
        Ok(Rehearsal {
            certificates,
            ports,
            admin,
            metrics,
            plugins,
            names: prepared.answers.problems(),
            amiss: prepared.amiss,
            pools,
        })
    }
}
