//! Wake-ups from the file system. `notify` is believed in one thing only: that something in a directory may have changed.
//! What changed is for a rescan to find out, and a tick asks for one even when no event ever comes: network and overlay
//! file systems are silent, queues overflow, watches die with their directory.
//!
//! The parent directory is watched too, so that a directory that is deleted and made again, or a symbolic link that is
//! pointed elsewhere, is seen at once; then the watch is laid anew.

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How often a directory is looked at when no event asks for it, unless somebody says otherwise.
pub const TICK: Duration = Duration::from_secs(2);

/// A watched directory, which need not exist.
#[derive(Debug)]
pub struct Watch {
    directory: PathBuf,
    bell: Arc<Bell>,
    /// False: nothing but ticks.
    notify: bool,
    tick: Duration,
    eye: Arc<Eye>,
    /// Device and inode of the directory at the last check.
    identity: Option<(u64, u64)>,
    /// Whether events of the directory as it is now reach us.
    is_laid: bool,
    /// Whether somebody was told that we can but poll.
    told_polling: bool,
}

/// Waits for wake-ups, apart from the [`Watch`], whose check may block.
#[derive(Clone, Debug)]
pub struct Sleeper {
    bell: Arc<Bell>,
    tick: Duration,
}

/// What a check found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Events were lost.
    Overflowed,
    /// Another directory stands where the old one stood.
    Replaced,
    /// The system gives out no more watches; ticks go on.
    LimitReached,
    /// The system does not watch this directory, in its own words; ticks go on.
    Unwatchable(String),
}

/// A stream of events, with a thread of its own. The system gives a user few of them, so the watches of many directories share
/// one.
#[derive(Debug, Default)]
struct Eye {
    /// None: nothing was to be watched yet. Its thread never waits for this lock, but may be waited for under it.
    watcher: Mutex<Option<RecommendedWatcher>>,
    watched: Arc<Mutex<Vec<Watched>>>,
}

/// A directory, and the bell to ring for it.
#[derive(Debug)]
struct Watched {
    directory: PathBuf,
    bell: Arc<Bell>,
}

/// What the thread of `notify` leaves for us. Flags and one permit: however many events come, nothing queues up.
#[derive(Debug, Default)]
struct Bell {
    /// May be shared with the watches of other directories.
    rung: Arc<Notify>,
    overflowed: AtomicBool,
    /// The directory itself was removed or renamed, and its watch may be dead. Its inode alone would not tell: a new
    /// directory often gets the number of the deleted one.
    torn: AtomicBool,
}

impl Watch {
    /// Touches nothing yet. Without `notify`, ticks are all there is.
    pub fn new(directory: &Path, notify: bool, tick: Duration) -> Watch {
        Watch::with(directory, notify, tick, Arc::default(), Arc::default())
    }

    /// A watch of one more directory that wakes the same sleeper.
    pub fn beside(&self, directory: &Path) -> Watch {
        Watch::with(directory, self.notify, self.tick, self.bell.rung.clone(), self.eye.clone())
    }

