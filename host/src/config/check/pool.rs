//! What the keys of pools mean together.

use super::{Unique, cookie, from_base, health, probe, size_within, time, time_within};
use crate::{
    config::{
        file,
        model::{
            Backend, BackendTls, BalancerChoice, CertificateSource, DEFAULT_BALANCER, Eject, Link, Named, Pool,
            PoolLimit, PoolTimeout, Protocol, Reported, Retry, Roots, Share,
        },
        read::{At, Reader},
        shapes::{BackendAddress, Balancers, Percent, Place, Settings, Switch, Text},
    },
    net::{Address, NOBODY},
    problem::{Code, Problem},
};
use std::{path::Path, time::Duration};

/// Every request under way may hold so much.
const REPLAY: (u64, u64) = (0, 16 << 20);
/// Shorter, and a busy backend is taken for a dead one; longer finds nothing in time.
const PING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// Shorter, and what a backend of few requests reports never counts; longer, and it says nothing of now.
const FRESH: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

/// All names that the file defines, those of broken pools too, and the pools in the order of their names.
pub(super) fn pools(
    named: Option<At<crate::config::shapes::Named<file::Pool>>>,
    base: &Path,
    reader: &mut Reader,
) -> (Vec<String>, Vec<Pool>) {
    let Some(named) = named else { return Default::default() };
    if named.it.0.is_empty() {
        let problem = Problem::error(Code::BAD_VALUE, "there is no pool").at(reader.spot(&named.span), "expected one");
        reader.tell(problem);
    }
    let mut names: Vec<_> = named.it.0.iter().map(|(name, _)| name.it.clone()).collect();
    names.sort();
    let pools = named.it.0.into_iter().filter_map(|(name, pool)| Some(self::pool(name, pool?, base, reader)));
    let mut pools: Vec<_> = pools.collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    (names, pools)
}

fn pool(name: At<String>, pool: file::Pool, base: &Path, reader: &mut Reader) -> Pool {
    let tls = pool.tls.and_then(|at| backend_tls(at, base, reader));
    let spot = pool.balancer.as_ref().map(|at| &at.span).or(pool.settings.as_ref().map(|at| &at.span));
    let spot = Some(reader.spot(spot.unwrap_or(&name.span)));
    let (balancer, settings, then) = balancers(pool.balancer, pool.settings, reader);
    let protocol = protocol(pool.protocol, tls.is_some(), pool.proxy_protocol.is_some(), reader);
    let (backends, names) = backends(&name.it, pool.backends.map_or_else(Vec::new, |at| at.it.0), base, reader);
    Pool {
        spot,
        backends,
        names,
        protocol,
        proxy_protocol: pool.proxy_protocol.map(|at| at.it),
        tls,
        balancer: BalancerChoice::Named(balancer),
        settings,
        then,
        fallback: pool.fallback.map(|at| at.it).unwrap_or_default(),
        hash: pool.hash.map(|at| at.it),
        health: pool.health.map(|at| health::health(at.it, protocol, reader)).unwrap_or_default(),
        eject: pool.eject.map_or_else(|| Some(Eject::default()), |at| health::eject(at.it, reader)),
        tiers: pool.tiers.map(|at| at.it).unwrap_or_default(),
        cookie: pool.cookie.and_then(|at| at.it.0).map(|it| cookie::cookie(&name.it, it, base, reader)),
        panic: pool.panic.and_then(|at| at.it.0),
        slow_start: health::slow_start(pool.slow_start, reader),
        timeout: pool.timeout.map(|at| pool_timeout(at.it.0, reader)).unwrap_or_default(),
        retry: pool.retry.map(|at| retry(&at.it, reader)).unwrap_or_default(),
        hedge: pool.hedge.and_then(|at| time(&at.it.after)),
        share: pool.share.and_then(|at| share(&at, reader)),
        limit: pool.limit.map(|at| pool_limit(&at.it)),
        reported: pool.reported.and_then(|at| at.it.0).map(|it| reported(it, reader)),
        probe: pool.probe.and_then(|at| probe::probe(at, reader)),
        name: name.it,
    }
}

