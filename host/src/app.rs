//! Wires the rooms from a configuration: start and shutdown. What a lower room needs from a higher one is handed down
//! here, as a reader or a channel.

mod metrics;
mod rehearsal;
mod status;

pub use rehearsal::Rehearsal;

use crate::{
    admin,
    config::model::{self, AdminAddress, Config, Listener, SourceLimit},
    drain::Drain,
    figures::Figures,
    net::Address,
    plugin::{
        Runtime,
        loader::{self, Loader},
    },
    problem::{Code, Problem},
    proxy::{Overload, Policy, Rules},
    server::{self, Sockets, Workers},
    sources::{Most, Sources},
    state::{Applier, Plan},
    telemetry::access_log::AccessLog,
    tls,
    upstream::{Pool, health},
    watch,
};
use status::StatusSource;
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::{Notify, mpsc},
    time::Instant,
};

/// Threads that run what is no request: health checks, the admin API, the plugin directory.
const SIDE_THREADS: usize = 2;
/// Compilations, instance builds and directory scans at one time.
const SIDE_BLOCKING_MOST: usize = 8;
/// News of plugin files that wait for the applier; the loader waits when it is full.
const NEWS_MOST: usize = 16;
/// How long a start waits for the backends' first health check.
const FIRST_ROUND_MOST: Duration = Duration::from_secs(1);
/// How long the side runtime may take to end once everything was told to.
const SIDE_END_MOST: Duration = Duration::from_secs(1);

/// What the command line decides, beside the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listen to the file system; without, the plugin directory is looked at every 2 s.
    pub notify: bool,
    /// Refuse to start when a plugin is refused or missing.
    pub strict: bool,
    /// Start with a certificate that has expired.
    pub allow_expired: bool,
    /// Where compiled code is kept between starts; none: nowhere.
    pub cache: Option<PathBuf>,
    /// How long a plugin file must be unchanged before it is read.
    pub plugins_quiet: Duration,
    /// How often the plugin directory is looked at when no event of the file system asks for it.
    pub plugins_tick: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            notify: true,
            strict: false,
            allow_expired: false,
            cache: None,
            plugins_quiet: loader::QUIET,
            plugins_tick: watch::TICK,
        }
    }
}

/// A running Pointsman. It owns its threads; [`App::shutdown`] ends them in order, dropping it ends them at once.
#[derive(Debug)]
pub struct App {
    drain: Drain,
    grace: Duration,
    workers: Workers,
    admin: admin::Server,
    listeners: Vec<(String, Address)>,
    status: Arc<StatusSource>,
    /// Its last lines are written when it goes.
    _access_log: Option<Arc<AccessLog>>,
    /// Last: what runs on it is told to end by the fields above.
    side: tokio::runtime::Runtime,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off when their time was up.
    pub cut_off: usize,
}

impl App {
    /// Starts everything and returns once connections are taken. Blocking; not for use within an async runtime.
    ///
    /// # Errors
    /// Everything that keeps it from starting, at once: addresses (PM02xx), certificates, and with `strict` plugins too.
    pub fn start(config: Config, options: Options) -> Result<App, Vec<Problem>> {
        let workers = config.server.workers;
        let figures = Arc::new(Figures::new(workers));
        let log = open_access_log(config.server.access_log.as_ref())?;
        let doors = open(&config, &options, &figures, log.as_ref());
        let admin = admin::bind(&config.admin, config.metrics);
        let (doors, admin) = both(doors, admin)?;
        let bound = config.listeners.iter().zip(&doors);
        let listeners: Vec<_> =
            bound.map(|(config, door)| (config.name.clone(), door.sockets.address().clone())).collect();

        let side = side_runtime().map_err(cannot_start)?;
        let Prepared { pools, applier, loader, amiss } = prepare(&config, &options, &figures, &side)?;
        if options.strict && !amiss.is_empty() {
            return Err(amiss);
        }

        let (drain, live) = Drain::new();
        let rescan = Arc::new(Notify::new());
        let status = Arc::new(StatusSource::new(&config, &listeners, &applier));
        let share = health::share(pools.len());
        for pool in pools {
            side.spawn(health::run(pool, share, live.clone()));
        }
        let overload = config.server.requests.map(Overload::new);
        let serving =
            Workers::start(doors, workers, applier.cell(), overload, Instant::now(), &live).map_err(cannot_start)?;
        let admin = {
            let _within = side.enter();
            admin::Server::start(admin, status.sources(figures, log.clone(), &rescan), live.clone())
                .map_err(cannot_start)?
        };
        follow_directory(loader, applier, rescan, side.handle())?;
        Ok(App {
            drain,
            grace: config.server.drain,
            workers: serving,
            admin,
            listeners,
            status,
            _access_log: log,
            side,
        })
    }

