//! Follows the configuration's file and those of certificates. Events are wake-ups; what counts is what is found, and
//! whether it means anything new is for the conductor to see.

use super::conductor::{Asked, Change};
use crate::watch::Watch;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

/// How long files must not have changed before they are read.
const QUIET: Duration = Duration::from_millis(200);
/// Files that change for longer than this are read as they are.
const RESTLESS_MOST: Duration = Duration::from_secs(5);
/// Certificates are looked at so often even if nobody touches them: they grow old by themselves.
const AGE_CHECK: Duration = Duration::from_secs(6 * 60 * 60);

/// What to follow, and whom to tell.
#[derive(Debug)]
pub(super) struct Follower {
    pub config: PathBuf,
    /// Those of certificates; others after a reload.
    pub certificates: watch::Receiver<Vec<PathBuf>>,
    pub changes: mpsc::Sender<Change>,
    /// Listen to the file system; without, ticks alone.
    pub notify: bool,
    pub tick: Duration,
}

/// What identifies a file's state; none: it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// Directories that are watched, and files as they were seen last.
struct Known {
    first: Watch,
    others: Vec<Watch>,
    stamps: HashMap<PathBuf, Stamp>,
}

impl Follower {
    /// Follows until nobody takes the changes any more. At the beginning everything is told once: it may have changed since
    /// it was read. Dropping this future ends the following.
    pub(super) async fn run(mut self) {
        let mut known = Known {
            first: Watch::new(&directory(&self.config), self.notify, self.tick),
            others: Vec::new(),
            stamps: HashMap::new(),
        };
        let sleeper = known.first.sleeper();
        let mut aged = Instant::now() + AGE_CHECK;
        loop {
            let mut changed = BTreeSet::new();
            let restless = Instant::now() + RESTLESS_MOST;
            loop {
                let files = self.files();
                let look = spawn_blocking(move || {
                    let changed = known.look(&files);
                    (known, changed)
                });
                // Only a runtime that shuts down takes no blocking task.
                let Ok((same, fresh)) = look.await else { return };
                known = same;
                let rests = fresh.is_empty();
                changed.extend(fresh);
                if rests || Instant::now() > restless {
                    break;
                }
                sleep(QUIET).await;
            }
            if changed.remove(&self.config) && !self.tell(Change::Configuration(Asked::File)).await {
                return;
            }
            let is_time = Instant::now() >= aged;
            if is_time {
                aged = Instant::now() + AGE_CHECK;
            }
            if (is_time || !changed.is_empty()) && !self.tell(Change::Certificates).await {
                return;
            }
            tokio::select! {
                () = self.changes.closed() => return,
                // An error: the conductor is gone, and so will be the other end of `changes`.
                _ = self.certificates.changed() => {}
                _ = timeout_at(aged, sleeper.wait()) => {}
            }
            // What wakes may be a file beside ours that is written all the time.
            sleep(QUIET).await;
        }
    }

    /// Whether anybody was there to be told.
    async fn tell(&self, change: Change) -> bool {
        self.changes.send(change).await.is_ok()
    }

    fn files(&mut self) -> Vec<PathBuf> {
        let mut files = self.certificates.borrow_and_update().clone();
        files.push(self.config.clone());
        files
    }
}

impl Known {
    /// Which of these files are not as they were; blocking.
    fn look(&mut self, files: &[PathBuf]) -> Vec<PathBuf> {
        // Watched before they are looked at: what changes meanwhile wakes the sleeper again.
        let wanted: BTreeSet<PathBuf> = files.iter().map(|file| directory(file)).collect();
        let own = self.first.directory().to_owned();
        self.others.retain(|watch| wanted.contains(watch.directory()));
        for wanted in wanted {
            let watched = wanted == own || self.others.iter().any(|watch| watch.directory() == wanted);
            if !watched {
                self.others.push(self.first.beside(&wanted));
            }
        }
        for watch in std::iter::once(&mut self.first).chain(&mut self.others) {
            for trouble in watch.check() {
                tracing::debug!(directory = %watch.directory().display(), ?trouble, "it is looked at every now and then");
            }
        }
        let before = std::mem::take(&mut self.stamps);
        self.stamps = files.iter().map(|file| (file.clone(), stamp(file))).collect();
        let other = self.stamps.iter().filter(|(file, stamp)| before.get(*file) != Some(*stamp));
        other.map(|(file, _)| file.clone()).collect()
    }
}

/// As a watch of it calls it.
fn directory(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.parent().map_or_else(|| file.clone(), Path::to_owned)
}

/// Of what a link leads to, so that one that is pointed elsewhere is another file.
fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()))
}
