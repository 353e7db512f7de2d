//! `pointsman schema`: JSON Schema of `pointsman.toml`, for editors.

use super::{Context, Exit, Failure};
use crate::config::json_schema;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub(super) fn run(_: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    writeln!(context.console.out, "{:#}", json_schema())?;
    Ok(Exit::Ok)
}
