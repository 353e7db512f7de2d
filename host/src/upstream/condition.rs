//! What is known of one backend, whoever found it out: health checks, its answers, the operator. Its standing follows.

use super::eject::Record;
use crate::figures::Standing;
use std::time::SystemTime;

/// What is known of one backend. Off the request path only.
#[derive(Debug)]
pub(super) struct Condition {
    check: Check,
    /// What the last check said.
    said: String,
    /// Why it is ejected, while it is.
    ejected: Option<String>,
    /// What ejections there were.
    pub(super) record: Record,
    drained: bool,
    /// Of the standing that it was given last.
    since: SystemTime,
}

/// What health checks say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    NotYet,
    Well,
    Ill(Cause),
}

/// Why a backend is out, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody listens.
    Refused,
    /// No answer in time.
    Timeout,
    /// An answer that says no, or is none.
    BadAnswer,
    /// No way leads there.
    Unreachable,
    /// Its requests fail.
    Ejected,
    /// An operator took it out.
    Drained,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            check: Check::NotYet,
            said: "not checked yet".into(),
            ejected: None,
            record: Record::default(),
            drained: false,
            since: SystemTime::now(),
        }
    }
}

impl Condition {
    /// How it would stand if it were for this backend alone.
    pub(super) fn standing(&self) -> Standing {
        match self.check {
            _ if self.drained => Standing::Draining,
            Check::NotYet => Standing::Warming,
            Check::Ill(_) => Standing::Unhealthy,
            Check::Well if self.ejected.is_some() => Standing::Unhealthy,
            Check::Well => Standing::Ready,
        }
    }

    /// Why it is out; none: nothing ails it that is known.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.check {
            _ if self.drained => Some(Cause::Drained),
            Check::Ill(cause) => Some(cause),
            _ => self.ejected.as_ref().map(|_| Cause::Ejected),
        }
    }

    /// Why it stands as it does, for people.
    pub(super) fn why(&self) -> &str {
        match (&self.ejected, self.check) {
            _ if self.drained => "drained by an operator",
            (Some(why), Check::Well) => why,
            _ => &self.said,
        }
    }

    pub(super) fn said(&self) -> &str {
        &self.said
    }

    pub(super) fn since(&self) -> SystemTime {
        self.since
    }

    pub(super) fn is_well(&self) -> bool {
        self.check == Check::Well
    }

    pub(super) fn is_checked(&self) -> bool {
        self.check != Check::NotYet
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Checks succeeded. Who was ill was started anew, or is reached again: what its requests told before does not count.
    pub(super) fn well(&mut self, said: String) {
        if matches!(self.check, Check::Ill(_)) {
            self.ejected = None;
        }
        self.check = Check::Well;
        self.said = said;
    }

    /// Checks failed.
    pub(super) fn ill(&mut self, cause: Cause, said: String) {
        self.check = Check::Ill(cause);
        self.said = said;
    }

    /// A check decided nothing.
    pub(super) fn says(&mut self, said: String) {
        self.said = said;
    }

    pub(super) fn eject(&mut self, why: Option<String>) {
        self.ejected = why;
    }

    pub(super) fn drain(&mut self, drained: bool) {
        self.drained = drained;
    }

    /// It was given another standing.
    pub(super) fn stands_anew(&mut self) {
        self.since = SystemTime::now();
    }
}
