//! `pointsman plugin export NAME`: an embedded plugin as a file, to look at, to change, or to serve under another name.

use super::file;
use crate::{
    cli::{Context, Exit, Failure},
    plugin::stock,
    problem::{Code, Problem, did_you_mean},
};
use anyhow::anyhow;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An embedded plugin, such as round-robin
    name: String,
    /// The file to write, in one step; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let bytes = stock::bytes(&args.name).ok_or_else(|| unknown(&args.name))?;
    if let Some(path) = &args.output {
        file::put(path, bytes)?;
        return Ok(Exit::Ok);
    }
    if context.console.out_is_terminal {
        let refusal = anyhow!("a component is no text for a terminal; use `-o FILE` or `> FILE`");
        return Err(Failure { exit: Exit::Refused, ..refusal.into() });
    }
    context.console.out.write_all(bytes)?;
    context.console.out.flush()?;
    Ok(Exit::Ok)
}

fn unknown(name: &str) -> Problem {
    let guess = did_you_mean(name, stock::names().iter().copied());
    let guess = guess.map(|guess| format!(" (did you mean {guess:?}?)")).unwrap_or_default();
    Problem::error(Code::NO_SUCH_PLUGIN, format!("no plugin {name:?} is embedded{guess}"))
        .note(format!("embedded: {}", stock::names().join(", ")))
}
