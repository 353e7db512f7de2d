//! A plugin directory's files, from the moment they appear to compiled code or a reason why not. It reports; what serves
//! is for others to decide.
//!
//! Each look at the directory compares all of it with what was known: names, then stamps, then hashes. A file that has
//! not changed for the quiet time is read, checked for an early end, and compiled, away from everything that serves. One
//! file of a name is worked on at a time, and when it changed meanwhile, what came of the older state is dropped.

mod job;
mod known;
mod scan;
mod settle;
#[cfg(test)]
mod tests;
mod whole;

use super::{Artifact, Compiled, Hash, Runtime};
use crate::{
    problem::Problem,
    watch::{self, Sleeper, Watch},
};
use job::Jobs;
use known::{Known, Look};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    task,
    time::Instant,
};

/// The least time between two looks at the directory; how often it is looked at while a file is changing.
const STEP: Duration = Duration::from_millis(50);

/// How long a file must not have changed before it is read, unless [`Options`] say otherwise.
pub const QUIET: Duration = Duration::from_millis(200);

/// How to watch.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether the file system's events wake the loader, or ticks alone.
    pub notify: bool,
    /// How long a file must not have changed before it is read.
    pub quiet: Duration,
    /// How often the directory is looked at when no event asks for it.
    pub tick: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { notify: true, quiet: QUIET, tick: watch::TICK }
    }
}

/// What happened to a file, or to the directory.
#[derive(Debug)]
pub enum News<T = Arc<Compiled>> {
    /// Other bytes than were told of last, compiled.
    Compiled(T),
    /// They will not serve.
    Refused {
        /// The file's name without `.wasm`; it need not be a permitted one.
        name: Arc<str>,
        /// The file.
        path: PathBuf,
        /// None when it was not read.
        hash: Option<Hash>,
        /// Why.
        problem: Problem,
    },
    /// It is not whole yet.
    Waiting {
        /// The plugin.
        name: Arc<str>,
        /// The file.
        path: PathBuf,
        /// PM0311, later PM0312.
        problem: Problem,
    },
    /// It was deleted.
    Removed {
        /// The plugin.
        name: Arc<str>,
        /// Where it was.
        path: PathBuf,
    },
    /// Something about watching; all files were looked at again.
    Trouble(Problem),
}

/// A directory and what is known of its files. `T` is what compiling makes.
pub struct Loader<T = Arc<Compiled>> {
    watch: Watch,
    known: Known<T>,
}

impl Loader {
    /// Touches nothing yet. The directory need not exist.
    pub fn new(directory: PathBuf, runtime: Arc<Runtime>, options: Options) -> Loader {
        let size_most = runtime.limits.size;
        Loader::with(directory, size_most, options, move |artifact| runtime.compile(artifact))
    }
}

impl<T: Send + 'static> Loader<T> {
    fn with(
        directory: PathBuf,
        size_most: u64,
        options: Options,
        compile: impl Fn(Artifact) -> Result<T, Problem> + Send + Sync + 'static,
    ) -> Loader<T> {
        Loader {
            watch: Watch::new(&directory, options.notify, options.tick),
            known: Known::new(directory, options.quiet, size_most, Arc::new(compile)),
        }
    }

    /// What is there at start, oldest modification first. Blocking. Whole files are taken without waiting for the quiet
    /// time; what is not whole is left to [`Loader::run`].
    pub fn first_scan(&mut self) -> Vec<News<T>> {
        let now = Instant::now();
        let look = Look::take(&mut self.watch, self.known.directory());
        let names = look.names_oldest_first();
        let mut news = self.known.notice(look, now);
        for name in names {
            if let Some(job) = self.known.begin(&name) {
                news.extend(self.known.judge(&job.ticket, job.run(), Instant::now()));
            }
        }
        news
    }

    /// Watches until nobody takes the news any more. `rescan` asks for a look at once. Dropping this future ends the
    /// watching; a file that is being compiled is compiled to its end, for nothing.
    pub async fn run(self, news: mpsc::Sender<News<T>>, rescan: Arc<Notify>) {
        let Loader { mut watch, mut known } = self;
        let sleeper = watch.sleeper();
        let mut jobs = Jobs::default();
        let mut looked = None;
        loop {
            let fresh = tokio::select! {
                () = news.closed() => return,
                () = until_next_look(looked, known.is_moving(), &sleeper, &rescan) => {
                    let directory = known.directory().to_owned();
                    let look = task::spawn_blocking(move || (Look::take(&mut watch, &directory), watch));
                    // Only a runtime that shuts down takes no blocking task.
                    let Ok((look, same_watch)) = look.await else { return };
                    let now = Instant::now();
                    (watch, looked) = (same_watch, Some(now));
                    known.notice(look, now)
                }
                Some((ticket, verdict)) = jobs.next() => {
                    known.judge(&ticket, verdict, Instant::now()).into_iter().collect()
                }
            };
            for fresh in fresh {
                if news.send(fresh).await.is_err() {
                    return;
                }
            }
            for name in known.settled(Instant::now()) {
                if jobs.may_start(&name) {
                    known.begin(&name).into_iter().for_each(|job| jobs.start(job));
                }
            }
        }
    }
}

/// Ends when the directory is to be looked at again: at once the first time. Dropping this future loses no wake-up.
async fn until_next_look(looked: Option<Instant>, moving: bool, sleeper: &Sleeper, rescan: &Notify) {
    let Some(looked) = looked else { return };
    tokio::time::sleep_until(looked + STEP).await;
    if !moving {
        tokio::select! {
            () = sleeper.wait() => {}
            () = rescan.notified() => {}
        }
    }
}

impl<T> fmt::Debug for Loader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("watch", &self.watch).finish_non_exhaustive()
    }
}
