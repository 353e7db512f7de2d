//! `pointsman backend`: drains a backend of a running Pointsman, takes it in again, weighs it.

use super::{Context, Exit, Failure, client::Client};
use crate::{
    admin::{Status, api::Backend, encoded},
    problem::did_you_mean,
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Give it no new work; what runs there may end
    Drain(Which),
    /// Give it work again, as far as it is well; an ejection ends
    Ready(Which),
    /// Give it another share of the work, 0 to 1000; 0 takes no new work
    Weight {
        #[command(flatten)]
        which: Which,
        /// The weight
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
        weight: u32,
    },
}

#[derive(Debug, clap::Args)]
pub struct Which {
    /// As `pointsman status` shows it
    #[arg(value_name = "POOL/NAME")]
    backend: String,
    /// Print JSON, as the admin API gives it
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (which, what) = match command {
        Command::Drain(which) => (which, "drain".to_owned()),
        Command::Ready(which) => (which, "ready".to_owned()),
        Command::Weight { which, weight } => (which, format!("weight/{weight}")),
    };
    let client = Client::new(context.global.admin.as_ref());
    let (pool, name) = find(&client.get("/v1/status")?, &which.backend)?;
    let path = format!("/v1/pools/{}/backends/{}/{what}", encoded(&pool), encoded(&name));
    let backend: Backend = client.post_for(&path)?;
    if which.json {
        context.console.json(&backend)?;
    } else {
        let Backend { standing, why, weight, in_flight, .. } = backend;
        writeln!(
            context.console.out,
            "{pool}/{name}: {standing} ({why}), weight {weight}, {in_flight} requests under way"
        )?;
    }
    Ok(Exit::Ok)
}

/// The pool and the name; either may have slashes of its own.
fn find(status: &Status, wanted: &str) -> Result<(String, String), Failure> {
    let all = status.pools.iter().flat_map(|pool| pool.backends.iter().map(|backend| (&pool.name, &backend.name)));
    let all: Vec<_> = all.map(|(pool, name)| (format!("{pool}/{name}"), pool, name)).collect();
    if let Some((_, pool, name)) = all.iter().find(|(both, ..)| both == wanted) {
        return Ok(((*pool).clone(), (*name).clone()));
    }
    let meant = did_you_mean(wanted, all.iter().map(|(both, ..)| both.as_str()));
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
    Err(anyhow::anyhow!("`pointsman status` shows no backend {wanted}{meant}").into())
}
