//! One look-up: which questions are asked, how long each may take, and what the answers are together.

use super::{Answer, Found, servers::Servers};
use crate::config::model::{self, Lookup};
use hickory_resolver::proto::rr::{
    Name, RData,
    RecordType::{A, AAAA, SRV},
    rdata,
};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

/// A look-up, with all that it takes.
const LOOK_UP_MOST: Duration = Duration::from_secs(10);
/// A service's records, and then each of its hosts: both together end before the look-up does, so that what one host fails
/// to say is not lost with the rest.
const PART_MOST: Duration = Duration::from_secs(4);
/// The second family, once the first has brought addresses: some servers never answer for one that they do not know.
const OTHER_FAMILY_MOST: Duration = Duration::from_secs(1);
/// Hosts of one service that are looked up; of more, the first by priority and weight.
pub const HOSTS_MOST: usize = 64;
/// The most that a backend weighs.
const WEIGHT_MOST: u32 = 1000;

/// Why nothing is known; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Somebody knows that there is nothing.
    Nothing(&'static str),
    /// Nobody can say, or what is said is of no use.
    Failed(String),
}

pub(super) const NO_ADDRESS: &str = "the name has no address";

/// Looks up all that a name stands for. What it was found to stand for `before` is kept as far as nobody can say now: the
/// addresses of one family, or of one host of a service.
pub(super) async fn ask(whom: model::Resolver, lookup: &Lookup, before: &[Found]) -> Result<Answer, String> {
    let servers =
        spawn_blocking(move || Servers::of(whom, HOSTS_MOST)).await.map_err(|_| "the process is about to end")?;
    let servers = servers.map_err(Unknown::into_text)?;
    let looked_up = timeout(LOOK_UP_MOST, all(&servers, lookup, before)).await.map_err(|_| late(LOOK_UP_MOST));
    looked_up.and_then(|answer| answer).map_err(Unknown::into_text)
}

/// By the first full name that is known. Where nobody can say, none after it is asked for: it may be somebody else's.
async fn all(servers: &Servers, lookup: &Lookup, before: &[Found]) -> Result<Answer, Unknown> {
    let mut unknown = Unknown::Nothing(NO_ADDRESS);
    for name in servers.names(lookup.name())? {
        let answer = match lookup {
            Lookup::Host { port, .. } => host(servers, &name, *port, before).await,
            Lookup::Service(_) => service(servers, &name, before).await,
        };
        match answer {
            Err(nothing @ Unknown::Nothing(_)) => unknown = nothing,
            known => return known,
        }
    }
    Err(unknown)
}

async fn host(servers: &Servers, name: &Name, port: u16, before: &[Found]) -> Result<Answer, Unknown> {
    let host = name.to_ascii();
    let known = addresses(servers, name, &known(before, &host)).await?;
    let found = known.ips.into_iter().map(|ip| Found {
        priority: 0,
        address: (ip, port).into(),
        weight: None,
        host: host.clone(),
    });
    let answer = Answer::new(found.collect(), known.ttl_s).ok_or(Unknown::Nothing(NO_ADDRESS))?;
    Ok(Answer { is_partial: known.is_partial, ..answer })
}

