//! One look-up. What speaks to name servers is a package's, and is named here alone.

use super::{Answer, Found};
use crate::config::model::{self, Lookup};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{
        RData,
        RecordType::{self, A, AAAA, SRV},
        rdata,
    },
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

/// A look-up, with all that it takes.
const LOOK_UP_MOST: Duration = Duration::from_secs(10);
/// Until a configured name server is asked again, and how often it is; the system's says so itself.
const TRY_MOST: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// Hosts of one service that are looked up.
const HOSTS_MOST: usize = 64;
/// The most that a backend weighs.
const WEIGHT_MOST: u32 = 1000;

/// Why nothing is known; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unknown {
    /// Somebody knows that there is nothing.
    Nothing(&'static str),
    /// Nobody can say.
    Failed(String),
}

const NO_ADDRESS: &str = "the name has no address";

/// Looks up all that a name stands for. What it was found to stand for `before` is kept as far as nobody can say now: the
/// addresses of one family, or of one host of a service.
pub(super) async fn ask(whom: model::Resolver, lookup: &Lookup, before: &[Found]) -> Result<Answer, String> {
    // Files are read for it.
    let resolver = spawn_blocking(move || resolver(whom)).await.map_err(|_| "the process is about to end")?;
    let resolver = resolver.map_err(|error| why(&error).into_text())?;
    let looked_up = async {
        match lookup {
            Lookup::Host { name, port } => host(&resolver, name, *port, before).await,
            Lookup::Service(name) => service(&resolver, name, before).await,
        }
    };
    let looked_up = timeout(LOOK_UP_MOST, looked_up).await.map_err(|_| format!("no answer within {LOOK_UP_MOST:?}"))?;
    looked_up.map_err(Unknown::into_text)
}

