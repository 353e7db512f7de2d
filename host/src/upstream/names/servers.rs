//! Who knows names: the name servers, the file of hosts before them, and the full names that a name may stand for.

use super::ask::{NO_ADDRESS, Unknown};
use crate::config::model;
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{IntoName, Name, RData, RecordType},
    },
    system_conf::read_system_conf,
};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Until a configured name server is asked once more; the system's files say so themselves.
const TRY_MOST: Duration = Duration::from_secs(2);
/// How often it is asked.
const TRIES: usize = 2;

/// Whom to ask, and for what.
#[derive(Clone)]
pub(super) struct Servers {
    resolver: TokioResolver,
    hosts: Arc<Hosts>,
    search: Vec<Name>,
    /// A name with fewer dots is looked for under `search` first.
    dots: usize,
}

impl Servers {
    /// Made anew for each look-up: the system's files may have changed, and what was answered before is kept elsewhere.
    /// Reads files, as many names as `at_once` can be asked for at the same time.
    pub(super) fn of(whom: model::Resolver, at_once: usize) -> Result<Servers, Unknown> {
        let (config, mut options, hosts) = match whom {
            model::Resolver::System => {
                let (config, options) = read_system_conf().map_err(|error| why(&error))?;
                (config, options, Hosts::from_system().unwrap_or_default())
            }
            model::Resolver::Server(address) => {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                server.connections.iter_mut().for_each(|connection| connection.port = address.port());
                let mut options = ResolverOpts::default();
                (options.timeout, options.attempts) = (TRY_MOST, TRIES);
                (ResolverConfig::from_name_servers(vec![server]), options, Hosts::default())
            }
        };
        // Both families of each.
        options.max_active_requests = 2 * at_once;
        Servers::new(config, options, hosts)
    }

    pub(super) fn new(config: ResolverConfig, options: ResolverOpts, hosts: Hosts) -> Result<Servers, Unknown> {
        let dots = options.ndots;
        // The host's own domain is for those who have no list.
        let search = match (config.search(), config.domain()) {
            ([], domain) => domain.into_iter().cloned().collect(),
            (list, _) => list.to_vec(),
        };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let options = builder.options_mut();
        options.cache_size = 0;
        // Read above; the package heeds it for the first of several names alone.
        options.use_hosts_file = ResolveHosts::Never;
        // It counts those after the first; everybody else counts all.
        options.attempts = options.attempts.saturating_sub(1);
        let resolver = builder.build().map_err(|error| why(&error))?;
        Ok(Servers { resolver, hosts: Arc::new(hosts), search, dots })
    }

    /// The full names that this one may stand for, in the order in which they are asked for. They are made here, for the
    /// package would go through them for each family alone, and past a server that fails.
    pub(super) fn names(&self, name: &str) -> Result<Vec<Name>, Unknown> {
        let name = name.into_name().map_err(|error| Unknown::Failed(error.to_string()))?;
        let mut full = name.clone();
        full.set_fqdn(true);
        if name.is_fqdn() || self.of_file(&full).next().is_some() {
            return Ok(vec![full]);
        }
        // What becomes too long is no name.
        let found = self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = found.collect();
        let is_first = usize::from(name.num_labels()) > self.dots || name.is_localhost();
        names.insert(if is_first { 0 } else { names.len() }, full);
        Ok(names)
    }

    /// Addresses by the file of hosts.
    pub(super) fn of_file(&self, name: &Name) -> impl Iterator<Item = IpAddr> {
        let kinds = [RecordType::A, RecordType::AAAA].into_iter();
        let found = kinds.filter_map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)));
        let ips = found.map(|found| found.answers().iter().filter_map(|it| it.data.ip_addr()).collect::<Vec<_>>());
        ips.flatten()
    }

    /// All records of this kind, never none, and for how many seconds the shortest-lived may be believed.
    pub(super) async fn records(&self, name: &Name, kind: RecordType) -> Result<(Vec<RData>, u32), Unknown> {
        let lookup = self.resolver.lookup(name.clone(), kind).await.map_err(|error| why(&error))?;
        // Aliases stand before what they lead to, and may have less time to live.
        let ttl_s = lookup.answers().iter().map(|record| record.ttl).min();
        let records = lookup.answers().iter().map(|record| &record.data).filter(|data| data.record_type() == kind);
        let records: Vec<RData> = records.cloned().collect();
        match ttl_s {
            Some(ttl_s) if !records.is_empty() => Ok((records, ttl_s)),
            _ => Err(Unknown::Nothing(NO_ADDRESS)),
        }
    }
}

fn why(error: &NetError) -> Unknown {
    match error {
        _ if error.is_nx_domain() => Unknown::Nothing("there is no such name"),
        _ if error.is_no_records_found() => Unknown::Nothing(NO_ADDRESS),
        NetError::Timeout => Unknown::Failed("no answer in time".into()),
        NetError::Dns(DnsError::ResponseCode(code)) => Unknown::Failed(format!("the answer is: {code}")),
        other => Unknown::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_under_the_search_list_and_as_it_stands() {
        let list = ["a.test.", "b.test."].map(|it| Name::from_utf8(it).unwrap());
        let config = ResolverConfig::from_parts(Some(Name::from_utf8("own.test.").unwrap()), list.to_vec(), vec![]);
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"10.0.0.1 known\n::1 known\n"[..]).unwrap();
        let servers = Servers::new(config, ResolverOpts::default(), hosts).unwrap();
        let names = |name: &str| servers.names(name).unwrap().iter().map(Name::to_ascii).collect::<Vec<_>>();
        assert_eq!(names("x"), ["x.a.test.", "x.b.test.", "x."]);
        assert_eq!(names("x.y"), ["x.y.", "x.y.a.test.", "x.y.b.test."]);
        assert_eq!(names("x.y."), ["x.y."]);
        assert_eq!(names("known"), ["known."]);
        assert_eq!(servers.of_file(&Name::from_utf8("known.").unwrap()).count(), 2);
    }
}