    /// Names and bound addresses, in the order of the configuration.
    pub fn listeners(&self) -> &[(String, Address)] {
        &self.listeners
    }

    /// Where the admin API answers.
    pub fn admin(&self) -> &AdminAddress {
        self.admin.address()
    }

    /// Where metrics are read, beside the admin API.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.admin.metrics()
    }

    /// What the admin API would say.
    pub fn status(&self) -> admin::Status {
        self.status.read()
    }

    /// Takes no new connections, lets running requests end within `server.drain`, and ends. Blocking; not for use within
    /// an async runtime.
    pub fn shutdown(self) -> Drained {
        self.drain.start();
        let cut_off = self.side.block_on(self.drain.wait(self.grace));
        self.workers.stop();
        self.side.shutdown_timeout(SIDE_END_MOST);
        Drained { cut_off }
    }
}

fn side_runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(SIDE_THREADS)
        .max_blocking_threads(SIDE_BLOCKING_MOST)
        .thread_name("side")
        .enable_all()
        .build()
}

/// What there is before anything serves.
struct Prepared {
    pools: Vec<Arc<Pool>>,
    applier: Applier,
    /// None: no directory is configured.
    loader: Option<Loader>,
    amiss: Vec<Problem>,
}

/// Backends checked once, and the plugins that are there admitted.
fn prepare(
    config: &Config,
    options: &Options,
    figures: &Figures,
    side: &tokio::runtime::Runtime,
) -> Result<Prepared, Vec<Problem>> {
    let workers = figures.workers();
    let runtime = Runtime::new(&config.plugins, workers, &config.server.zone, options.cache.as_deref())
        .map_err(|problem| vec![problem])?;
    let numbers: Vec<usize> = (0..config.listeners.len()).collect();
    let plan = Arc::new(Plan::new(config, &numbers, figures)?);
    let pools: Vec<_> = plan.pools.iter().map(|p| p.pool.clone()).collect();
    side.block_on(health::first_round(&pools, FIRST_ROUND_MOST));
    let mut applier = Applier::new(runtime.clone(), plan, side.handle().clone(), workers);
    let mut loader = config.plugins.directory.as_ref().map(|directory| {
        let loading =
            loader::Options { notify: options.notify, quiet: options.plugins_quiet, tick: options.plugins_tick };
        Loader::new(directory.clone(), runtime, loading)
    });
    let amiss = applier.begin(loader.as_mut().map(Loader::first_scan).unwrap_or_default());
    Ok(Prepared { pools, applier, loader, amiss })
}

