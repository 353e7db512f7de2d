//! `pointsman plugin history NAME`: the generations of a plugin of a running Pointsman that are kept.

use super::ls::{memory, nanos, or_dash};
use crate::{
    admin::api::Generation,
    cli::{Context, Exit, Failure, client::Client, table::Table},
};
use std::time::{Duration, SystemTime};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plugin, as `plugin ls` calls it
    name: String,
    /// For programs: the answer of the admin API
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let path = super::path(&args.name, "history")?;
    let generations: Vec<Generation> = Client::new(context.global.admin.as_ref()).get(&path)?;
    let out = &mut context.console.out;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&generations).map_err(anyhow::Error::from)?)?;
    } else {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(out, "{}", table(&generations, now))?;
    }
    Ok(Exit::Ok)
}

fn table(generations: &[Generation], now_unix: Duration) -> Table {
    let figures = [">PICKS", ">P50", ">P99", ">HOST CALLS", ">MEMORY", ">FAULTS", ">FALLBACKS"];
    let mut table = Table::new(&[&[">GEN", "HASH", "STATE", ">SINCE", "ORIGIN"], &figures[..]].concat());
    for generation in generations {
        let since = now_unix.saturating_sub(Duration::from_secs(generation.since_unix));
        table.row([
            generation.generation.to_string(),
            generation.hash.clone(),
            generation.state.clone(),
            crate::cli::status::age(since),
            or_dash(Some(&generation.origin)),
            generation.picks.to_string(),
            nanos(generation.costs.p50_ns),
            nanos(generation.costs.p99_ns),
            generation.costs.host_calls.to_string(),
            memory(generation.costs.memory),
            generation.faults.to_string(),
            generation.fallbacks.to_string(),
        ]);
    }
    table
}