    fn with(directory: &Path, notify: bool, tick: Duration, rung: Arc<Notify>, eye: Arc<Eye>) -> Watch {
        // Absolute, since `notify` reports absolute paths and a relative one may have no parent.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let bell = Arc::new(Bell { rung, ..Bell::default() });
        eye.watched().push(Watched { directory: directory.clone(), bell: bell.clone() });
        Watch { directory, bell, notify, tick, eye, identity: None, is_laid: false, told_polling: false }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who waits for this directory.
    pub fn sleeper(&self) -> Sleeper {
        Sleeper { bell: Arc::clone(&self.bell), tick: self.tick }
    }

    /// Lays the watch where it is missing, and says what was wrong since the last check. Blocking. Call it *before* each
    /// scan: what changes during the scan then wakes the sleeper again.
    pub fn check(&mut self) -> Vec<Trouble> {
        let overflowed = self.bell.overflowed.swap(false, Relaxed);
        let torn = self.bell.torn.swap(false, Relaxed);
        let identity = identity(&self.directory);
        let before = std::mem::replace(&mut self.identity, identity);

        let mut troubles = Vec::new();
        if overflowed {
            troubles.push(Trouble::Overflowed);
        }
        if before.is_some() && identity.is_some() && (torn || before != identity) {
            troubles.push(Trouble::Replaced);
        }
        if self.notify && (overflowed || torn || before != identity || !self.is_laid) {
            troubles.extend(self.lay());
        }
        troubles
    }

    /// Lays both watches anew; an error is told once, until a watch holds again.
    fn lay(&mut self) -> Option<Trouble> {
        let directory = self.identity.map(|_| self.directory.as_path());
        let result = self.eye.lay(directory, self.directory.parent());
        self.is_laid = result.is_ok();
        match result {
            Ok(()) => {
                self.told_polling = false;
                None
            }
            Err(_) if std::mem::replace(&mut self.told_polling, true) => None,
            Err(error) => Some(trouble(&error)),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.eye.turn_from(&self.directory, &self.bell);
    }
}

impl Eye {
    /// Watches a directory, if it is there, and its parent.
    fn lay(&self, directory: Option<&Path>, parent: Option<&Path>) -> notify::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let watcher = match &mut *watcher {
            Some(watcher) => watcher,
            empty => {
                let watched = self.watched.clone();
                empty.insert(notify::recommended_watcher(move |event| tell(&watched, &event))?)
            }
        };
        for path in parent.filter(|parent| parent.exists()).into_iter().chain(directory) {
            // Fails when nothing was watched there, which is as good.
            let _ = watcher.unwatch(path);
            watcher.watch(path, RecursiveMode::NonRecursive)?;
        }
        Ok(())
    }

    /// Watches a directory no more, nor its parent, but for what others want of them.
    fn turn_from(&self, directory: &Path, bell: &Arc<Bell>) {
        let paths: Vec<&Path> = {
            let mut watched = self.watched();
            watched.retain(|watched| !Arc::ptr_eq(&watched.bell, bell));
            let wants =
                |other: &Watched, path: &Path| other.directory == path || other.directory.parent() == Some(path);
            let paths = directory.parent().into_iter().chain([directory]);
            paths.filter(|path| !watched.iter().any(|other| wants(other, path))).collect()
        };
        if let Some(watcher) = &mut *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) {
            // Fails when nothing was watched there, which is as good.
            paths.into_iter().for_each(|path| drop(watcher.unwatch(path)));
        }
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On the thread of `notify`.
fn tell(watched: &Mutex<Vec<Watched>>, event: &notify::Result<Event>) {
    let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
    watched.iter().for_each(|Watched { directory, bell }| bell.hear(directory, event));
}

impl Sleeper {
    /// Ends at an event, or after one tick. Dropping this future loses no event.
    pub async fn wait(&self) {
        let _ = tokio::time::timeout(self.tick, self.bell.rung.notified()).await;
    }
}

impl Bell {
    fn hear(&self, directory: &Path, event: &notify::Result<Event>) {
        match event {
            Err(_) => self.overflowed.store(true, Relaxed),
            Ok(event) if event.need_rescan() => self.overflowed.store(true, Relaxed),
            // Our own reading opens files: it must not wake us again.
            Ok(event) if is_reading(&event.kind) => return,
            // The parent's other business.
            Ok(event) if !event.paths.iter().any(|path| path.starts_with(directory)) => return,
            Ok(event) => {
                let moves = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                if moves && event.paths.iter().any(|path| path == directory) {
                    self.torn.store(true, Relaxed);
                }
            }
        }
        self.rung.notify_one();
    }
}

fn is_reading(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(directory).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

fn trouble(error: &notify::Error) -> Trouble {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Trouble::LimitReached,
        // What making an inotify instance answers when the user has too many.
        ErrorKind::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Trouble::LimitReached
        }
        _ => Trouble::Unwatchable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, Flag, RemoveKind, RenameMode};
    use tokio::time::{Instant, timeout};

    /// Shorter than a tick: whoever is woken within it was woken by an event.
    const SOON: Duration = Duration::from_millis(1500);

    fn watched() -> (tempfile::TempDir, PathBuf, Watch) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("plugins");
        fs::create_dir(&directory).unwrap();
        let mut watch = Watch::new(&directory, true, TICK);
        assert_eq!(watch.check(), []);
        (home, directory, watch)
    }

    async fn is_woken(watch: &Watch) -> bool {
        timeout(SOON, watch.sleeper().wait()).await.is_ok()
    }

    #[tokio::test]
    async fn a_new_file_wakes() {
        let (_home, directory, watch) = watched();
        fs::write(directory.join("a.wasm"), "x").unwrap();
        assert!(is_woken(&watch).await);
    }

    #[tokio::test]
    async fn a_link_swap_as_kubernetes_does_it_wakes() {
        let (_home, directory, watch) = watched();
        std::os::unix::fs::symlink("..2026_1", directory.join("..data_tmp")).unwrap();
        assert!(is_woken(&watch).await);
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        assert!(is_woken(&watch).await);
    }

    #[tokio::test]
    async fn a_directory_made_again_is_watched_again() {
        let (_home, directory, mut watch) = watched();
        fs::remove_dir(&directory).unwrap();
        assert!(is_woken(&watch).await);
        watch.check();
        fs::create_dir(&directory).unwrap();
        assert!(is_woken(&watch).await, "its parent tells");

        let deadline = Instant::now() + SOON;
        loop {
            watch.check();
            // Events of the return itself may still be on their way.
            while timeout(Duration::from_millis(50), watch.sleeper().wait()).await.is_ok() {
                watch.check();
            }
            fs::write(directory.join("a.wasm"), "x").unwrap();
            if is_woken(&watch).await {
                break;
            }
            assert!(Instant::now() < deadline, "no event from the new directory");
        }
    }

