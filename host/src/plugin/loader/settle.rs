//! One file's way from changing to judged. Knows no disk and no clock: it is told what was seen, and when.

use super::{
    News,
    job::Verdict,
    scan::{Found, Stamp},
    whole::EarlyEnd,
};
use crate::{
    plugin::Hash,
    problem::{Code, Problem},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A file that changes for longer than this is told of.
const RESTLESS_AFTER: Duration = Duration::from_secs(2);
/// A file that is not whole after this is warned of.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// What is known of one file of the directory.
#[derive(Debug)]
pub(super) struct File {
    name: Arc<str>,
    path: PathBuf,
    /// As seen last; none: it is not there.
    stamp: Option<Stamp>,
    /// Since when it is so.
    still_since: Instant,
    state: State,
    /// Since when it is neither whole nor refused.
    restless_since: Option<Instant>,
    patience: Patience,
    told: Told,
}

#[derive(Debug)]
enum State {
    /// It changed, and nobody has looked into it since.
    Moving,
    /// Somebody is looking into it.
    Judging,
    /// It rests, but it is not whole.
    EndsEarly(EarlyEnd),
    /// It rests.
    Judged,
}

/// How often its owner was told that it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Patience {
    Fresh,
    Waiting,
    Stuck,
}

/// What was told of it last: the same is never told twice in a row.
#[derive(Debug)]
enum Told {
    Nothing,
    Waiting,
    Refused(Option<Hash>, Problem),
    Compiled(Hash),
}

impl File {
    pub(super) fn new(name: Arc<str>, found: Found, now: Instant) -> File {
        File {
            name,
            path: found.path,
            stamp: Some(found.stamp),
            still_since: now,
            state: State::Moving,
            restless_since: Some(now),
            patience: Patience::Fresh,
            told: Told::Nothing,
        }
    }

    /// Takes in what a scan saw; true when that is a change.
    pub(super) fn see(&mut self, stamp: Option<Stamp>, now: Instant) -> bool {
        let changed = self.stamp != stamp;
        if changed {
            self.stamp = stamp;
            self.still_since = now;
            self.state = State::Moving;
            self.restless_since.get_or_insert(now);
        }
        changed
    }

