//! Where a command writes, and how.

use super::{Failure, Global, args::ColorChoice};
use crate::problem::{Problem, Style, render};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Standard output and standard error, or a test's buffers.
pub struct Console<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Whether a person looks at `out`.
    pub out_is_terminal: bool,
    /// Whether `out` may be coloured.
    pub out_color: bool,
    /// Problems.
    pub err: &'a mut dyn Write,
    /// How problems are drawn.
    pub style: Style,
}

impl<'a> Console<'a> {
    /// Looks at the terminal, the environment (`NO_COLOR`) and the flags to decide on colours.
    pub fn for_terminal(out: &'a mut std::io::Stdout, err: &'a mut std::io::Stderr, global: &Global) -> Console<'a> {
        let wanted = |is_terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let out_is_terminal = out.is_terminal();
        let style = Style { color: wanted(err.is_terminal()), detail: global.verbose > 0 };
        Console { out_is_terminal, out_color: wanted(out_is_terminal), style, out, err }
    }

    /// Neither terminal nor colours.
    pub fn plain(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Console<'a> {
        Console { out, out_is_terminal: false, out_color: false, err, style: Style::default() }
    }

    /// Prints what a program is to read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn json(&mut self, answer: &impl Serialize) -> Result<(), anyhow::Error> {
        Ok(writeln!(self.out, "{}", serde_json::to_string_pretty(answer)?)?)
    }

    /// Prints a problem to standard error.
    pub fn problem(&mut self, problem: &Problem) {
        let _ = writeln!(self.err, "{}", render(problem, self.style));
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        for problem in &failure.problems {
            self.problem(problem);
        }
        if let Some(error) = &failure.error {
            // The reader of a pipe went away (`pointsman schema | head`): nobody is left to be told.
            let broken_pipe = error.downcast_ref().is_some_and(|io: &std::io::Error| io.kind() == BROKEN_PIPE);
            if !broken_pipe {
                let _ = writeln!(self.err, "error: {error:#}");
            }
        }
    }
}

const BROKEN_PIPE: std::io::ErrorKind = std::io::ErrorKind::BrokenPipe;
