//! `pointsman check`: everything `run` would refuse, all at once, and what it would only warn of.

use super::{Context, Exit, Failure, client::Client, serve::configured};
use crate::{
    admin::{
        Status,
        api::{Plugin, Pool},
    },
    app::Rehearsal,
    config::model::Config,
    net::Address,
    problem::Problem,
    tls::Certificate,
};
use std::{
    fmt::Display,
    io::{self, Write},
    time::SystemTime,
};

/// A certificate that ends so soon is worth a warning.
const DAYS_TO_WARN: i64 = 14;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Let certificates pass that have expired
    #[arg(long)]
    allow_expired: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (file, config, options) = configured(context, args.allow_expired)?;
    let rehearsal = Rehearsal::of(&config, &options)?;

    let mut list = List { out: &mut context.console.out, passed: 0, warnings: 0, refused: Vec::new() };
    list.passed(&file.display(), contents(&config))?;
    certificates(rehearsal.certificates, &mut list)?;
    let mut running = Running { client: Client::new(Some(&config.admin)), status: None };
    for (address, bound) in rehearsal.ports {
        port(&address, bound, &mut running, &mut list)?;
    }
    admin(&config, &format!("admin {}", config.admin), rehearsal.admin, &mut running, &mut list)?;
    if let Some((address, bound)) = rehearsal.metrics {
        admin(&config, &format!("metrics {address}"), bound, &mut running, &mut list)?;
    }
    plugins(&rehearsal.plugins, &rehearsal.amiss, &mut list)?;
    for problem in &rehearsal.names {
        list.warned(&"name", problem.line())?;
    }
    for pool in &rehearsal.pools {
        backends(pool, &mut list)?;
    }
    let List { passed, warnings, refused, .. } = list;
    let tally = [count(passed, "check passed", "checks passed"), count(warnings, "warning", "warnings")];
    writeln!(context.console.out, "{}", tally.join(", "))?;
    match (refused.is_empty(), context.global.strict && warnings > 0) {
        (true, false) => Ok(Exit::Ok),
        (true, true) => Ok(Exit::Refused),
        (false, _) => Err(Failure::refused(refused)),
    }
}

/// The list of ticks.
struct List<'a> {
    out: &'a mut dyn Write,
    passed: usize,
    warnings: usize,
    refused: Vec<Problem>,
}

impl List<'_> {
    fn passed(&mut self, what: &dyn Display, text: impl Display) -> io::Result<()> {
        self.passed += 1;
        self.line('✓', what, text)
    }

    fn warned(&mut self, what: &dyn Display, text: impl Display) -> io::Result<()> {
        self.warnings += 1;
        self.line('!', what, text)
    }

    /// The whole problem is printed at the end.
    fn refused(&mut self, what: &dyn Display, problem: Problem) -> io::Result<()> {
        self.line('✗', what, &problem.headline)?;
        self.refused.push(problem);
        Ok(())
    }

    fn line(&mut self, tick: char, what: &dyn Display, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{tick} {:<26} {text}", what.to_string())
    }
}

fn contents(config: &Config) -> String {
    let counts = [
        count(config.listeners.len(), "listener", "listeners"),
        count(config.pools.len(), "pool", "pools"),
        count(config.routes.len(), "route", "routes"),
    ];
    counts.join(", ")
}

fn certificates(certificates: Vec<Result<Certificate, Problem>>, list: &mut List<'_>) -> io::Result<()> {
    for certificate in certificates {
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(problem) => {
                list.refused(&"certificate", problem)?;
                continue;
            }
        };
        let name = certificate.names.first().unwrap_or(&certificate.source);
        let days = certificate.days_left(SystemTime::now());
        let text = format!("{}, key matches, {days} days left", certificate.source);
        match days {
            ..DAYS_TO_WARN => list.warned(&format!("certificate {name}"), text)?,
            _ => list.passed(&format!("certificate {name}"), text)?,
        }
    }
    Ok(())
}

/// A Pointsman that serves this configuration already, if one does; asked at most once.
struct Running {
    client: Client,
    status: Option<Option<Status>>,
}

impl Running {
    /// The process that serves this address.
    fn holder(&mut self, address: &Address) -> Option<u32> {
        let status = self.status.get_or_insert_with(|| self.client.get("/v1/status").ok()).as_ref()?;
        let holds = status.listeners.iter().any(|listener| listener.address == address.to_string());
        holds.then_some(status.pid)
    }
}

fn port(address: &Address, bound: Result<(), Problem>, running: &mut Running, list: &mut List<'_>) -> io::Result<()> {
    let what = match address {
        Address::Tcp(address) => format!("port {address}"),
        Address::Unix(path) => format!("socket {}", path.display()),
    };
    free_or_held(&what, bound, || running.holder(address), list)
}

/// A Pointsman behind the admin address, or that of the metrics, is this configuration's own if it serves one of its
/// listeners; any other would keep `run` from starting.
fn admin(
    config: &Config,
    what: &str,
    bound: Result<(), Problem>,
    running: &mut Running,
    list: &mut List<'_>,
) -> io::Result<()> {
    let own = || config.listeners.iter().find_map(|listener| running.holder(&listener.address));
    free_or_held(what, bound, own, list)
}

/// A restart gets what the Pointsman that runs already holds.
fn free_or_held(
    what: &str,
    bound: Result<(), Problem>,
    holder: impl FnOnce() -> Option<u32>,
    list: &mut List<'_>,
) -> io::Result<()> {
    match bound {
        Ok(()) => list.passed(&what, "is free"),
        Err(problem) => match holder() {
            Some(pid) => list.passed(&what, format!("is served by the Pointsman that runs already, pid {pid}")),
            None => list.refused(&what, problem),
        },
    }
}

/// Plugins that were admitted, then all that is amiss with them; neither keeps `run` from starting.
fn plugins(plugins: &[Plugin], amiss: &[Problem], list: &mut List<'_>) -> io::Result<()> {
    for plugin in plugins {
        let (Some(kind), Some(hash), Some(size)) = (&plugin.kind, &plugin.hash, plugin.size) else { continue };
        let from = match plugin.origin.as_deref() {
            Some("embedded") => "embedded",
            _ => plugin.file.as_deref().unwrap_or("a file"),
        };
        list.passed(
            &format!("plugin {}", plugin.name),
            format!("{from}, {kind}, {} KiB, {hash}", size.div_ceil(1024)),
        )?;
    }
    for problem in amiss {
        list.warned(&"plugin", problem.line())?;
    }
    Ok(())
}

fn backends(pool: &Pool, list: &mut List<'_>) -> io::Result<()> {
    let (up, down): (Vec<_>, Vec<_>) = pool.backends.iter().partition(|backend| backend.standing != "unhealthy");
    for backend in down {
        let what = format!("backend {}/{}", pool.name, backend.name);
        list.warned(&what, format!("{} (it will start unhealthy)", backend.last_check))?;
    }
    if !up.is_empty() {
        list.passed(
            &format!("pool {}", pool.name),
            format!("{} of {} backends answer", up.len(), pool.backends.len()),
        )?;
    }
    Ok(())
}

fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}