    #[tokio::test]
    async fn a_replaced_directory_is_told_once() {
        let (home, directory, mut watch) = watched();
        let other = home.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::rename(&directory, home.path().join("old")).unwrap();
        fs::rename(&other, &directory).unwrap();
        // Its events come first, all of them.
        while is_woken(&watch).await {}
        assert_eq!(watch.check(), [Trouble::Replaced]);
        assert_eq!(watch.check(), []);
    }

    #[tokio::test]
    async fn many_directories_share_one_stream_of_events() {
        let (home, _directory, mut first) = watched();
        let others = ["a", "b", "c"].map(|name| home.path().join(name));
        others.iter().for_each(|directory| fs::create_dir(directory).unwrap());
        let mut beside: Vec<Watch> = others.iter().map(|directory| first.beside(directory)).collect();
        assert!(beside.iter().all(|watch| Arc::ptr_eq(&watch.eye, &first.eye)));
        beside.iter_mut().for_each(|watch| assert_eq!(watch.check(), []));
        // Those that were just made, seen from their parent.
        while timeout(Duration::from_millis(50), first.sleeper().wait()).await.is_ok() {}

        fs::write(others[1].join("x"), "x").unwrap();
        assert!(is_woken(&first).await, "any of them wakes who waits for the first");
        drop(beside.remove(0));
        while timeout(Duration::from_millis(50), first.sleeper().wait()).await.is_ok() {}
        fs::write(others[0].join("x"), "x").unwrap();
        assert!(!is_woken(&first).await, "it is nobody's any more");
        fs::remove_file(others[1].join("x")).unwrap();
        fs::remove_dir(&others[1]).unwrap();
        assert!(is_woken(&first).await);
        assert_eq!(first.check(), []);
        beside[0].check();
        while timeout(Duration::from_millis(50), first.sleeper().wait()).await.is_ok() {}
        fs::create_dir(&others[1]).unwrap();
        assert!(is_woken(&first).await, "the parent that they share is watched still");
    }

    #[tokio::test]
    async fn a_missing_directory_is_seen_when_it_comes() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("plugins");
        let mut watch = Watch::new(&directory, true, TICK);
        assert_eq!(watch.check(), []);
        fs::create_dir(&directory).unwrap();
        assert!(is_woken(&watch).await);
        assert_eq!(watch.check(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn without_notify_only_the_tick_wakes() {
        let home = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(home.path(), false, TICK);
        assert_eq!(watch.check(), []);
        fs::write(home.path().join("a.wasm"), "x").unwrap();
        let start = Instant::now();
        watch.sleeper().wait().await;
        assert!(start.elapsed() >= TICK);
    }

    #[tokio::test]
    async fn lost_events_are_told_once() {
        let (_home, directory, mut watch) = watched();
        watch.bell.hear(&directory, &Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(is_woken(&watch).await);
        assert_eq!(watch.check(), [Trouble::Overflowed]);
        assert_eq!(watch.check(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_and_the_neighbours_do_not_wake() {
        let directory = Path::new("/x/plugins");
        let write = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for (kind, path, wakes, torn) in [
            (EventKind::Create(CreateKind::File), "/x/plugins/a.wasm", true, false),
            (EventKind::Remove(RemoveKind::File), "/x/plugins/a.wasm", true, false),
            (EventKind::Remove(RemoveKind::Folder), "/x/plugins", true, true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), "/x/plugins", true, true),
            (EventKind::Create(CreateKind::Folder), "/x/plugins", true, false),
            (write, "/x/plugins/a.wasm", true, false),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), "/x/plugins/a.wasm", false, false),
            (EventKind::Create(CreateKind::File), "/x/neighbour", false, false),
            (EventKind::Remove(RemoveKind::Folder), "/x/plugins-too", false, false),
        ] {
            let bell = Arc::new(Bell::default());
            bell.hear(directory, &Ok(Event::new(kind).add_path(path.into())));
            let start = Instant::now();
            Sleeper { bell: Arc::clone(&bell), tick: TICK }.wait().await;
            assert_eq!(start.elapsed() < TICK, wakes, "{kind:?} {path}");
            assert_eq!(bell.torn.load(Relaxed), torn, "{kind:?} {path}");
        }
    }

    #[test]
    fn limits_have_their_own_name() {
        assert_eq!(trouble(&notify::Error::new(ErrorKind::MaxFilesWatch)), Trouble::LimitReached);
        assert_eq!(trouble(&notify::Error::io(std::io::Error::from_raw_os_error(24))), Trouble::LimitReached);
        let denied = notify::Error::io(std::io::Error::from_raw_os_error(13));
        assert!(matches!(trouble(&denied), Trouble::Unwatchable(why) if why.contains("ermission denied")));
    }
}
