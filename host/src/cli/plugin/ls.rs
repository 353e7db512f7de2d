//! `pointsman plugin ls`: the plugins of a running Pointsman, the refused ones included, with their error.

use super::embedded;
use crate::{
    admin::api::{Costs, Plugin},
    cli::{Context, Exit, Failure, client::Client, table::Table},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// For programs: the answer of the admin API
    #[arg(long)]
    json: bool,
    /// What is embedded in this binary instead: settings, and what a pick costs at most; asks nobody
    #[arg(long)]
    stock: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    if args.stock {
        return embedded::print(args.json, &mut context.console.out);
    }
    let plugins: Vec<Plugin> = Client::new(context.global.admin.as_ref()).get("/v1/plugins")?;
    if args.json {
        context.console.json(&plugins)?;
        return Ok(Exit::Ok);
    }
    let out = &mut context.console.out;
    write!(out, "{}", table(&plugins))?;
    for (plugin, problem) in plugins.iter().filter_map(|plugin| Some((plugin, plugin.problem.as_ref()?))) {
        writeln!(out, "{}: {}[{}] {}", plugin.name, problem.severity, problem.code, problem.headline)?;
    }
    Ok(Exit::Ok)
}

fn table(plugins: &[Plugin]) -> Table {
    let known = ["NAME", "KIND", "STATE", ">GEN", "HASH", "ORIGIN"];
    let mut table = Table::new(&[&known[..], &FIGURES, &["POOLS"]].concat());
    for plugin in plugins {
        let known = [
            plugin.name.clone(),
            or_dash(plugin.kind.as_ref()),
            format!("{}{}", plugin.state, if plugin.pinned { ",pinned" } else { "" }),
            or_dash(plugin.generation),
            or_dash(plugin.hash.as_ref()),
            or_dash(plugin.origin.as_ref()),
        ];
        let Plugin { picks, costs, faults, fallbacks, pools, .. } = plugin;
        let pools = or_dash((!pools.is_empty()).then(|| pools.join(",")));
        table.row(known.into_iter().chain(figures(*picks, costs, *faults, *fallbacks)).chain([pools]));
    }
    table
}

/// What there is to say of any generation.
pub(super) const FIGURES: [&str; 7] = [">PICKS", ">P50", ">P99", ">HOST CALLS", ">MEMORY", ">FAULTS", ">FALLBACKS"];

/// The cells below [`FIGURES`].
pub(super) fn figures(picks: u64, costs: &Costs, faults: u64, fallbacks: u64) -> [String; FIGURES.len()] {
    [
        picks.to_string(),
        nanos(costs.p50_ns),
        nanos(costs.p99_ns),
        costs.host_calls.to_string(),
        memory(costs.memory),
        faults.to_string(),
        fallbacks.to_string(),
    ]
}

/// `850ns`, `1.9µs`, `2.1ms`; nothing where nothing was timed.
pub(in crate::cli) fn nanos(ns: u64) -> String {
    match ns {
        0 => "-".into(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{:.1}µs", ns as f64 / 1e3),
        1_000_000.. => format!("{:.1}ms", ns as f64 / 1e6),
    }
}

/// `1.1MiB`, in one word.
fn memory(bytes: u64) -> String {
    format!("{:.1}MiB", bytes as f64 / f64::from(1 << 20))
}

/// No cell is empty, so that no column is lost to `awk`.
pub(super) fn or_dash(cell: Option<impl ToString>) -> String {
    cell.map_or_else(|| "-".to_owned(), |cell| cell.to_string())
}
