//! `pointsman plugin inspect FILE`: what a component is, what it asks for, and what one of its decisions costs. It is
//! verified and tried out as a running Pointsman would.

use super::file::{self, bytes_in_words, contract_version};
use crate::{
    cli::{Context, Exit, Failure},
    figures::{Figures, Standing},
    net::{Connection, Head, Headers},
    plugin::{Compiled, Description, Fault, Generation, Kind, Member, Membership, Runtime, Setting, Turn, Use},
    rng::Rng,
};
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How many backends the dry run's pool has.
const BACKENDS: u16 = 10;
/// Decisions of one batch; the quickest batch counts, since everything else a machine does only slows one down.
const CALLS: u32 = 1_000;
/// Batches.
const BATCHES: usize = 10;
/// Our own package.
const CONTRACT: &str = "pointsman:plugin/";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component
    file: PathBuf,
    /// The settings of the dry run, as one JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    settings: String,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let name = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let runtime = file::runtime()?;
    let compiled = runtime.compile(file::read(&name, &args.file)?)?;
    let cost = dry_cost(&runtime, &compiled, &args.settings);
    let about = runtime.describe(&compiled).map_err(|fault| fault.to_string());

    let out = &mut context.console.out;
    if args.json {
        writeln!(out, "{:#}", json(&compiled, &about, &cost))?;
        return Ok(Exit::Ok);
    }
    let (artifact, imports) = (compiled.artifact(), compiled.imports());
    let version = contract_version(&compiled).unwrap_or_default();
    writeln!(out, "{}   {} {version}, {}", args.file.display(), compiled.kind(), bytes_in_words(artifact.bytes.len()))?;
    print_about(&about, out)?;
    writeln!(out, "sha256   {}", artifact.hash)?;
    writeln!(out, "compile  {} ms", compiled.compile_time().as_millis())?;
    writeln!(out, "halves   {}", halves(&compiled).join(", "))?;
    match &cost {
        Ok(cost) => writeln!(out, "{:8} {}", call(&compiled), cost_in_words(*cost))?,
        Err(why) => writeln!(out, "{:8} not measured, see --settings: {why}", call(&compiled))?,
    }
    for (at, import) in imports.iter().enumerate() {
        let heading = if at == 0 { "imports" } else { "" };
        let note = if import.starts_with(CONTRACT) { "" } else { "   linked, denied at use" };
        writeln!(out, "{heading:8} {import}{note}")?;
    }
    Ok(Exit::Ok)
}

/// In one line: ours by name, the rest by number.
pub(super) fn imports_in_words(imports: &[String]) -> String {
    let ours = imports.iter().filter_map(|name| name.strip_prefix(CONTRACT));
    let ours: Vec<_> = ours.map(|name| name.split('@').next().unwrap_or(name)).collect();
    let others = match imports.len() - ours.len() {
        0 => String::new(),
        others => format!("{others} of WASI (linked, denied at use)"),
    };
    let ours = ours.join(", ");
    match (ours.is_empty(), others.is_empty()) {
        (true, true) => "none".into(),
        (false, false) => format!("{ours}; {others}"),
        _ => ours + &others,
    }
}

/// What it says about itself, or why it could not.
type About = Result<Option<Description>, String>;

fn print_about(about: &About, out: &mut dyn Write) -> io::Result<()> {
    let description = match about {
        Ok(Some(description)) => description,
        Ok(None) => return Ok(()),
        Err(why) => return writeln!(out, "about    not told: {why}"),
    };
    writeln!(out, "about    {}", description.summary)?;
    for (at, Setting { name, default, help }) in description.settings.iter().enumerate() {
        let heading = if at == 0 { "settings" } else { "" };
        let default = if default.is_empty() { String::new() } else { format!(" ({default})") };
        writeln!(out, "{heading:8} {name}{default}: {help}")?;
    }
    Ok(())
}

fn about_json(about: &About) -> serde_json::Value {
    match about {
        Ok(None) => serde_json::Value::Null,
        Ok(Some(description)) => serde_json::json!({
            "summary": description.summary,
            "settings": description.settings.iter().map(|Setting { name, default, help }| serde_json::json!({
                "name": name, "default": default, "help": help,
            })).collect::<Vec<_>>(),
        }),
        Err(why) => serde_json::json!({ "not_told": why }),
    }
}