/// Certificates read and addresses bound, or everything that is wrong with either.
fn open(
    config: &Config,
    options: &Options,
    figures: &Figures,
    log: Option<&Arc<AccessLog>>,
) -> Result<Vec<server::Listener>, Vec<Problem>> {
    let certificates = config.listeners.iter().any(|l| l.tls.as_ref().is_some_and(|tls| !tls.clients.is_empty()));
    let mut doors = Vec::new();
    let mut problems = Vec::new();
    for listener in &config.listeners {
        let tls = listener.tls.as_ref().map(|tls| {
            let store = tls::Store::load(tls, Path::new(""), options.allow_expired)?;
            tls::Acceptor::new(Arc::new(store)).map_err(|error| cannot_start(io::Error::other(error)))
        });
        match (tls.transpose(), Sockets::bind(listener, config.server.workers)) {
            (Ok(tls), Ok(sockets)) => {
                let rules = tls.as_ref().and_then(tls::Acceptor::rules).map(Rules::new);
                let policy = Policy { rules, certificates, ..policy(listener, figures, log) };
                let (timeout, limit, tunnels) = (listener.timeout, listener.head, config.server.tunnels);
                let proxy_protocol = listener.proxy_protocol;
                doors.push(server::Listener { sockets, tls, timeout, limit, proxy_protocol, policy, tunnels });
            }
            (tls, sockets) => {
                problems.extend(tls.err().into_iter().flatten());
                problems.extend(sockets.err());
            }
        }
    }
    if problems.is_empty() { Ok(doors) } else { Err(problems) }
}

/// What holds for all requests of a listener.
fn policy(listener: &Listener, figures: &Figures, log: Option<&Arc<AccessLog>>) -> Policy {
    let SourceLimit { connections, connections_per_source, requests_per_source } = listener.limit;
    let is_limited = listener.limit != SourceLimit::default();
    Policy {
        trusted: listener.trusted_proxies.clone(),
        forwarded: listener.forwarded,
        redirect: listener.redirect,
        sources: is_limited.then(|| Sources::new(Most { connections, connections_per_source, requests_per_source })),
        request_id: listener.request_id,
        listener: listener.name.as_str().into(),
        figures: figures.listener(&listener.name),
        access_log: log.cloned(),
        ..Policy::default()
    }
}

/// The access log, if there is one.
fn open_access_log(to: Option<&model::AccessLog>) -> Result<Option<Arc<AccessLog>>, Vec<Problem>> {
    let opened = match to {
        None => return Ok(None),
        Some(model::AccessLog::Stdout) => AccessLog::to_stdout().map_err(cannot_start)?,
        Some(model::AccessLog::File { path, spot }) => AccessLog::to_file(path).map_err(|error| {
            let what = format!("the access log {} cannot be written: {error}", path.display());
            let problem = Problem::error(Code::START_FAILED, what);
            vec![match spot {
                Some(spot) => problem.at(spot.clone(), "named here"),
                None => problem,
            }]
        })?,
    };
    Ok(Some(Arc::new(opened)))
}

/// Both, or the problems of both.
fn both<A, B>(a: Result<A, Vec<Problem>>, b: Result<B, Vec<Problem>>) -> Result<(A, B), Vec<Problem>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => Err(a.err().into_iter().chain(b.err()).flatten().collect()),
    }
}

/// The system gives no thread, socket or random bytes: nothing in the configuration is to blame.
fn cannot_start(error: io::Error) -> Vec<Problem> {
    vec![Problem::error(Code::START_FAILED, format!("the system refuses what is needed to start: {error}"))]
}

/// From now on the applier hears of the directory, on a thread of its own: it compiles nothing, but admits and builds.
/// Both end with the side runtime, which takes the loader and its end of the channel along.
fn follow_directory(
    loader: Option<Loader>,
    mut applier: Applier,
    rescan: Arc<Notify>,
    side: &Handle,
) -> Result<(), Vec<Problem>> {
    let Some(loader) = loader else { return Ok(()) };
    let (news, mut hears) = mpsc::channel(NEWS_MOST);
    side.spawn(loader.run(news, rescan));
    let apply = move || {
        while let Some(news) = hears.blocking_recv() {
            applier.apply(news);
        }
    };
    let applies = thread::Builder::new().name("applier".into()).spawn(apply);
    applies.map(drop).map_err(cannot_start)
}