    /// Starts the quiet time again: nobody saw the directory for a while, and it may not be filled yet.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        self.still_since = now;
    }

    /// Whether it should be looked at again shortly.
    pub(super) fn is_moving(&self) -> bool {
        matches!(self.state, State::Moving)
    }

    /// Whether it has not changed for the quiet time since anybody looked into it.
    pub(super) fn is_settled(&self, now: Instant, quiet: Duration) -> bool {
        self.is_moving() && now.duration_since(self.still_since) >= quiet
    }

    /// Whether it has been gone for the quiet time. A writer may delete a file a moment before it puts the next one there.
    pub(super) fn is_gone(&self, now: Instant, quiet: Duration) -> bool {
        self.stamp.is_none() && self.is_settled(now, quiet)
    }

    /// What to look into; none when it is not there. The verdict is to be given to [`File::judge`].
    pub(super) fn begin(&mut self) -> Option<Found> {
        let stamp = self.stamp?;
        self.state = State::Judging;
        Some(Found { path: self.path.clone(), stamp })
    }

    /// The hash that a file must not have to be news.
    pub(super) fn told_hash(&self) -> Option<Hash> {
        match self.told {
            Told::Compiled(hash) | Told::Refused(Some(hash), _) => Some(hash),
            Told::Nothing | Told::Waiting | Told::Refused(None, _) => None,
        }
    }

    /// Takes in what came of looking into the file as it was `then`; an older state's verdict is dropped.
    pub(super) fn judge<T>(&mut self, then: &Found, verdict: Verdict<T>, now: Instant) -> Option<News<T>> {
        if self.stamp != Some(then.stamp) || !matches!(self.state, State::Judging) {
            return None;
        }
        match verdict {
            Verdict::Changed => {
                self.state = State::Moving;
                self.still_since = now;
                None
            }
            Verdict::EndsEarly(end) => {
                self.state = State::EndsEarly(end);
                self.complain(now)
            }
            Verdict::Same => {
                self.rest();
                None
            }
            Verdict::Refused(hash, problem) => {
                self.rest();
                if matches!(&self.told, Told::Refused(told, same) if *told == hash && *same == problem) {
                    return None;
                }
                self.told = Told::Refused(hash, problem.clone());
                Some(News::Refused { name: Arc::clone(&self.name), path: self.path.clone(), hash, problem })
            }
            Verdict::Compiled(hash, compiled) => {
                self.rest();
                self.told = Told::Compiled(hash);
                Some(News::Compiled(compiled))
            }
        }
    }

    /// What to say of a file that does not come to rest: once, and once more when it takes very long.
    pub(super) fn complain<T>(&mut self, now: Instant) -> Option<News<T>> {
        let waited = now.duration_since(self.restless_since?);
        let (size, path) = (self.stamp?.size, self.path.display());
        let what = match &self.state {
            State::EndsEarly(end) => format!("{path} ends early ({end})"),
            State::Moving if waited >= RESTLESS_AFTER => format!("{path} is still changing ({size} B)"),
            _ => return None,
        };
        let patience = if waited >= STUCK_AFTER { Patience::Stuck } else { Patience::Waiting };
        if patience <= self.patience {
            return None;
        }
        self.patience = patience;
        let problem = match patience {
            Patience::Stuck => {
                Problem::warning(Code::NOT_SETTLED, format!("{path} has not settled for {} s", STUCK_AFTER.as_secs()))
                    .note("copy to another name and `mv`, or use `pointsman plugin install`")
                    .detail(what)
            }
            _ => Problem::info(Code::STILL_CHANGING, format!("{what}; waiting")),
        };
        self.told = Told::Waiting;
        Some(News::Waiting { name: Arc::clone(&self.name), path: self.path.clone(), problem })
    }

    /// The last word on a file that is gone; none when nobody ever heard of it.
    pub(super) fn bury<T>(self) -> Option<News<T>> {
        match self.told {
            Told::Nothing => None,
            _ => Some(News::Removed { name: self.name, path: self.path }),
        }
    }

    fn rest(&mut self) {
        self.state = State::Judged;
        self.restless_since = None;
        self.patience = Patience::Fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::loader::{
        scan,
        whole::{self, early_end},
    };

    const QUIET: Duration = Duration::from_millis(200);

    /// A file on disk and what is known of it; its news are texts.
    struct Watched {
        home: tempfile::TempDir,
        file: File,
        now: Instant,
    }

    impl Watched {
        fn new() -> Watched {
            let home = tempfile::tempdir().unwrap();
            std::fs::write(home.path().join("a.wasm"), b"\0asm").unwrap();
            let found = scan::list(home.path()).unwrap().remove("a").unwrap();
            let now = Instant::now();
            Watched { home, file: File::new("a".into(), found, now), now }
        }

        /// Writes this many bytes after some time; what is said of it.
        fn grows(&mut self, after: Duration, size: usize) -> Option<Code> {
            self.now += after;
            std::fs::write(self.home.path().join("a.wasm"), vec![0; size]).unwrap();
            let found = scan::list(self.home.path()).unwrap().remove("a").unwrap();
            self.file.see(Some(found.stamp), self.now);
            self.complains(Duration::ZERO)
        }

        fn complains(&mut self, after: Duration) -> Option<Code> {
            self.now += after;
            code(self.file.complain(self.now))
        }

        fn gets(&mut self, verdict: Verdict<()>) -> Option<Code> {
            let found = self.file.begin().unwrap();
            code(self.file.judge(&found, verdict, self.now))
        }

        fn cut(&mut self) -> Option<Code> {
            let end: whole::EarlyEnd = early_end(b"\0asm").unwrap();
            self.gets(Verdict::EndsEarly(end))
        }
    }

    fn code(news: Option<News<()>>) -> Option<Code> {
        match news? {
            News::Waiting { problem, .. } | News::Refused { problem, .. } => Some(problem.code),
            _ => None,
        }
    }

    #[test]
    fn a_file_settles_after_the_quiet_time_and_each_change_starts_it_again() {
        let mut a = Watched::new();
        let almost = QUIET - Duration::from_millis(1);
        assert!(!a.file.is_settled(a.now + almost, QUIET));
        a.grows(almost, 9);
        assert!(!a.file.is_settled(a.now + almost, QUIET));
        assert!(a.file.is_settled(a.now + QUIET, QUIET));
    }

    #[test]
    fn a_file_that_ends_early_is_told_at_once_and_warned_of_once() {
        let mut a = Watched::new();
        assert_eq!(a.cut(), Some(Code::STILL_CHANGING));
        assert_eq!(a.complains(STUCK_AFTER - Duration::from_secs(1)), None);
        assert_eq!(a.complains(Duration::from_secs(1)), Some(Code::NOT_SETTLED));
        assert_eq!(a.complains(STUCK_AFTER), None);
    }

    #[test]
    fn a_file_that_never_rests_is_told_of_too() {
        let mut a = Watched::new();
        assert_eq!(a.grows(Duration::from_secs(1), 10), None);
        assert_eq!(a.grows(Duration::from_secs(1), 11), Some(Code::STILL_CHANGING));
        assert_eq!(a.grows(Duration::from_secs(27), 12), None);
        assert_eq!(a.grows(Duration::from_secs(1), 13), Some(Code::NOT_SETTLED));
    }

    #[test]
    fn patience_is_new_after_a_whole_file() {
        let mut a = Watched::new();
        assert_eq!(a.cut(), Some(Code::STILL_CHANGING));
        a.grows(Duration::ZERO, 20);
        assert_eq!(a.gets(Verdict::Compiled(Hash::of(b"1"), ())), None);
        assert_eq!(a.complains(STUCK_AFTER), None);
        a.grows(Duration::ZERO, 10);
        assert_eq!(a.cut(), Some(Code::STILL_CHANGING));
    }

    #[test]
    fn slow_compiling_is_not_restlessness() {
        let mut a = Watched::new();
        a.file.begin().unwrap();
        assert_eq!(a.complains(STUCK_AFTER), None);
    }

    #[test]
    fn the_verdict_on_an_older_state_is_dropped() {
        let mut a = Watched::new();
        let old = a.file.begin().unwrap();
        a.grows(Duration::ZERO, 10);
        assert!(a.file.judge(&old, Verdict::Compiled(Hash::of(b"old"), ()), a.now).is_none());
        assert!(a.file.is_moving());
        let new = a.file.begin().unwrap();
        assert!(a.file.judge(&old, Verdict::Compiled(Hash::of(b"old"), ()), a.now).is_none());
        assert!(a.file.judge(&new, Verdict::Compiled(Hash::of(b"new"), ()), a.now).is_some());
        assert_eq!(a.file.told_hash(), Some(Hash::of(b"new")));
    }

    #[test]
    fn the_same_refusal_without_a_hash_is_told_once() {
        let mut a = Watched::new();
        let refused = || Verdict::Refused(None, Problem::error(Code::UNREADABLE, "permission denied"));
        assert_eq!(a.gets(refused()), Some(Code::UNREADABLE));
        a.grows(Duration::ZERO, 10);
        assert_eq!(a.gets(refused()), None);
    }

    #[test]
    fn who_was_never_heard_of_is_not_mourned() {
        let mut a = Watched::new();
        a.file.see(None, a.now);
        assert!(!a.file.is_gone(a.now, QUIET));
        assert!(a.file.is_gone(a.now + QUIET, QUIET));
        assert!(a.file.bury::<()>().is_none());
    }
}