/// RFC 2782. Once there are records, no other name is asked for.
async fn service(servers: &Servers, name: &Name, before: &[Found]) -> Result<Answer, Unknown> {
    let records = timeout(PART_MOST, servers.records(name, SRV)).await.unwrap_or_else(|_| Err(late(PART_MOST)));
    let (records, mut ttl_s) = records?;
    let mut records: Vec<rdata::SRV> = records.into_iter().filter_map(as_service).collect();
    records.sort_by_cached_key(|record| (record.priority, Reverse(record.weight), host_of(record)));
    let mut asked = JoinSet::new();
    let mut hosts: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
    let mut is_cut = false;
    for host in records.iter().map(host_of) {
        if hosts.contains_key(&host) {
            continue;
        }
        if hosts.len() == HOSTS_MOST {
            is_cut = true;
            break;
        }
        hosts.insert(host.clone(), Vec::new());
        let (servers, before) = (servers.clone(), known(before, &host.to_ascii()));
        asked.spawn(async move {
            let known = timeout(PART_MOST, addresses(&servers, &host, &before)).await;
            (host, known.unwrap_or_else(|_| Err(late(PART_MOST))).map_err(|why| (why, before)))
        });
    }
    let (mut unknown, mut is_partial) = (Unknown::Failed("no host of the service has an address".into()), false);
    while let Some(Ok((host, looked_up))) = asked.join_next().await {
        let ips = match looked_up {
            Ok(known) => {
                ttl_s = ttl_s.min(known.ttl_s);
                is_partial |= known.is_partial;
                known.ips
            }
            Err((Unknown::Failed(why), before)) => {
                is_partial = true;
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
            host: host.to_ascii(),
        })
    });
    let answer = Answer::new(found.collect(), ttl_s).ok_or(unknown)?;
    Ok(Answer { is_partial, is_cut: is_cut || answer.is_cut, ..answer })
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
    /// Nobody can say anything of one family.
    is_partial: bool,
}

