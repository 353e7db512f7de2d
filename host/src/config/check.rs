//! What the keys mean together: defaults, references between tables, names that must differ. Collects all problems.

mod health;

use super::{
    file,
    model::{
        AccessLog, Backend, BackendTls, BalancerChoice, CertificateSource, ClientRule, Config, DEFAULT_BALANCER,
        DEFAULT_MODE, Eject, FilterUse, HeadLimit, HostMatch, ListenTimeout, Listener, Named, Network, Plugins, Pool,
        PoolLimit, PoolTimeout, Protocol, Resolver, Retry, Roots, Route, Server, SourceLimit, Tls,
    },
    place::default_admin,
    read::{At, Reader},
    shapes::{BackendAddress, List, LongTime, OneOrMany, Place, Size, Switch, Text, Tiers, Time},
    units,
};
use crate::net::{Address, NOBODY};
use crate::problem::{Code, Problem, did_you_mean};
use std::{collections::HashMap, hash::Hash, ops::Range, path::Path, thread::available_parallelism, time::Duration};

/// What fits between one tick of the clock that stops plugins and what a request can bear.
const DEADLINE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// From one page to all that 32 bits can address.
const MEMORY: (u64, u64) = (64 << 10, 4 << 30);
/// From what holds at all a component to what nobody waits for.
const FILE_SIZE: (u64, u64) = (1 << 10, 1 << 30);
/// From what browsers send to what nobody means; each connection may hold as much.
const HEAD: (u64, u64) = (1 << 10, 1 << 20);
/// From a short path to what still has a place in any head.
const TARGET: (u64, u64) = (64, 32 << 10);
/// Faults are remembered one by one within it.
const FAULT_WINDOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Every request under way may hold so much.
const REPLAY: (u64, u64) = (0, 16 << 20);
/// Faster checks would be load, not checks.
const HEALTH_INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));

/// The checked configuration. It may only be used when nothing was told to `reader`.
pub(super) fn check(file: file::File, base: &Path, reader: &mut Reader) -> Config {
    let listeners = listeners(file.listen, base, reader);
    let (pool_names, pools) = pools(file.pool, base, reader);
    let routes = routes(file.route, &listeners, &pool_names, reader);
    let admin = file.admin.map(|at| at.it).unwrap_or_default();
    Config {
        listeners,
        pools,
        routes,
        plugins: file.plugins.map(|at| plugins(at.it, base, reader)).unwrap_or_default(),
        admin: admin.address.map_or_else(default_admin, |at| at.it),
        metrics: admin.metrics.map(|at| at.it),
        server: server(file.server.map(|at| at.it).unwrap_or_default(), base, reader),
    }
}

