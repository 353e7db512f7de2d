//! Wires the rooms from a configuration: start, shutdown, and (through the `conductor`) whatever changes in between. What a
//! lower room needs from a higher one is handed down here, as a reader or a channel.

mod checks;
mod conductor;
mod door;
mod doors;
mod follow;
mod metrics;
mod names;
mod rehearsal;
mod status;

pub use rehearsal::Rehearsal;

use crate::{
    admin,
    config::{
        self,
        model::{self, AdminAddress, Config},
    },
    drain::Drain,
    figures::Figures,
    net::Address,
    plugin::{
        Runtime,
        loader::{self, Loader},
    },
    problem::{Code, Problem},
    proxy::Overload,
    server::Workers,
    state::{Applier, Numbered, Plan},
    telemetry::access_log::AccessLog,
    upstream::{Pool, health, names::Names},
    watch,
};
use checks::{Checks, FIRST_ROUND_MOST};
use conductor::{Asked, Change, Conductor};
use doors::Doors;
use follow::Follower;
use names::Answers;
use status::StatusSource;
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::Builder,
    sync::{Notify, mpsc},
    time::Instant,
};

/// Threads that run what is no request: health checks, probes, the admin API, the plugin directory.
const SIDE_THREADS: usize = 2;
/// Compilations, instance builds and directory scans at one time.
const SIDE_BLOCKING_MOST: usize = 8;
/// Changes that wait for the conductor; who brings one more waits.
const CHANGES_MOST: usize = 16;
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
    /// Where the configuration came from, to be read again; none: it never changes.
    pub source: Option<Source>,
    /// Take in what changes in that file and in those of certificates without being asked.
    pub watch: bool,
}

/// A configuration's file, and what the command line puts over it.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the user named it.
    pub file: PathBuf,
    /// In place of the file's.
    pub admin: Option<AdminAddress>,
}

impl Source {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self) -> Result<Config, Vec<Problem>> {
        let mut config = config::load(&self.file)?;
        if let Some(admin) = &self.admin {
            config.admin = admin.clone();
        }
        Ok(config)
    }
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
            source: None,
            watch: true,
        }
    }
}

/// A running Pointsman. It owns its threads; [`App::shutdown`] ends them in order, dropping it ends them at once.
#[derive(Debug)]
pub struct App {
    drain: Arc<Drain>,
    workers: Workers,
    admin: admin::Server,
    status: Arc<StatusSource>,
    /// Its last lines are written when it goes.
    _access_log: Option<Arc<AccessLog>>,
    /// An operator wants the configuration read again. However often that is said at once, it is done once.
    asked: Arc<Notify>,
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
        let config = config.allowing_expired(options.allow_expired);
        let count = config.server.workers;
        let figures = Arc::new(Figures::new(count));
        let log = open_access_log(config.server.access_log.as_ref())?;
        let mut doors = Doors::new(figures.clone(), log.clone());
        let (staged, problems) = doors.stage(&config);
        let staged = if problems.is_empty() { Ok(staged) } else { Err(problems) };
        let admin = admin::bind(&config.admin, config.metrics);
        let (staged, admin) = both(staged, admin)?;
        let numbered = staged.listeners();
        let mut listeners = Vec::new();
        doors.publish(staged, |listener| listeners.push(listener));

        let side = side_runtime().map_err(cannot_start)?;
        let Prepared { answers, pools, applier, loader, amiss } =
            prepare(&config, &options, &numbered, &figures, &side)?;
        if options.strict && !amiss.is_empty() {
            return Err(amiss);
        }

