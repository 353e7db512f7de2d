//! `pointsman plugin log NAME`: what a plugin of a running Pointsman has said lately.

use crate::{
    admin::api::LogLine,
    cli::{Context, Exit, Failure, client::Client},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plugin, as `plugin ls` calls it
    name: String,
    /// For programs: the answer of the admin API
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let client = Client::new(context.global.admin.as_ref());
    let lines: Vec<LogLine> = client.get(&super::path(&args.name, "log")?)?;
    let out = &mut context.console.out;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&lines).map_err(anyhow::Error::from)?)?;
        return Ok(Exit::Ok);
    }
    for line in lines {
        writeln!(out, "{:<5} {}", line.level, line.text)?;
    }
    Ok(Exit::Ok)
}