/// Bounds that some shares keep.
fn share(At { it, span }: &At<file::Share>, reader: &mut Reader) -> Option<Share> {
    let percent = |at: &Option<At<Percent>>| at.as_ref().map(|at| at.it.0);
    let share = Share { least: percent(&it.least), most: percent(&it.most) };
    if let (Some(least), Some(most)) = (share.least, share.most)
        && least > most
    {
        let problem = Problem::error(Code::BAD_VALUE, "the least share is more than the greatest");
        reader.tell(problem.at(reader.spot(span), format!("`least` is {least}%, `most` {most}%")));
        return None;
    }
    Some(share)
}

/// The name and the settings of the first balancer, and those behind it.
fn balancers(
    written: Option<At<Balancers>>,
    settings: Option<At<Settings>>,
    reader: &mut Reader,
) -> (String, String, Vec<Link>) {
    let json = |settings: Option<At<Settings>>| settings.map_or_else(|| "{}".into(), |at| at.it.0);
    let chain = match written {
        None => return (DEFAULT_BALANCER.into(), json(settings), Vec::new()),
        Some(At { it: Balancers::One(name), .. }) => return (name.0, json(settings), Vec::new()),
        Some(At { it: Balancers::Chain(chain), .. }) => chain,
    };
    if let Some(settings) = settings {
        let problem = Problem::error(Code::BAD_VALUE, "`settings` of several balancers: each has its own");
        let label = "expected them in the list: balancer = [{ plugin = \"…\", settings = { … } }, …]";
        reader.tell(problem.at(reader.spot(&settings.span), label));
    }
    let mut links = chain.into_iter().map(|At { it, span }| Link {
        plugin: it.plugin.map_or_else(|| DEFAULT_BALANCER.into(), |at| at.it.0),
        settings: json(it.settings),
        spot: Some(reader.spot(&span)),
    });
    match links.next() {
        Some(first) => (first.plugin, first.settings, links.collect()),
        None => (DEFAULT_BALANCER.into(), json(None), Vec::new()),
    }
}

/// Those with an address, and those by name.
fn backends(
    pool: &str,
    written: Vec<At<file::Backend>>,
    base: &Path,
    reader: &mut Reader,
) -> (Vec<Backend>, Vec<Named>) {
    let mut names = Unique::default();
    let (mut backends, mut named) = (Vec::new(), Vec::new());
    for At { it: backend, span } in written {
        let Some(At { it: BackendAddress { place, host, written }, .. }) = backend.address else { continue };
        let (name, span) = match backend.name {
            Some(name) => (name.it.0, name.span),
            None => (written, span),
        };
        names.add(&name, &span, |name| format!("two backends of pool {pool:?} are called {name:?}"), reader);
        let backend = |address: Address| Backend {
            name,
            address,
            host,
            weight: backend.weight.map_or(1, |at| at.it.0),
            priority: backend.priority.map_or(0, |at| at.it.0),
            zone: backend.zone.map(|at| at.it.0).unwrap_or_default(),
            metadata: backend.metadata.map(|at| at.it.0).unwrap_or_default(),
        };
        match place {
            Place::Address(address) => backends.push(backend(from_base(address, base))),
            Place::Lookup(lookup) => named.push(Named { lookup, each: backend(NOBODY.into()) }),
        }
    }
    (backends, named)
}

