//! A problem as JSON, for the admin API and `--json`.

use super::{Code, Problem, Severity};
use serde::{Deserialize, Serialize};

/// A [`Problem`] without the text of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Such as `PM0301`.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// What and where, in one line.
    pub headline: String,
    /// The file, as the user named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What stands beside the carets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Cause and remedy, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What goes on serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<String>,
    /// The raw cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<&Problem> for Report {
    fn from(problem: &Problem) -> Report {
        let place = problem.spot.as_ref().map(|spot| (spot.file.display().to_string(), spot.line_and_column()));
        Report {
            code: problem.code.to_string(),
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            }
            .into(),
            headline: problem.headline.clone(),
            file: place.as_ref().map(|(file, _)| file.clone()),
            line: place.as_ref().map(|(_, (line, _))| *line),
            column: place.as_ref().map(|(_, (_, column))| *column),
            label: problem.label.clone(),
            notes: problem.notes.clone(),
            serving: problem.serving.clone(),
            detail: problem.detail.clone(),
        }
    }
}

impl From<&Report> for Problem {
    /// What another process found, as if it had been found here.
    fn from(report: &Report) -> Problem {
        let code = Code::parse(&report.code).unwrap_or(Code::LOAD_FAULT);
        let place = match (&report.file, report.line) {
            (Some(file), Some(line)) => format!(" ({file}:{line})"),
            _ => String::new(),
        };
        let mut problem = Problem::error(code, format!("{}{place}", report.headline));
        problem.notes.clone_from(&report.notes);
        problem.serving.clone_from(&report.serving);
        problem.detail.clone_from(&report.detail);
        problem
    }
}