fn listeners(list: Option<At<List<file::Listen>>>, base: &Path, reader: &mut Reader) -> Vec<Listener> {
    let Some(list) = list else { return Vec::new() };
    if list.it.0.is_empty() {
        let problem =
            Problem::error(Code::BAD_VALUE, "there is no listener").at(reader.spot(&list.span), "expected one");
        reader.tell(problem);
    }
    let (mut names, mut addresses) = (Unique::default(), Unique::default());
    let mut listeners = Vec::new();
    for At { it: listen, span } in list.it.0.into_iter().flatten() {
        if let Some(name) = &listen.name {
            names.add(&name.it.0, &name.span, |name| format!("two listeners are called {name:?}"), reader);
        }
        if let (Some(_), Some(redirect)) = (&listen.tls, &listen.redirect) {
            let problem = Problem::error(Code::BAD_VALUE, "a listener with `tls` has no use for `redirect`");
            reader.tell(problem.at(reader.spot(&redirect.span), "what comes here is encrypted already"));
        }
        let Some(address) = listen.address else { continue };
        let at = from_base(address.it.0, base);
        if at.tcp().is_none_or(|address| address.port() != 0) {
            let headline = |address: &_| format!("two listeners have the address {address}");
            addresses.add(&at, &address.span, headline, reader);
        }
        listeners.push(Listener {
            name: listen.name.map_or_else(|| at.to_string(), |name| name.it.0),
            address: at,
            mode: listen.mode.map_or(DEFAULT_MODE, |at| at.it.0),
            tls: listen.tls.map(|tls| self::tls(tls.it, base, reader)),
            timeout: listen.timeout.map(|at| listen_timeout(&at.it)).unwrap_or_default(),
            head: listen.limit.as_ref().map(|at| head_limit(&at.it, reader)).unwrap_or_default(),
            proxy_protocol: proxy_protocol(listen.proxy_protocol, listen.trusted_proxies.as_ref(), reader),
            trusted_proxies: listen.trusted_proxies.map(|at| at.it).map_or_else(Vec::new, values),
            forwarded: listen.forwarded.map(|at| at.it).unwrap_or_default(),
            request_id: listen.request_id.is_some_and(|at| at.it),
            redirect: listen.redirect.map(|at| at.it.0),
            limit: listen.limit.map(|at| source_limit(&at.it)).unwrap_or_default(),
            spot: Some(reader.spot(&span)),
        });
    }
    listeners
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

/// Who may tell whose connection it is has to be said.
fn proxy_protocol(written: Option<At<bool>>, trusted: Option<&At<List<Network>>>, reader: &mut Reader) -> bool {
    let Some(At { it: true, span }) = written else { return false };
    if trusted.is_none_or(|list| list.it.0.is_empty()) {
        let headline = "`proxy_protocol` needs `trusted_proxies`: who may say whose connection it is";
        let problem = Problem::error(Code::BAD_VALUE, headline).at(reader.spot(&span), "nobody is trusted");
        reader.tell(problem.note("add the proxies' addresses, such as trusted_proxies = [\"10.0.0.0/8\"]"));
    }
    true
}

/// A relative path starts at the directory of the file.
fn from_base(address: Address, base: &Path) -> Address {
    match address {
        Address::Unix(path) => Address::Unix(base.join(path).into()),
        address => address,
    }
}

fn tls(list: OneOrMany<file::Certificate>, base: &Path, reader: &Reader) -> Tls {
    let mut tls = Tls::from(Vec::new());
    for mut at in list.0.into_iter().flatten() {
        let client = at.it.client.take();
        let Some(certificate) = certificate(at, base, reader) else { continue };
        let rule = client.and_then(|At { it, span }| {
            Some(ClientRule {
                ca: base.join(it.ca?.it.0),
                verify: it.verify.map(|at| at.it).unwrap_or_default(),
                spot: Some(reader.spot(&span)),
            })
        });
        tls.clients.extend(rule.map(|rule| (tls.certificates.len(), rule)));
        tls.certificates.push(certificate);
    }
    tls
}

fn certificate(At { it, span }: At<file::Certificate>, base: &Path, reader: &Reader) -> Option<CertificateSource> {
    let cert = it.cert?.it.0;
    Some(CertificateSource::Files {
        cert: base.join(cert),
        key: base.join(it.key?.it.0),
        spot: Some(reader.spot(&span)),
    })
}

fn listen_timeout(timeout: &file::ListenTimeout) -> ListenTimeout {
    let default = ListenTimeout::default();
    ListenTimeout {
        handshake: time(&timeout.handshake).unwrap_or(default.handshake),
        head: time(&timeout.head).unwrap_or(default.head),
        idle: time(&timeout.idle).unwrap_or(default.idle),
    }
}

fn head_limit(limit: &file::ListenLimit, reader: &mut Reader) -> HeadLimit {
    let default = HeadLimit::default();
    let mut size = |at, key, range| size_within(at, key, range, reader).and_then(|size| usize::try_from(size).ok());
    HeadLimit {
        head: size(&limit.head, "head", HEAD).unwrap_or(default.head),
        target: size(&limit.target, "target", TARGET).unwrap_or(default.target),
        headers: limit.headers.as_ref().map_or(default.headers, |at| at.it.0 as usize),
    }
}

fn source_limit(limit: &file::ListenLimit) -> SourceLimit {
    SourceLimit {
        connections: limit.connections.as_ref().map(|at| at.it.0),
        connections_per_source: limit.connections_per_source.as_ref().map(|at| at.it.0),
        requests_per_source: limit.requests_per_source.as_ref().map(|at| at.it.0),
    }
}

/// All names that the file defines, those of broken pools too, and the pools in the order of their names.
fn pools(
    named: Option<At<super::shapes::Named<file::Pool>>>,
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
    // There is one kind of tiers yet, and it is what holds.
    let _: Option<At<Tiers>> = pool.tiers;
    let tls = pool.tls.and_then(|at| backend_tls(at, base, reader));
    let spot = pool.balancer.as_ref().map(|at| &at.span).or(pool.settings.as_ref().map(|at| &at.span));
    let spot = Some(reader.spot(spot.unwrap_or(&name.span)));
    let (backends, names) = backends(&name.it, pool.backends.map_or_else(Vec::new, |at| at.it.0), base, reader);
    Pool {
        spot,
        backends,
        names,
        protocol: protocol(pool.protocol, tls.is_some(), pool.proxy_protocol.is_some(), reader),
        proxy_protocol: pool.proxy_protocol.map(|at| at.it),
        tls,
        balancer: BalancerChoice::Named(pool.balancer.map_or_else(|| DEFAULT_BALANCER.into(), |at| at.it.0)),
        settings: pool.settings.map_or_else(|| "{}".into(), |at| at.it.0),
        fallback: pool.fallback.map(|at| at.it).unwrap_or_default(),
        hash: pool.hash.map(|at| at.it),
        health: pool.health.map(|at| health::health(at.it, reader)).unwrap_or_default(),
        eject: pool.eject.map_or_else(|| Some(Eject::default()), |at| health::eject(at.it, reader)),
        panic: pool.panic.and_then(|at| at.it.0),
        slow_start: health::slow_start(pool.slow_start, reader),
        timeout: pool.timeout.map(|at| pool_timeout(&at.it.0)).unwrap_or_default(),
        retry: pool.retry.map(|at| retry(&at.it, reader)).unwrap_or_default(),
        hedge: pool.hedge.and_then(|at| time(&at.it.after)),
        limit: pool.limit.map(|at| pool_limit(&at.it)),
        name: name.it,
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

fn pool_timeout(timeout: &file::PoolTimeout) -> PoolTimeout {
    let default = PoolTimeout::default();
    PoolTimeout {
        connect: time(&timeout.connect).unwrap_or(default.connect),
        head: time(&timeout.head).unwrap_or(default.head),
        per_try: timeout.per_try.as_ref().map_or(default.per_try, |at| at.it.0),
        idle: time(&timeout.idle).unwrap_or(default.idle),
        total: timeout.total.as_ref().map_or(default.total, |at| at.it.0),
        tunnel: time(&timeout.tunnel).unwrap_or(default.tunnel),
    }
}

fn pool_limit(limit: &file::PoolLimit) -> PoolLimit {
    let default = PoolLimit::default();
    PoolLimit {
        requests: limit.requests.as_ref().map(|at| at.it.0),
        backend_requests: limit.backend_requests.as_ref().map(|at| at.it.0),
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

fn routes(
    list: Option<At<List<file::Route>>>,
    listeners: &[Listener],
    pools: &[String],
    reader: &mut Reader,
) -> Vec<Route> {
    let written = list.map_or_else(Vec::new, |list| list.it.0);
    if written.is_empty() {
        return the_only_route(pools, reader);
    }
    let mut matches = Unique::default();
    let mut routes = Vec::new();
    for (index, At { it: route, span }) in written.into_iter().enumerate().filter_map(|(i, at)| Some((i + 1, at?))) {
        let listener_names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let pool_names: Vec<_> = pools.iter().map(String::as_str).collect();
        let listener = route.listen.map(|name| reference(index, "listener", &name, &listener_names, reader));
        let pool = route.pool.and_then(|name| reference(index, "pool", &name, &pool_names, reader));
        let host = route.host.map_or(HostMatch::Any, |at| at.it.0);
        let path = route.path.map_or_else(|| "/".into(), |at| at.it.0);
        // Only of a file without other mistakes: a host or path that was left out matches what it was not meant to.
        if reader.is_content() {
            let key = (listener, host.clone(), path.clone());
            matches.add(&key, &span, |_| format!("route {index} matches the same requests as one before it"), reader);
        }
        routes.push(Route {
            listener: listener.flatten(),
            host,
            path,
            pool: pool.unwrap_or_default(),
            filters: route.filters.map_or_else(Vec::new, |at| filters(at.it, reader)),
        });
    }
    routes
}

/// Without a route, all requests go to the only pool: nothing else can be meant.
fn the_only_route(pools: &[String], reader: &mut Reader) -> Vec<Route> {
    // With other mistakes in the file the routes may be among them.
    if pools.len() > 1 && reader.is_content() {
        let headline = format!("{} pools and no `[[route]]`: nothing says which requests go where", pools.len());
        let example = format!("add one for each pool, such as [[route]] path = \"/\" pool = {:?}", pools[0]);
        reader.tell(Problem::error(Code::BAD_VALUE, headline).note(example));
    }
    vec![Route { listener: None, host: HostMatch::Any, path: "/".into(), pool: 0, filters: Vec::new() }]
}

fn filters(list: List<file::Filter>, reader: &Reader) -> Vec<FilterUse> {
    let filter = |At { it: filter, .. }: At<file::Filter>| {
        let plugin = filter.plugin?;
        Some(FilterUse {
            spot: Some(reader.spot(&plugin.span)),
            plugin: plugin.it.0,
            settings: filter.settings.map_or_else(|| "{}".into(), |at| at.it.0),
            on_fault: filter.on_fault.map(|at| at.it).unwrap_or_default(),
        })
    };
    list.0.into_iter().flatten().filter_map(filter).collect()
}

fn plugins(plugins: file::Plugins, base: &Path, reader: &mut Reader) -> Plugins {
    let default = Plugins::default();
    let faults = plugins.faults.map(|at| at.it).unwrap_or_default();
    Plugins {
        directory: plugins.directory.map(|at| base.join(at.it.0)),
        deadline: time_within(&plugins.deadline, "deadline", DEADLINE, reader).unwrap_or(default.deadline),
        memory: size_within(&plugins.memory, "memory", MEMORY, reader).unwrap_or(default.memory),
        size: size_within(&plugins.size, "size", FILE_SIZE, reader).unwrap_or(default.size),
        faults: super::model::Faults {
            limit: faults.limit.map_or(default.faults.limit, |at| at.it.0),
            window: time_within(&faults.window, "window", FAULT_WINDOW, reader).unwrap_or(default.faults.window),
        },
    }
}

fn server(server: file::Server, base: &Path, reader: &mut Reader) -> Server {
    let default = Server::default();
    let drain = server.drain.map_or(default.drain, |at| at.it.0);
    Server {
        workers: server.workers.map_or(default.workers, |at| at.it.0 as usize),
        requests: server.requests.map(|at| at.it.0),
        drain,
        tunnels: server.tunnels.map_or(default.tunnels.min(drain), |at| tunnels(&at, drain, reader)),
        zone: server.zone.map_or(default.zone, |at| at.it.0),
        access_log: server.access_log.map(|At { it: Text(to), span }| match to.as_str() {
            "stdout" => AccessLog::Stdout,
            path => AccessLog::File { path: base.join(path), spot: Some(reader.spot(&span)) },
        }),
        resolver: server.resolver.map(|at| at.it).unwrap_or_default(),
    }
}

/// Behind the drain nothing goes on.
fn tunnels(tunnels: &At<LongTime>, drain: Duration, reader: &mut Reader) -> Duration {
    if tunnels.it.0 > drain {
        let problem = Problem::error(Code::BAD_VALUE, "`tunnels` is longer than `drain`, behind which nothing goes on");
        let most = format!("expected at most \"{}\"", units::show_duration(drain));
        reader.tell(problem.at(reader.spot(&tunnels.span), most));
    }
    tunnels.it.0
}

impl Default for Server {
    fn default() -> Self {
        // Where the system does not tell, one worker serves; that is slow and right.
        let workers = available_parallelism().map_or(1, usize::from);
        Self {
            workers,
            requests: None,
            drain: Duration::from_secs(30),
            tunnels: Duration::from_secs(10),
            zone: String::new(),
            access_log: None,
            resolver: Resolver::default(),
        }
    }
}

/// The index of what a route refers to by name.
fn reference(route: usize, noun: &str, name: &At<Text>, defined: &[&str], reader: &mut Reader) -> Option<usize> {
    let word = name.it.0.as_str();
    let index = defined.iter().position(|defined| *defined == word);
    if index.is_none() {
        let headline = format!("route {route} uses {noun} {word:?}, which is not defined");
        let meant = did_you_mean(word, defined.iter().copied());
        let label = meant.map_or_else(String::new, |meant| format!("did you mean {meant:?}?"));
        let problem = Problem::error(Code::UNDEFINED, headline).at(reader.spot(&name.span), label);
        reader.tell(problem.note(format!("{noun}s: {}", defined.join(", "))));
    }
    index
}

/// Where something was named first.
struct Unique<T>(HashMap<T, Range<usize>>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + Eq + Hash> Unique<T> {
    fn add(&mut self, it: &T, span: &Range<usize>, headline: impl FnOnce(&T) -> String, reader: &mut Reader) {
        let Some(first) = self.0.insert(it.clone(), span.clone()) else { return };
        let problem = Problem::error(Code::BAD_VALUE, headline(it)).at(reader.spot(span), "the second one");
        let problem = problem.note(format!("the first one: {}", reader.spot(&first).place()));
        reader.tell(problem);
    }
}

fn time(at: &Option<At<Time>>) -> Option<Duration> {
    at.as_ref().map(|at| at.it.0)
}

fn time_within(
    at: &Option<At<Time>>,
    key: &str,
    (least, most): (Duration, Duration),
    reader: &mut Reader,
) -> Option<Duration> {
    let at = at.as_ref()?;
    let range = (units::show_duration(least), units::show_duration(most));
    within(at.it.0, least..=most, key, &at.span, range, reader)
}

fn size_within(at: &Option<At<Size>>, key: &str, (least, most): (u64, u64), reader: &mut Reader) -> Option<u64> {
    let at = at.as_ref()?;
    within(at.it.0, least..=most, key, &at.span, (units::show_size(least), units::show_size(most)), reader)
}

fn within<T: PartialOrd>(
    value: T,
    range: std::ops::RangeInclusive<T>,
    key: &str,
    span: &Range<usize>,
    (least, most): (String, String),
    reader: &mut Reader,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let problem = Problem::error(Code::BAD_VALUE, format!("`{key}` is out of range"));
    let problem = problem.at(reader.spot(span), format!("expected \"{least}\" to \"{most}\""));
    reader.tell(problem);
    None
}

fn values<T>(list: List<T>) -> Vec<T> {
    list.0.into_iter().flatten().map(|at| at.it).collect()
}
