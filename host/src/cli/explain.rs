//! `pointsman explain CODE`: the manual's page of a code.

use super::{Context, Exit, Failure};
use crate::problem::{Code, ENTRIES};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Such as PM0301; without one, all codes and their titles
    code: Option<String>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let out = &mut context.console.out;
    let Some(text) = &args.code else {
        for entry in ENTRIES {
            writeln!(out, "{}  {}", entry.code, entry.title)?;
        }
        return Ok(Exit::Ok);
    };
    let Some(entry) = Code::parse(text).and_then(Code::entry) else {
        let unknown = anyhow::anyhow!("no code {text:?}; `pointsman explain` lists them all");
        return Err(Failure { exit: Exit::Refused, ..unknown.into() });
    };
    write!(out, "{}", entry.page)?;
    Ok(Exit::Ok)
}
