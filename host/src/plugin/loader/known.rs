//! What is known of a directory's files, and what each look at it changes.

use super::{
    News,
    job::{Compile, Job, Ticket, Verdict},
    scan::{self, Found},
    settle::File,
};
use crate::{
    problem::{Code, Problem},
    watch::{self, Trouble, Watch},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A directory's files.
pub(super) struct Known<T> {
    directory: PathBuf,
    quiet: Duration,
    size_most: u64,
    compile: Compile<T>,
    files: BTreeMap<Arc<str>, File>,
    /// Why the directory could not be listed, if it could not.
    unlisted: Option<String>,
}

/// What one look at the directory saw.
pub(super) struct Look {
    troubles: Vec<Trouble>,
    files: io::Result<BTreeMap<Arc<str>, Found>>,
}

impl<T> Known<T> {
    pub(super) fn new(directory: PathBuf, quiet: Duration, size_most: u64, compile: Compile<T>) -> Known<T> {
        Known { directory, quiet, size_most, compile, files: BTreeMap::new(), unlisted: None }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the directory should be looked at again shortly.
    pub(super) fn is_moving(&self) -> bool {
        self.unlisted.is_none() && self.files.values().any(File::is_moving)
    }

    /// Takes in a look at the directory. While it cannot be listed, its files are left as they were known: a directory
    /// that is gone for a moment is not a deletion of every plugin.
    pub(super) fn notice(&mut self, look: Look, now: Instant) -> Vec<News<T>> {
        let found = match look.files {
            Ok(found) => found,
            Err(error) => return self.notice_unlisted(&error).into_iter().collect(),
        };
        let is_back = self.unlisted.take().is_some();
        if is_back {
            self.files.values_mut().for_each(|file| file.wait_anew(now));
        }
        let rescanned = match (found.len(), self.see(found, now)) {
            (seen, 0) => format!("rescanned {seen} files, nothing changed"),
            (seen, changed) => format!("rescanned {seen} files, {changed} changed"),
        };

        let mut news = Vec::new();
        if is_back {
            news.push(News::Trouble(self.lost(&format!("is back; {rescanned}"))));
        }
        for trouble in look.troubles {
            news.push(News::Trouble(self.tell(&trouble, &rescanned)));
        }
        let quiet = self.quiet;
        for (_, gone) in self.files.extract_if(.., |_, file| file.is_gone(now, quiet)) {
            news.extend(gone.bury());
        }
        // One that has settled waits for its turn to be compiled: it is not its writer who keeps us waiting.
        let unsettled = self.files.values_mut().filter(|file| !file.is_settled(now, quiet));
        news.extend(unsettled.filter_map(|file| file.complain(now)));
        news
    }

    /// The files to look into.
    pub(super) fn settled(&self, now: Instant) -> Vec<Arc<str>> {
        let settled = self.files.iter().filter(|(_, file)| file.is_settled(now, self.quiet));
        settled.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Starts to look into a file, if it is there; what comes of it is for [`Known::judge`].
    pub(super) fn begin(&mut self, name: &Arc<str>) -> Option<Job<T>> {
        let file = self.files.get_mut(name)?;
        let ticket = Ticket { name: Arc::clone(name), found: file.begin()? };
        let (told, size_most, compile) = (file.told_hash(), self.size_most, Arc::clone(&self.compile));
        Some(Job { ticket, told, size_most, compile })
    }

    /// Takes in what came of looking into a file.
    pub(super) fn judge(&mut self, ticket: &Ticket, verdict: Verdict<T>, now: Instant) -> Option<News<T>> {
        self.files.get_mut(&ticket.name)?.judge(&ticket.found, verdict, now)
    }

    /// Brings the known files up to date; answers how many changed.
    fn see(&mut self, mut found: BTreeMap<Arc<str>, Found>, now: Instant) -> usize {
        let mut changed = 0;
        for (name, file) in &mut self.files {
            let stamp = found.remove(name).map(|found| found.stamp);
            changed += usize::from(file.see(stamp, now));
        }
        changed += found.len();
        for (name, found) in found {
            self.files.insert(Arc::clone(&name), File::new(name, found, now));
        }
        changed
    }

    fn notice_unlisted(&mut self, error: &io::Error) -> Option<News<T>> {
        let error = error.to_string();
        if self.unlisted.replace(error.clone()).is_some_and(|before| before == error) {
            return None;
        }
        let problem = self.lost(&format!("cannot be read: {error}; looking every {} s", watch::TICK.as_secs()));
        Some(News::Trouble(problem.note("what serves goes on serving, and files that come back unchanged are no news")))
    }

    fn tell(&self, trouble: &Trouble, rescanned: &str) -> Problem {
        let directory = self.directory.display();
        let polling = format!("polling {directory} every {} s", watch::TICK.as_secs());
        match trouble {
            Trouble::Overflowed => self.lost(&format!("lost events (inotify queue overflowed); {rescanned}")),
            Trouble::Replaced => self.lost(&format!("was replaced; {rescanned}")),
            Trouble::LimitReached => {
                let headline = format!("inotify watch limit reached; {polling}");
                Problem::warning(Code::WATCH_LIMIT, headline)
                    .note("raise fs.inotify.max_user_watches or max_user_instances")
            }
            Trouble::Unwatchable(why) => {
                Problem::warning(Code::WATCH_LIMIT, format!("{directory} cannot be watched ({why}); {polling}"))
            }
        }
    }

    fn lost(&self, what: &str) -> Problem {
        Problem::warning(Code::WATCH_LOST, format!("plugin directory {} {what}", self.directory.display()))
    }
}

impl Look {
    /// Blocking.
    pub(super) fn take(watch: &mut Watch, directory: &Path) -> Look {
        Look { troubles: watch.check(), files: scan::list(directory) }
    }

    /// The files' names, in the order of their modification.
    pub(super) fn names_oldest_first(&self) -> Vec<Arc<str>> {
        let mut files: Vec<_> = self.files.iter().flatten().collect();
        files.sort_by_key(|(_, found)| found.stamp.modified);
        files.into_iter().map(|(name, _)| Arc::clone(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a look at an empty directory.
    fn told(troubles: Vec<Trouble>, files: io::Result<()>, known: &mut Known<()>) -> Vec<String> {
        let look = Look { troubles, files: files.map(|()| BTreeMap::new()) };
        let news = known.notice(look, Instant::now());
        let problems = news.into_iter().filter_map(|news| match news {
            News::Trouble(problem) => Some(format!("{} {}", problem.code, problem.headline)),
            _ => None,
        });
        problems.collect()
    }

    fn known() -> Known<()> {
        Known::new("plugins".into(), Duration::ZERO, 0, Arc::new(|_| Ok(())))
    }

    #[test]
    fn each_trouble_has_its_code_and_says_what_was_done() {
        for (trouble, line) in [
            (
                Trouble::Overflowed,
                "PM0313 plugin directory plugins lost events (inotify queue overflowed); rescanned 0 files, nothing changed",
            ),
            (Trouble::Replaced, "PM0313 plugin directory plugins was replaced; rescanned 0 files, nothing changed"),
            (Trouble::LimitReached, "PM0314 inotify watch limit reached; polling plugins every 2 s"),
            (Trouble::Unwatchable("no".into()), "PM0314 plugins cannot be watched (no); polling plugins every 2 s"),
        ] {
            assert_eq!(told(vec![trouble], Ok(()), &mut known()), [line]);
        }
    }

    #[test]
    fn a_file_that_waits_for_its_turn_is_not_told_of() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("a.wasm"), "1").unwrap();
        let quiet = Duration::from_millis(200);
        let mut known = Known::<()>::new(home.path().into(), quiet, 9, Arc::new(|_| Ok(())));
        let begun = Instant::now();
        for waited in [0, 1, 5, 60] {
            let look = Look { troubles: Vec::new(), files: scan::list(home.path()) };
            let news = known.notice(look, begun + Duration::from_secs(waited));
            assert!(news.is_empty(), "{news:?}");
        }
        assert_eq!(known.settled(begun + quiet), ["a".into()]);
    }

    #[test]
    fn a_directory_that_cannot_be_listed_is_told_once_for_each_reason() {
        let mut known = known();
        let mut look = |error: Option<i32>| {
            told(Vec::new(), error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error))), &mut known).len()
        };
        let (missing, denied) = (Some(2), Some(13));
        assert_eq!([missing, missing, denied, denied, None, None].map(&mut look), [1, 0, 1, 0, 1, 0]);
    }
}
