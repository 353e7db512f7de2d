//! What is told to a person when something is wrong: a code to look up, what and where, the cause, one thing to do, and
//! what still serves. Every room makes [`Problem`]s; `cli` and the log print them.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

/// The number that `pointsman explain` and the manual know, such as `PM0301`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PM{:04}", self.0)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Refused.
    Error,
    /// Goes on, but somebody should know.
    Warning,
    /// Goes on as it should.
    Info,
}

/// A place in a file, with the text to show around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// As the user named it.
    pub file: PathBuf,
    /// The whole text of the file.
    pub source: Arc<str>,
    /// Bytes of `source`.
    pub span: Range<usize>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What `pointsman explain` knows it by.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What and where, in one line, lower case, no full stop.
    pub headline: String,
    /// Where in a file.
    pub spot: Option<Spot>,
    /// What stands beside the carets.
    pub label: String,
    /// Cause and remedy, a line each.
    pub notes: Vec<String>,
    /// What goes on serving, such as `still serving 8be0d77`.
    pub serving: Option<String>,
    /// The raw cause, for `-v` and JSON only.
    pub detail: Option<String>,
}

impl Problem {
    /// An error with no more than a headline.
    pub fn error(code: Code, headline: impl Into<String>) -> Problem {
        Problem {
            code,
            severity: Severity::Error,
            headline: headline.into(),
            spot: None,
            label: String::new(),
            notes: Vec::new(),
            serving: None,
            detail: None,
        }
    }

    /// A warning with no more than a headline.
    pub fn warning(code: Code, headline: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(code, headline) }
    }

    /// News with no more than a headline.
    pub fn info(code: Code, headline: impl Into<String>) -> Problem {
        Problem { severity: Severity::Info, ..Problem::error(code, headline) }
    }

    /// Points at a place, with a word beside the carets.
    pub fn at(mut self, spot: Spot, label: impl Into<String>) -> Problem {
        self.spot = Some(spot);
        self.label = label.into();
        self
    }

    /// Adds a line of cause or remedy.
    pub fn note(mut self, note: impl Into<String>) -> Problem {
        self.notes.push(note.into());
        self
    }

    /// Says what goes on serving.
    pub fn serving(mut self, what: impl Into<String>) -> Problem {
        self.serving = Some(what.into());
        self
    }

    /// Keeps the raw cause for those who ask.
    pub fn detail(mut self, detail: impl fmt::Display) -> Problem {
        self.detail = Some(detail.to_string());
        self
    }
}
