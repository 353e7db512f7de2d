//! What is told to a person when something is wrong: a code to look up, what and where, the cause, one thing to do, and
//! what still serves. Every room makes [`Problem`]s; `cli` and the log print them.

mod code;
mod guess;
mod render;
mod report;

pub use code::{Code, ENTRIES, Entry};
pub use guess::did_you_mean;
pub use render::{Style, render};
pub use report::Report;

use std::{fmt, ops::Range, path::PathBuf, sync::Arc};

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
#[derive(Clone)]
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

    /// All of it but the place's text and the detail, in one line as a log wants it.
    pub fn line(&self) -> String {
        let place = self.spot.as_ref().map(|spot| format!(" ({})", spot.place()));
        let mut line = format!("{}: {}{}", self.code, self.headline, place.unwrap_or_default());
        let rest = [&self.label].into_iter().filter(|label| !label.is_empty()).chain(&self.notes).chain(&self.serving);
        for part in rest {
            line.push_str("; ");
            line.push_str(part);
        }
        // A guest's words are among it: they must not begin a line of their own, nor move the reader's cursor.
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// Writes it to the log, the detail for those who asked for more.
    pub fn log(&self) {
        let line = self.line();
        match self.severity {
            Severity::Error => tracing::error!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
            Severity::Info => tracing::info!("{line}"),
        }
        if let Some(detail) = &self.detail {
            tracing::debug!("{}: {}", self.code, detail.escape_debug());
        }
    }
}

/// Always: where something stands is no part of what it is. What only moved in its file is the same for a reload, and the
/// same mistake further down is the same mistake.
impl PartialEq for Spot {
    fn eq(&self, _: &Spot) -> bool {
        true
    }
}

impl Eq for Spot {}

/// Without the text of the file.
impl fmt::Debug for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl Spot {
    /// Line and column of the span's first byte, from 1; the column counts characters. The end of a file is that of its last
    /// line: behind the newline there is nothing to show.
    pub fn line_and_column(&self) -> (usize, usize) {
        let ends_in_newline = self.span.start >= self.source.len() && self.source.ends_with('\n');
        let start = if ends_in_newline { self.source.len() - 1 } else { self.span.start };
        let start = self.source.floor_char_boundary(start);
        let before = &self.source[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// `pointsman.toml:6`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line_and_column().0)
    }
}