fn backend_tls(At { it, span }: At<Switch<file::BackendTls>>, base: &Path, reader: &mut Reader) -> Option<BackendTls> {
    let tls = it.0?;
    let spot = Some(reader.spot(&span));
    let identity = match (tls.cert, tls.key) {
        (Some(cert), Some(key)) => Some(CertificateSource::Files {
            cert: base.join(cert.it.0),
            key: base.join(key.it.0),
            spot: Some(reader.spot(&cert.span)),
        }),
        (Some(alone), None) | (None, Some(alone)) => {
            let headline = "a certificate needs its key, and a key its certificate";
            let problem = Problem::error(Code::BAD_VALUE, headline);
            reader.tell(problem.at(reader.spot(&alone.span), "expected both `cert` and `key`"));
            None
        }
        (None, None) => None,
    };
    let file = |at: At<Text>| Roots::File { path: base.join(at.it.0), spot: Some(reader.spot(&at.span)) };
    Some(BackendTls {
        roots: tls.ca.map_or(Roots::System, file),
        sni: tls.sni.map(|at| at.it.0),
        identity,
        allow_expired: false,
        dangerous_skip_verification: tls.dangerous_skip_verification.is_some_and(|at| at.it),
        spot,
    })
}

/// Without a handshake nothing can be agreed on; and a connection that is told to be one client's is not shared.
fn protocol(written: Option<At<Protocol>>, tls: bool, told: bool, reader: &mut Reader) -> Protocol {
    match written {
        Some(At { it: Protocol::Http2 | Protocol::Auto, span }) if told => {
            let headline = "`proxy_protocol` needs `protocol` \"h1\": HTTP/2 carries many clients on one connection";
            reader.tell(Problem::error(Code::BAD_VALUE, headline).at(reader.spot(&span), "expected \"h1\""));
            Protocol::Http1
        }
        None if told => Protocol::Http1,
        Some(At { it: Protocol::Auto, span }) if !tls => {
            let problem =
                Problem::error(Code::BAD_VALUE, "`protocol` \"auto\" needs `tls`: its handshake agrees on one");
            reader.tell(problem.at(reader.spot(&span), "expected \"h1\" or \"h2\""));
            Protocol::Http1
        }
        Some(at) => at.it,
        None if tls => Protocol::Auto,
        None => Protocol::Http1,
    }
}

fn pool_timeout(timeout: file::PoolTimeout, reader: &mut Reader) -> PoolTimeout {
    let default = PoolTimeout::default();
    PoolTimeout {
        connect: time(&timeout.connect).unwrap_or(default.connect),
        head: time(&timeout.head).unwrap_or(default.head),
        per_try: timeout.per_try.as_ref().map_or(default.per_try, |at| at.it.0),
        idle: time(&timeout.idle).unwrap_or(default.idle),
        total: timeout.total.as_ref().map_or(default.total, |at| at.it.0),
        tunnel: time(&timeout.tunnel).unwrap_or(default.tunnel),
        ping: health::or_off(timeout.ping, "ping", PING, reader).unwrap_or(default.ping),
    }
}

fn reported(reported: file::Reported, reader: &mut Reader) -> Reported {
    let default = Reported::default();
    Reported {
        orca: reported.orca.map_or(default.orca, |at| at.it),
        headers: reported.headers.map(|at| at.it.0).unwrap_or_default(),
        fresh: time_within(&reported.fresh, "fresh", FRESH, reader).unwrap_or(default.fresh),
    }
}

fn pool_limit(limit: &file::PoolLimit) -> PoolLimit {
    let default = PoolLimit::default();
    PoolLimit {
        requests: limit.requests.as_ref().map(|at| at.it.0),
        backend_requests: limit.backend_requests.as_ref().map(|at| at.it.0),
        backend_connections: limit.backend_connections.as_ref().map(|at| at.it.0),
        queue: limit.queue.as_ref().map_or(default.queue, |at| at.it.0),
        wait: time(&limit.wait).unwrap_or(default.wait),
    }
}

fn retry(retry: &file::Retry, reader: &mut Reader) -> Retry {
    let default = Retry::default();
    let replay = size_within(&retry.replay, "replay", REPLAY, reader);
    Retry {
        most: retry.most.as_ref().map_or(default.most, |at| at.it.0),
        budget: retry.budget.as_ref().map_or(default.budget, |at| at.it.0),
        replay: replay.map_or(default.replay, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        backoff: retry.backoff.as_ref().map_or(default.backoff, |at| at.it.0),
    }
}