/// Of both families. Who fails for one of them, while the other has some, is believed to have those it had.
async fn addresses(servers: &Servers, host: &Name, before: &[IpAddr]) -> Result<Addresses, Unknown> {
    let mut all = Addresses { ips: servers.of_file(host).collect(), ttl_s: u32::MAX, is_partial: false };
    if !all.ips.is_empty() {
        return Ok(all);
    }
    let (mut kept, mut unknown) = (Vec::<IpAddr>::new(), None);
    for (family, is_four) in both(servers, host).await.into_iter().zip([true, false]) {
        match family {
            Ok((records, ttl_s)) => {
                all.ips.extend(records.iter().filter_map(RData::ip_addr));
                all.ttl_s = all.ttl_s.min(ttl_s);
            }
            Err(failed @ Unknown::Failed(_)) => {
                kept.extend(before.iter().filter(|ip| ip.is_ipv4() == is_four));
                all.is_partial = true;
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

type Family = Result<(Vec<RData>, u32), Unknown>;

/// At the same time; IPv4, then IPv6.
async fn both(servers: &Servers, host: &Name) -> [Family; 2] {
    let (mut four, mut six) = (pin!(servers.records(host, A)), pin!(servers.records(host, AAAA)));
    tokio::select! {
        known = &mut four => {
            let six = other(&known, six).await;
            [known, six]
        }
        known = &mut six => [other(&known, four).await, known],
    }
}

/// Where there are addresses, nobody waits long for more; where there are none, all depends on the other family.
async fn other(first: &Family, other: impl Future<Output = Family>) -> Family {
    match first {
        Ok(_) => timeout(OTHER_FAMILY_MOST, other).await.unwrap_or_else(|_| Err(late(OTHER_FAMILY_MOST))),
        Err(_) => other.await,
    }
}

/// What a host was found to have.
fn known(before: &[Found], host: &str) -> Vec<IpAddr> {
    before.iter().filter(|found| found.host == host).map(|found| found.address.ip()).collect()
}

fn as_service(data: RData) -> Option<rdata::SRV> {
    match data {
        // Its domain says so when it has no such service.
        RData::SRV(record) if !record.target.is_root() => Some(record),
        _ => None,
    }
}

fn host_of(record: &rdata::SRV) -> Name {
    record.target.to_lowercase()
}

fn late(most: Duration) -> Unknown {
    Unknown::Failed(format!("no answer within {most:?}"))
}

impl Unknown {
    pub(super) fn into_text(self) -> String {
        match self {
            Unknown::Nothing(text) => text.into(),
            Unknown::Failed(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::{
        Hosts,
        config::{NameServerConfig, ResolverConfig, ResolverOpts},
        proto::{
            op::{Message, OpCode, ResponseCode},
            rr::{Record, RecordType},
        },
    };
    use std::{net::Ipv4Addr, str::FromStr};
    use tokio::net::UdpSocket;

    /// What it says of a name: these addresses, or that it cannot; none: silence.
    type Said = Option<Result<&'static [&'static str], ResponseCode>>;

    /// Servers with the search list `a.test`, `b.test` and one name server, that says this.
    async fn servers(says: fn(&str, RecordType) -> Said) -> Servers {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut server = NameServerConfig::udp((Ipv4Addr::LOCALHOST).into());
        server.connections[0].port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                let query = asked.queries[0].clone();
                let Some(said) = says(&query.name.to_lowercase().to_ascii(), query.query_type) else { continue };
                let mut answer = Message::response(asked.metadata.id, OpCode::Query);
                match said {
                    Ok(ips) => answer.add_answers(ips.iter().map(|ip| {
                        let ip = IpAddr::from_str(ip).unwrap();
                        Record::from_rdata(query.name.clone(), 60, ip.into())
                    })),
                    Err(code) => {
                        answer.metadata.response_code = code;
                        &mut answer
                    }
                };
                answer.add_query(query);
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        let list = ["a.test.", "b.test."].map(|it| Name::from_utf8(it).unwrap());
        let config = ResolverConfig::from_parts(None, list.to_vec(), vec![server]);
        Servers::new(config, ResolverOpts::default(), Hosts::default()).unwrap()
    }

    fn lookup() -> Lookup {
        Lookup::Host { name: "app".into(), port: 80 }
    }

    fn found(answer: &Answer) -> Vec<String> {
        answer.found.iter().map(|found| format!("{}{}", found.host, found.address.ip())).collect()
    }

    #[tokio::test]
    async fn both_families_are_of_one_name_of_the_search_list() {
        let servers = servers(|name, kind| match (name, kind) {
            ("app.b.test.", A) => Some(Ok(&["10.0.0.1"])),
            ("app.b.test.", _) => Some(Ok(&[])),
            // A foreign one, which only who looks for each family alone would find.
            ("app.", AAAA) => Some(Ok(&["2001:db8::1"])),
            _ => Some(Err(ResponseCode::NXDomain)),
        });
        let answer = all(&servers.await, &lookup(), &[]).await.unwrap();
        assert_eq!(found(&answer), ["app.b.test.10.0.0.1"]);
        assert!(!answer.is_partial);
    }

    #[tokio::test]
    async fn a_search_ends_where_nobody_can_say() {
        let servers = servers(|name, _| match name {
            "app.a.test." => Some(Err(ResponseCode::ServFail)),
            _ => Some(Ok(&["10.0.0.1"])),
        });
        assert!(matches!(all(&servers.await, &lookup(), &[]).await, Err(Unknown::Failed(_))));
    }

    #[tokio::test]
    async fn a_name_that_is_nowhere_is_nothing() {
        let servers = servers(|_, _| Some(Err(ResponseCode::NXDomain)));
        assert_eq!(all(&servers.await, &lookup(), &[]).await, Err(Unknown::Nothing("there is no such name")));
    }

    #[tokio::test]
    async fn a_silent_family_keeps_what_it_had_and_makes_a_partial_answer() {
        let servers = servers(|name, kind| match (name, kind) {
            ("app.a.test.", A) => Some(Ok(&["10.0.0.1"])),
            _ => None,
        });
        let had = ["10.0.0.9:80", "[2001:db8::9]:80"].map(|it| Found::of_host("app.a.test.", it.parse().unwrap()));
        let answer = all(&servers.await, &lookup(), &had).await.unwrap();
        assert_eq!(found(&answer), ["app.a.test.10.0.0.1", "app.a.test.2001:db8::9"]);
        assert!(answer.is_partial);
    }

    #[test]
    fn weights_of_services_keep_their_shares() {
        assert_eq!([0, 1, 10, 1000].map(|weight| share(weight, 1000)), [1, 1, 10, 1000]);
        assert_eq!([0, 1, 30_000, 60_000].map(|weight| share(weight, 60_000)), [1, 1, 500, 1000]);
    }
}
