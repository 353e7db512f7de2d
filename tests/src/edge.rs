//! Pointsman in this process: the same `App` that the binary starts, with worker threads of its own.

use crate::{
    certs,
    cli::target,
    client::{self, Client},
    h2_origin::H2Origin,
    nginx::Nginx,
    origin::Origin,
    plugins::Plugins,
    process::Process,
    relay::Relay,
    story::aside,
    tls_front::TlsFront,
};
use http::Method;
use pointsman::{
    admin::api::{LogLine, Plugin, Pool, Reload, Status},
    app::{App, Drained, Options, Source},
    config::{self, model},
    net::Address,
    problem::Problem,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// How long a file must stand still in these stories before it counts as whole; short, for they write whole files.
const QUIET: Duration = Duration::from_millis(50);

/// A running Pointsman; it stops with this value.
pub struct Edge {
    app: Option<App>,
    /// Where its admin socket is.
    _room: TempDir,
}

/// What an [`Edge`] will serve. Pools and routes are spoken of by name; what is said of "the" pool, route or listener
/// goes for the one named last.
pub struct Builder {
    listeners: Vec<model::Listener>,
    pools: Vec<model::Pool>,
    routes: Vec<Route>,
    plugins: model::Plugins,
    admin: Option<SocketAddr>,
    metrics: bool,
    access_log: Option<model::AccessLog>,
    workers: usize,
    requests: Option<u32>,
    drain: Duration,
    tunnels: Duration,
    options: Options,
}

struct Route {
    listener: Option<String>,
    host: model::HostMatch,
    path: String,
    pool: String,
    filters: Vec<model::FilterUse>,
}

/// Somebody who can be a backend.
pub trait Backend {
    /// Where it listens.
    fn address(&self) -> Address;
}

/// One plain listener, two workers, and nothing behind it yet.
pub fn plain() -> Builder {
    Builder::new().listen("plain", None)
}

/// One TLS listener for `shop.test`, two workers, and nothing behind it yet.
pub fn tls() -> Builder {
    Builder::new().listen("tls", Some(certs::shop()))
}

/// What an example's file says of its one listener and its one pool, with a free port and these backends in place of those
/// that it names; two workers.
///
/// # Panics
/// When the file is refused, or says more.
pub fn example(file: &Path, backends: &[&dyn Backend]) -> Builder {
    let config = config::load(file).unwrap_or_else(|problems| panic!("{}: {problems:#?}", file.display()));
    let ([listener], [pool]) = (config.listeners.as_slice(), config.pools.as_slice()) else { panic!("one of each") };
    let (listener, pool) = (listener.clone(), pool.clone());
    Builder::new()
        .listen(&listener.name.clone(), None)
        .listener(|ours| *ours = model::Listener { address: ours.address.clone(), ..listener })
        .pool(&pool.name.clone(), backends)
        .with(|ours| *ours = model::Pool { backends: std::mem::take(&mut ours.backends), ..pool })
}

/// A program of an example; it ends with this value.
pub struct Program(Child);

impl Program {
    /// Starts a Python script.
    ///
    /// # Panics
    /// When there is no such Python.
    pub fn python(python: &Path, script: &Path, arguments: &[&str]) -> Program {
        let program = Command::new(python).arg(script).args(arguments).stdout(Stdio::null()).spawn();
        Program(program.unwrap_or_else(|error| panic!("{}: {error}", python.display())))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What this file says, with an admin socket of its own; the file is followed while it runs.
///
/// # Panics
/// When it refuses.
pub fn from_file(file: &Path) -> Edge {
    of_file(file, true)
}

/// As [`from_file`], but the file is read again only when that is asked for: so a story that asks is the one that is told
/// what changed.
///
/// # Panics
/// As there.
pub fn from_unwatched_file(file: &Path) -> Edge {
    of_file(file, false)
}

fn of_file(file: &Path, watch: bool) -> Edge {
    let room = tempfile::tempdir().unwrap();
    let admin = model::AdminAddress::Unix(room.path().join("admin.sock"));
    let source = Source { file: file.to_owned(), admin: Some(admin) };
    let config = source.read().unwrap_or_else(|problems| panic!("refused: {problems:#?}"));
    let options = Options { source: Some(source), watch, ..Builder::new().options };
    let app = aside(|| App::start(config, options)).unwrap_or_else(|problems| panic!("refused: {problems:#?}"));
    Edge { app: Some(app), _room: room }
}

impl Builder {
    fn new() -> Builder {
        let options = Options { plugins_quiet: QUIET, cache: Some(cache()), ..Options::default() };
        Builder {
            listeners: Vec::new(),
            pools: Vec::new(),
            routes: Vec::new(),
            plugins: model::Plugins::default(),
            admin: None,
            metrics: false,
            access_log: None,
            workers: 2,
            requests: None,
            drain: Duration::from_secs(5),
            tunnels: Duration::from_secs(1),
            options,
        }
    }

    /// One more listener.
    pub fn listen(mut self, name: &str, tls: Option<model::Tls>) -> Builder {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.listeners.push(model::Listener { tls, ..model::Listener::new(name, address) });
        self
    }

    /// Changes the listener.
    pub fn listener(mut self, change: impl FnOnce(&mut model::Listener)) -> Builder {
        change(self.listeners.last_mut().expect("a listener"));
        self
    }

    /// One more pool, with round robin.
    pub fn pool(mut self, name: &str, backends: &[&dyn Backend]) -> Builder {
        let backends =
            backends.iter().map(|backend| model::Backend::new(backend.address().to_string(), backend.address()));
        self.pools.push(model::Pool::new(name, backends.collect()));
        self
    }

    /// Changes the pool.
    pub fn with(mut self, change: impl FnOnce(&mut model::Pool)) -> Builder {
        change(self.pools.last_mut().expect("a pool"));
        self
    }

    /// Who chooses for the pool.
    pub fn balancer(self, name: &str) -> Builder {
        self.with(|pool| pool.balancer = model::BalancerChoice::Named(name.into()))
    }

    /// The backends' weights, in their order.
    pub fn weights(self, weights: &[u32]) -> Builder {
        self.with(|pool| {
            for (backend, weight) in pool.backends.iter_mut().zip(weights) {
                backend.weight = *weight;
            }
        })
    }

    /// A route from any host and this path to a pool. Without any, all goes to the first pool.
    pub fn route(mut self, path: &str, pool: &str) -> Builder {
        let (host, listener) = (model::HostMatch::Any, None);
        self.routes.push(Route { listener, host, path: path.into(), pool: pool.into(), filters: Vec::new() });
        self
    }

    /// Only this host, or `*.` and what it ends with, for the route.
    pub fn host(self, host: &str) -> Builder {
        self.routed(|route| {
            route.host = match host.strip_prefix('*') {
                Some(suffix) => model::HostMatch::Wildcard(suffix.into()),
                None => model::HostMatch::Exact(host.into()),
            }
        })
    }

    /// Only this listener for the route.
    pub fn on(self, listener: &str) -> Builder {
        self.routed(|route| route.listener = Some(listener.into()))
    }

    /// One more filter on the route.
    pub fn filter(self, plugin: &str, settings: &str, on_fault: model::OnFault) -> Builder {
        let filter = model::FilterUse { plugin: plugin.into(), settings: settings.into(), on_fault, spot: None };
        self.routed(|route| route.filters.push(filter))
    }

    /// Where plugin files come from.
    pub fn plugins(self, plugins: &Plugins) -> Builder {
        self.limits(|limits| limits.directory = Some(plugins.path()))
    }

    /// What a plugin may use.
    pub fn limits(mut self, change: impl FnOnce(&mut model::Plugins)) -> Builder {
        change(&mut self.plugins);
        self
    }

    /// How many threads serve.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// How many requests at the same time.
    pub fn requests(mut self, most: u32) -> Builder {
        self.requests = Some(most);
        self
    }

    /// How long running requests may go on once it stops.
    pub fn drain(mut self, drain: Duration) -> Builder {
        self.drain = drain;
        self
    }

    /// How long tunnels may go on once it stops.
    pub fn tunnels(mut self, tunnels: Duration) -> Builder {
        self.tunnels = tunnels;
        self
    }

    /// The admin API on TCP in place of its socket file. Its token goes to the user's runtime directory: only for a story
    /// that is alone.
    pub fn admin_on_tcp(mut self) -> Builder {
        self.admin = Some((Ipv4Addr::LOCALHOST, 0).into());
        self
    }

    /// A line for each request in this file.
    pub fn access_log(mut self, path: &Path) -> Builder {
        self.access_log = Some(model::AccessLog::File { path: path.to_owned(), spot: None });
        self
    }

    /// Metrics on an address of their own too.
    pub fn metrics(mut self) -> Builder {
        self.metrics = true;
        self
    }

    /// Changes what is no configuration.
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Builder {
        change(&mut self.options);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it refuses.
    pub fn start(self) -> Edge {
        self.try_start().unwrap_or_else(|problems| panic!("refused: {problems:#?}"))
    }

    /// Starts it, or says what is wrong.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn try_start(mut self) -> Result<Edge, Vec<Problem>> {
        let room = tempfile::tempdir().unwrap();
        if self.routes.is_empty() {
            let first = self.pools.first().expect("a pool").name.clone();
            self = self.route("/", &first);
        }
        let socket = model::AdminAddress::Unix(room.path().join("admin.sock"));
        // The checked model keeps its pools in the order of their names.
        self.pools.sort_by(|a, b| a.name.cmp(&b.name));
        let config = model::Config {
            routes: self.routes.iter().map(|route| self.resolved(route)).collect(),
            listeners: self.listeners,
            pools: self.pools,
            plugins: self.plugins,
            admin: self.admin.map_or(socket, model::AdminAddress::Tcp),
            metrics: self.metrics.then(|| (Ipv4Addr::LOCALHOST, 0).into()),
            server: model::Server {
                workers: self.workers,
                requests: self.requests,
                drain: self.drain,
                tunnels: self.tunnels,
                zone: String::new(),
                access_log: self.access_log,
                resolver: model::Resolver::default(),
            },
        };
        let app = aside(|| App::start(config, self.options))?;
        Ok(Edge { app: Some(app), _room: room })
    }

    fn routed(mut self, change: impl FnOnce(&mut Route)) -> Builder {
        change(self.routes.last_mut().expect("a route"));
        self
    }

    fn resolved(&self, route: &Route) -> model::Route {
        let listener = route.listener.as_ref().map(|name| {
            self.listeners.iter().position(|listener| listener.name == *name).expect("a listener of that name")
        });
        model::Route {
            listener,
            host: route.host.clone(),
            path: route.path.clone(),
            pool: self.pools.iter().position(|pool| pool.name == route.pool).expect("a pool of that name"),
            filters: route.filters.clone(),
        }
    }
}

impl Edge {
    /// Where its first listener is.
    pub fn address(&self) -> SocketAddr {
        self.tcp(0)
    }

    /// Where a listener is.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let all = self.app().listeners();
        self.tcp(all.iter().position(|(n, _)| n == name).expect("a listener of that name"))
    }

    fn tcp(&self, listener: usize) -> SocketAddr {
        self.app().listeners()[listener].1.tcp().expect("a listener on the network")
    }

    /// The whole process, as `pointsman status` shows it.
    pub fn status(&self) -> Status {
        self.app().status()
    }

    /// A pool, as it stands.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn pool(&self, name: &str) -> Pool {
        self.status().pools.into_iter().find(|pool| pool.name == name).expect("a pool of that name")
    }

    /// A plugin, as it stands; none when nothing of that name was ever seen.
    pub fn find_plugin(&self, name: &str) -> Option<Plugin> {
        self.status().plugins.into_iter().find(|plugin| plugin.name == name)
    }

    /// A plugin, as it stands.
    ///
    /// # Panics
    /// When nothing of that name was ever seen.
    pub fn plugin(&self, name: &str) -> Plugin {
        self.find_plugin(name).unwrap_or_else(|| panic!("no plugin {name}"))
    }

    /// What a plugin has written to its log, a line each.
    pub async fn log(&self, name: &str) -> Vec<String> {
        let answer = self.admin().await.get(&format!("/v1/plugins/{name}/log")).await;
        let lines: Vec<LogLine> = serde_json::from_slice(&answer.body).expect("lines of a log");
        lines.into_iter().map(|line| line.text).collect()
    }

    /// Has it read its configuration again, and gives what came of it.
    pub async fn reload(&self) -> Reload {
        let answer = self.admin().await.send(client::request(Method::POST, "/v1/reload")).await.expect("an answer");
        serde_json::from_slice(&answer.body).expect("what came of a reload")
    }

    /// A client of its admin API.
    pub async fn admin(&self) -> Client {
        match self.app().admin() {
            model::AdminAddress::Unix(path) => Client::unix(path).await,
            model::AdminAddress::Tcp(address) => Client::plain(*address).await,
        }
    }

    /// Where its admin socket is.
    ///
    /// # Panics
    /// When the API is on TCP.
    pub fn admin_socket(&self) -> PathBuf {
        match self.app().admin() {
            model::AdminAddress::Unix(path) => path.clone(),
            model::AdminAddress::Tcp(address) => panic!("the API is on {address}"),
        }
    }

    /// Stops it, as `SIGTERM` does, and says how it went. Blocks a thread of its own until it has stopped.
    pub async fn stop(mut self) -> Drained {
        let app = self.app.take().expect("still there");
        tokio::task::spawn_blocking(|| app.shutdown()).await.expect("it stops")
    }

    /// Where its admin API is on TCP.
    ///
    /// # Panics
    /// When it is a socket file.
    pub fn admin_port(&self) -> u16 {
        match self.app().admin() {
            model::AdminAddress::Tcp(address) => address.port(),
            model::AdminAddress::Unix(path) => panic!("the API is at {}", path.display()),
        }
    }

    /// Where metrics are read, beside the admin API.
    ///
    /// # Panics
    /// When they have no address of their own.
    pub fn metrics(&self) -> SocketAddr {
        self.app().metrics().expect("an address for metrics")
    }

    fn app(&self) -> &App {
        self.app.as_ref().expect("still there")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            aside(|| app.shutdown());
        }
    }
}

impl Backend for Origin {
    fn address(&self) -> Address {
        Origin::address(self).into()
    }
}

impl Backend for H2Origin {
    fn address(&self) -> Address {
        H2Origin::address(self).into()
    }
}

impl Backend for TlsFront {
    fn address(&self) -> Address {
        TlsFront::address(self).into()
    }
}

impl Backend for Nginx {
    fn address(&self) -> Address {
        Nginx::address(self).into()
    }
}

impl Backend for Relay {
    fn address(&self) -> Address {
        Relay::address(self).into()
    }
}

impl Backend for Process {
    fn address(&self) -> Address {
        Process::address(self).into()
    }
}

impl Backend for SocketAddr {
    fn address(&self) -> Address {
        (*self).into()
    }
}

impl Backend for PathBuf {
    fn address(&self) -> Address {
        self.as_path().into()
    }
}

/// Compiled code, shared by all stories and all runs: a stock plugin compiles once.
fn cache() -> PathBuf {
    target().join("../tmp/compiled")
}
