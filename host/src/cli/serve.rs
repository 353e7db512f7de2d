//! What commands that serve, or look whether they could, have in common: the configuration as the command line has it,
//! where compiled code is kept, open files, and signals.

use super::{Context, Exit, Failure};
use crate::{
    app::{App, Options, Source},
    config::{self, model::Config},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// Open files that are asked for: a hard limit may lie far beyond what any machine serves.
const FILES_MOST: u64 = 1 << 20;

/// The file, what it says but for what the command line says otherwise, and the options of a start from it.
pub(super) fn configured(context: &Context<'_>, allow_expired: bool) -> Result<(PathBuf, Config, Options), Failure> {
    let file = config::find(context.global.config.as_deref())?;
    let source = Source { file: file.clone(), admin: context.global.admin.clone() };
    let config = source.read()?;
    let options = Options { allow_expired, cache: code_cache(), source: Some(source), ..Options::default() };
    Ok((file, config, options))
}

/// Where compiled plugins are kept between two starts: `$XDG_CACHE_HOME/pointsman`, else `~/.cache/pointsman`. None where
/// there is no home: then each start compiles anew.
pub(super) fn code_cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("pointsman"))
}

/// Has the system give this process as many open files as it ever would: each connection is one, and the usual thousand is
/// fewer than a few pools keep.
pub(super) fn raise_file_limit() {
    let limits = getrlimit(Resource::Nofile);
    // None: no limit.
    let most = limits.maximum.map_or(FILES_MOST, |maximum| maximum.min(FILES_MOST));
    let Some(now) = limits.current.filter(|now| *now < most) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limits.maximum }) {
        Ok(()) => tracing::debug!("{most} open files are allowed from now on, instead of {now}"),
        Err(error) => tracing::debug!("{now} open files are allowed, and no more: {error}"),
    }
}

/// SIGHUP, caught before anything is read: it would end the process. One that comes during the start is heard after it.
#[derive(Debug)]
pub(super) struct Hangups {
    runtime: Runtime,
    signal: Signal,
}

impl Hangups {
    pub(super) fn catch() -> Result<Hangups, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signal = runtime.block_on(async { signal(SignalKind::hangup()) })?;
        Ok(Hangups { runtime, signal })
    }

    /// From here on SIGTERM and SIGINT wait until it serves, and have it drain then: call it just before that.
    pub(super) fn and_stops(self) -> Result<Signals, Failure> {
        let Hangups { runtime, signal: hangup } = self;
        let (terminate, interrupt) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Signals { runtime, hangup, terminate, interrupt })
    }
}

/// The signals that a serving process hears.
#[derive(Debug)]
pub(super) struct Signals {
    runtime: Runtime,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Serves until SIGTERM or SIGINT, then drains; SIGHUP has the configuration read again. A second signal during the drain ends the process at once.
pub(super) fn until_stopped(app: App, signals: Signals) -> Result<Exit, Failure> {
    let Signals { runtime, mut hangup, mut terminate, mut interrupt } = signals;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    runtime.block_on(async {
        let mut stops = std::pin::pin!(next());
        loop {
            tokio::select! {
                () = &mut stops => return,
                Some(()) = hangup.recv() => app.reload(),
            }
        }
    });
    tracing::info!("stopping: no new connections, running requests may end");
    let drained = runtime.block_on(async {
        let drain = tokio::task::spawn_blocking(move || app.shutdown());
        tokio::select! {
            drained = drain => drained.ok(),
            () = next() => None,
        }
    });
    // After a second signal the drain still waits on its thread; it is not waited for.
    runtime.shutdown_background();
    match drained {
        Some(drained) if drained.cut_off == 0 => Ok(Exit::Ok),
        Some(drained) => {
            tracing::warn!("{} connections were cut off", drained.cut_off);
            Ok(Exit::Failed)
        }
        None => Ok(Exit::Failed),
    }
}