        let (drain, live) = Drain::new();
        let drain = Arc::new(drain);
        let rescan = Arc::new(Notify::new());
        let alarm = applier.alarm().clone();
        let status = Arc::new(StatusSource::new(&config, &applier));
        let (changes, hears) = mpsc::channel(CHANGES_MOST);
        let mut checks = Checks::new(side.handle().clone(), drain.clone());
        checks.follow(&pools);
        let overload = config.server.requests.map(Overload::new);
        let workers = Workers::start(listeners, count, applier.cell(), overload, Instant::now(), &live);
        let workers = workers.map_err(cannot_start)?;
        let sources = status.sources(figures.clone(), log.clone(), &rescan, changes.clone());
        let (news, fresh) = mpsc::channel(CHANGES_MOST);
        forward(&side, fresh, changes.clone(), Change::Name);
        let names = Names::new(side.handle().clone(), drain.clone(), news);
        let (files, certificates) = tokio::sync::watch::channel(Vec::new());
        let mut conductor = Conductor {
            source: options.source.clone(),
            config,
            refused: Vec::new(),
            wanted: None,
            amiss: Vec::new(),
            allow_expired: options.allow_expired,
            applier,
            figures,
            doors,
            opener: workers.opener(),
            checks,
            answers,
            names,
            unnamed: Vec::new(),
            status: status.clone(),
            files,
            changes: changes.downgrade(),
            side: side.handle().clone(),
        };
        conductor.begin();
        let admin = {
            let _within = side.enter();
            admin::Server::start(admin, sources, live).map_err(cannot_start)?
        };
        if let Some(loader) = loader {
            let (news, fresh) = mpsc::channel(CHANGES_MOST);
            side.spawn(loader.run(news, rescan));
            forward(&side, fresh, changes.clone(), |news| Change::Plugin(Box::new(news)));
        }
        if let Some(source) = options.source.filter(|_| options.watch) {
            let (notify, tick) = (options.notify, watch::TICK);
            let follower = Follower { config: source.file, certificates, changes: changes.clone(), notify, tick };
            side.spawn(follower.run());
        }
        let conducts = thread::Builder::new().name("conductor".into()).spawn(move || conductor.run(hears));
        conducts.map_err(cannot_start)?;
        let asked = Arc::new(Notify::new());
        forward_bell(&side, alarm, changes.clone(), || Change::Quarantine);
        forward_bell(&side, asked.clone(), changes, || Change::Configuration(Asked::Signal));
        Ok(App { drain, workers, admin, status, _access_log: log, asked, side })
    }

    /// Names and bound addresses, in the order of the configuration.
    pub fn listeners(&self) -> Vec<(String, Address)> {
        self.status.shown().addresses.clone()
    }

    /// Has configuration and certificates read again; the log and the status tell what came of it.
    pub fn reload(&self) {
        self.asked.notify_one();
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
        let grace = self.status.shown().drain;
        self.drain.start();
        let cut_off = self.side.block_on(self.drain.wait(grace));
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
    answers: Answers,
    pools: Vec<Arc<Pool>>,
    applier: Applier,
    /// None: no directory is configured.
    loader: Option<Loader>,
    amiss: Vec<Problem>,
}

/// Names looked up and backends checked once, and the plugins that are there admitted.
fn prepare(
    config: &Config,
    options: &Options,
    listeners: &[Numbered],
    figures: &Figures,
    side: &tokio::runtime::Runtime,
) -> Result<Prepared, Vec<Problem>> {
    let workers = figures.workers();
    let runtime = Runtime::new(&config.plugins, workers, &config.server.zone, options.cache.as_deref())
        .map_err(|problem| vec![problem])?;
    let answers = Answers::default().of(config, side.handle());
    let plan = Arc::new(Plan::new(&answers.expand(config), listeners, figures)?);
    let pools: Vec<_> = plan.pools.iter().map(|p| p.pool.clone()).collect();
    side.block_on(health::first_round(&pools, FIRST_ROUND_MOST));
    let mut applier = Applier::new(runtime.clone(), plan, side.handle().clone(), workers);
    let mut loader = config.plugins.directory.as_ref().map(|directory| {
        let loading =
            loader::Options { notify: options.notify, quiet: options.plugins_quiet, tick: options.plugins_tick };
        Loader::new(directory.clone(), runtime, loading)
    });
    let amiss = applier.begin(loader.as_mut().map(Loader::first_scan).unwrap_or_default());
    Ok(Prepared { answers, pools, applier, loader, amiss })
}

/// Hands on to the conductor what somebody has to tell, until either is gone.
fn forward<T: Send + 'static>(
    side: &tokio::runtime::Runtime,
    mut news: mpsc::Receiver<T>,
    changes: mpsc::Sender<Change>,
    wrap: impl Fn(T) -> Change + Send + 'static,
) {
    side.spawn(async move {
        while let Some(news) = news.recv().await {
            if changes.send(wrap(news)).await.is_err() {
                return;
            }
        }
    });
}

/// Hands on to the conductor that somebody rang; however often at once, it is told once.
fn forward_bell(
    side: &tokio::runtime::Runtime,
    bell: Arc<Notify>,
    changes: mpsc::Sender<Change>,
    change: impl Fn() -> Change + Send + 'static,
) {
    side.spawn(async move {
        loop {
            bell.notified().await;
            if changes.send(change()).await.is_err() {
                return;
            }
        }
    });
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
