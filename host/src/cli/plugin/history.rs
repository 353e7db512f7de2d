//! `pointsman plugin history NAME`: the generations of a plugin of a running Pointsman that are kept.

use super::{
    Named,
    ls::{FIGURES, figures, or_dash},
};
use crate::{
    admin::api::Generation,
    cli::{Context, Exit, Failure, client::Client, table::Table},
};
use std::time::{Duration, SystemTime};

pub(super) fn run(args: &Named, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let path = super::path(&args.name, "history")?;
    let generations: Vec<Generation> = Client::new(context.global.admin.as_ref()).get(&path)?;
    if args.json {
        context.console.json(&generations)?;
    } else {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(context.console.out, "{}", table(&generations, now))?;
    }
    Ok(Exit::Ok)
}

fn table(generations: &[Generation], now_unix: Duration) -> Table {
    let mut table = Table::new(&[&[">GEN", "HASH", "STATE", ">SINCE", "ORIGIN"], &FIGURES[..]].concat());
    for generation in generations {
        let since = now_unix.saturating_sub(Duration::from_secs(generation.since_unix));
        let known = [
            generation.generation.to_string(),
            generation.hash.clone(),
            generation.state.clone(),
            crate::cli::status::age(since),
            or_dash(Some(&generation.origin)),
        ];
        let Generation { picks, costs, faults, fallbacks, .. } = generation;
        table.row(known.into_iter().chain(figures(*picks, costs, *faults, *fallbacks)));
    }
    table
}
