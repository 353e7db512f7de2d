//! What `run` and `try` share: where compiled code is kept, and waiting for the signal to end.

use super::{Exit, Failure};
use crate::app::App;
use std::path::PathBuf;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Where compiled plugins are kept between two starts: `$XDG_CACHE_HOME/pointsman`, else `~/.cache/pointsman`. None where
/// there is no home: then each start compiles anew.
pub(super) fn code_cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("pointsman"))
}

/// The processors this process may run on.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal during the drain ends the process at once.
pub(super) fn until_stopped(app: App) -> Result<Exit, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let mut next = async || {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
        }
    };
    runtime.block_on(next());
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