fn json(compiled: &Compiled, about: &About, cost: &Result<Duration, String>) -> serde_json::Value {
    let artifact = compiled.artifact();
    serde_json::json!({
        "kind": compiled.kind().to_string(),
        "contract": contract_version(compiled),
        "size": artifact.bytes.len(),
        "sha256": artifact.hash.to_string(),
        "compile_ms": compiled.compile_time().as_millis() as u64,
        "about": about_json(about),
        "halves": halves(compiled),
        "imports": compiled.imports().iter().map(|name| serde_json::json!({
            "name": name,
            "denied": !name.starts_with(CONTRACT),
        })).collect::<Vec<_>>(),
        "dry_run": match cost {
            Ok(cost) => serde_json::json!({ "call": call(compiled), "cost_ns": cost.as_nanos() as u64 }),
            Err(why) => serde_json::json!({ "call": call(compiled), "not_measured": why }),
        },
    })
}

/// Which parts of the contract it offers.
fn halves(compiled: &Compiled) -> Vec<&str> {
    let ours = compiled.exports().iter().filter_map(|name| name.strip_prefix(CONTRACT));
    ours.map(|name| name.split('@').next().unwrap_or(name)).collect()
}

fn call(compiled: &Compiled) -> &'static str {
    match compiled.kind() {
        Kind::Balancer => "pick",
        Kind::Filter => "request",
    }
}

fn cost_in_words(cost: Duration) -> String {
    let micros = cost.as_nanos() as f64 / 1000.0;
    format!("{micros:.2} µs in a dry run ({BACKENDS} backends, warm, nothing else running)")
}

/// What one decision costs, measured as the quickest of some batches; or why it cannot be.
fn dry_cost(runtime: &Arc<Runtime>, compiled: &Arc<Compiled>, settings: &str) -> Result<Duration, String> {
    let pool: Arc<str> = match compiled.kind() {
        Kind::Balancer => "dry".into(),
        Kind::Filter => "".into(),
    };
    let membership = membership();
    let one = Use { pool: pool.clone(), settings: settings.into(), membership: membership.clone(), spot: None };
    let generation = runtime.admit(compiled, compiled.kind(), &[one]).map_err(|problem| problem.headline)?;
    batches(&generation, &pool, settings, membership).map_err(|fault| fault.to_string())
}

fn batches(
    generation: &Arc<Generation>,
    pool: &Arc<str>,
    settings: &str,
    membership: Membership,
) -> Result<Duration, Fault> {
    let (mut head, mut turns) = (head(), turns());
    match generation.kind() {
        Kind::Balancer => {
            let mut balancer = generation.balancer(pool, 0, settings, membership)?;
            quickest(|| balancer.pick(&mut head, turns(), &[]).map(drop))
        }
        Kind::Filter => {
            let mut filter = generation.filter(0, settings)?;
            quickest(|| filter.on_request(&mut head, turns()).map(drop))
        }
    }
}

fn quickest(mut call: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let mut least = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..CALLS {
            call()?;
        }
        least = least.min(start.elapsed() / CALLS);
    }
    Ok(least)
}

fn membership() -> Membership {
    let figures = Figures::default();
    let member = |number: u16| {
        let name: Arc<str> = format!("dry-{number}").into();
        let id = u64::from(number);
        Member {
            id,
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, number)).into(),
            weight: 1,
            priority: 0,
            zone: "".into(),
            standing: Standing::Ready,
            metadata: Arc::new([]),
            figures: figures.of(id),
        }
    };
    Membership { ready: (1..=BACKENDS).map(member).collect(), ..Membership::default() }
}

/// Always the same, so that two runs can be compared.
fn turns() -> impl FnMut() -> Turn {
    let mut rng = Rng::new(1);
    let mut now_us = 0;
    move || {
        now_us += 100;
        Turn { now_us, random: rng.bits(), key: Some(rng.bits()), attempt: 0, explain: false }
    }
}

fn head() -> Head {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1024));
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/dry?run=1"),
        authority: HeaderValue::from_static("dry.example"),
        headers: Headers::default(),
        client: peer.ip(),
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, peer, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_in_one_line() {
        let line = |names: &[&str]| imports_in_words(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&[]), "none");
        assert_eq!(line(&["pointsman:plugin/types@0.1.0", "pointsman:plugin/figures@0.1.0"]), "types, figures");
        assert_eq!(line(&["wasi:io/error@0.2.6"]), "1 of WASI (linked, denied at use)");
        assert_eq!(
            line(&["pointsman:plugin/types@0.1.0", "wasi:io/error@0.2.6", "wasi:io/poll@0.2.6"]),
            "types; 2 of WASI (linked, denied at use)"
        );
    }
}