/// Made anew for each look-up: the system's files may have changed, and what was answered before is kept elsewhere.
fn resolver(whom: model::Resolver) -> Result<TokioResolver, NetError> {
    let mut builder = match whom {
        model::Resolver::System => TokioResolver::builder_tokio()?,
        model::Resolver::Server(address) => {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            server.connections.iter_mut().for_each(|connection| connection.port = address.port());
            let config = ResolverConfig::from_name_servers(vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            let options = builder.options_mut();
            (options.timeout, options.attempts) = (TRY_MOST, TRIES);
            options.use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    // Both families of all hosts of a service at the same time.
    options.max_active_requests = 2 * HOSTS_MOST;
    builder.build()
}

async fn host(resolver: &TokioResolver, name: &str, port: u16, before: &[Found]) -> Result<Answer, Unknown> {
    let known = addresses(resolver.clone(), name.to_owned(), known(before, name)).await?;
    let found = known.ips.into_iter().map(|ip| Found {
        priority: 0,
        address: (ip, port).into(),
        weight: None,
        host: name.to_owned(),
    });
    Answer::new(found.collect(), known.ttl_s).ok_or(Unknown::Nothing(NO_ADDRESS))
}

/// RFC 2782.
async fn service(resolver: &TokioResolver, name: &str, before: &[Found]) -> Result<Answer, Unknown> {
    let (records, mut ttl_s) = records(resolver, name, SRV).await?;
    let records: Vec<rdata::SRV> = records.into_iter().filter_map(as_service).collect();
    let mut asked = JoinSet::new();
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = records.iter().map(host_of).map(|host| (host, Vec::new())).collect();
    for host in hosts.keys().take(HOSTS_MOST).cloned() {
        let (resolver, before) = (resolver.clone(), known(before, &host));
        asked.spawn(async move {
            (host.clone(), addresses(resolver, host, before.clone()).await.map_err(|why| (why, before)))
        });
    }
    let mut unknown = Unknown::Nothing(NO_ADDRESS);
    while let Some(Ok((host, looked_up))) = asked.join_next().await {
        let ips = match looked_up {
            Ok(known) => {
                ttl_s = ttl_s.min(known.ttl_s);
                known.ips
            }
            Err((Unknown::Failed(why), before)) => {
                unknown = Unknown::Failed(format!("{host}: {why}"));
                before
            }
            // Not offered there any more.
            Err((Unknown::Nothing(_), _)) => Vec::new(),
        };
        hosts.insert(host, ips);
    }
    let heaviest = records.iter().map(|record| record.weight).max().unwrap_or_default();
    let found = records.iter().flat_map(|record| {
        let host = host_of(record);
        let ips = hosts.get(&host).cloned().unwrap_or_default();
        ips.into_iter().map(move |ip| Found {
            priority: record.priority.into(),
            address: SocketAddr::new(ip, record.port),
            weight: Some(share(record.weight, heaviest)),
            host: host.clone(),
        })
    });
    Answer::new(found.collect(), ttl_s).ok_or(unknown)
}

/// A service's weights reach to 65535, a pool's to 1000; and 0, which for a service means little work, is none here.
fn share(weight: u16, heaviest: u16) -> u32 {
    let (weight, heaviest) = (u32::from(weight), u32::from(heaviest));
    let scaled = if heaviest > WEIGHT_MOST { weight * WEIGHT_MOST / heaviest } else { weight };
    scaled.max(1)
}

/// Addresses of a host.
#[derive(Debug)]
struct Addresses {
    ips: Vec<IpAddr>,
    ttl_s: u32,
}

/// Of both families. Who fails for one of them, while the other has some, is believed to have those it had.
async fn addresses(resolver: TokioResolver, host: String, before: Vec<IpAddr>) -> Result<Addresses, Unknown> {
    let (four, six) = tokio::join!(records(&resolver, &host, A), records(&resolver, &host, AAAA));
    let mut all = Addresses { ips: Vec::new(), ttl_s: u32::MAX };
    let (mut kept, mut unknown) = (Vec::<IpAddr>::new(), None);
    for (family, is_four) in [(four, true), (six, false)] {
        match family {
            Ok((records, ttl_s)) => {
                all.ips.extend(records.iter().filter_map(RData::ip_addr));
                all.ttl_s = all.ttl_s.min(ttl_s);
            }
            Err(failed @ Unknown::Failed(_)) => {
                kept.extend(before.iter().filter(|ip| ip.is_ipv4() == is_four));
                unknown = Some(failed);
            }
            Err(nothing) => unknown = unknown.or(Some(nothing)),
        }
    }
    match unknown {
        Some(unknown) if all.ips.is_empty() => Err(unknown),
        _ => {
            all.ips.extend(kept);
            Ok(all)
        }
    }
}

/// What a host was found to have.
fn known(before: &[Found], host: &str) -> Vec<IpAddr> {
    before.iter().filter(|found| found.host == host).map(|found| found.address.ip()).collect()
}

/// All records of this kind, never none, and for how many seconds the shortest-lived may be believed.
async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<(Vec<RData>, u32), Unknown> {
    let lookup = resolver.lookup(name, kind).await.map_err(|error| why(&error))?;
    // Aliases stand before what they lead to, and may have less time to live.
    let ttl_s = lookup.answers().iter().map(|record| record.ttl).min();
    let records = lookup.answers().iter().map(|record| &record.data).filter(|data| data.record_type() == kind);
    let records: Vec<RData> = records.cloned().collect();
    match ttl_s {
        Some(ttl_s) if !records.is_empty() => Ok((records, ttl_s)),
        _ => Err(Unknown::Nothing(NO_ADDRESS)),
    }
}

fn as_service(data: RData) -> Option<rdata::SRV> {
    match data {
        // Its domain says so when it has no such service.
        RData::SRV(record) if !record.target.is_root() => Some(record),
        _ => None,
    }
}

fn host_of(record: &rdata::SRV) -> String {
    record.target.to_lowercase().to_ascii()
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

impl Unknown {
    fn into_text(self) -> String {
        match self {
            Unknown::Nothing(text) => text.into(),
            Unknown::Failed(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_services_keep_their_shares() {
        assert_eq!([0, 1, 10, 1000].map(|weight| share(weight, 1000)), [1, 1, 10, 1000]);
        assert_eq!([0, 1, 30_000, 60_000].map(|weight| share(weight, 60_000)), [1, 1, 500, 1000]);
    }
}
