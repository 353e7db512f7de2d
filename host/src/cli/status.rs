//! `pointsman status`: listeners, pools, backends and plugins of a running Pointsman, on one screen.

use super::{
    Context, Exit, Failure,
    client::Client,
    table::{Table, grouped},
};
use crate::admin::{
    Status,
    api::{Backend, Balancer, Plugin, Pool},
};
use std::time::{Duration, SystemTime};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON, as the admin API gives it
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let status: Status = Client::new(context.global.admin.as_ref()).get("/v1/status")?;
    if args.json {
        context.console.json(&status)?;
    } else {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(context.console.out, "{}", screen(&status, now))?;
    }
    Ok(Exit::Ok)
}

/// The whole screen. Sections are apart by an empty line; what needs a person stands last, where the eye is.
fn screen(status: &Status, now_unix: Duration) -> String {
    let up = age(Duration::from_secs(status.uptime_s));
    let mut sections = vec![
        format!("pointsman {}, pid {}, up {up}\n", status.version, status.pid),
        listeners(status).to_string(),
        pools(status).to_string(),
        backends(status, now_unix).to_string(),
    ];
    let amiss: Vec<_> = configuration(status).into_iter().chain(status.plugins.iter().filter_map(amiss)).collect();
    if !amiss.is_empty() {
        sections.push(amiss.concat());
    }
    sections.join("\n")
}

fn listeners(status: &Status) -> Table {
    let mut table = Table::new(&["LISTENER", "PROTO", "NAME"]);
    for listener in &status.listeners {
        let proto = if listener.tls { "https" } else { "http" };
        table.row([listener.address.clone(), proto.into(), listener.name.clone()]);
    }
    table
}

fn pools(status: &Status) -> Table {
    let mut table = Table::new(&["POOL", "BACKENDS", "PLUGIN", ">PICKS", ">FAULTS", ">FALLBACKS"]);
    for pool in &status.pools {
        let ready = pool.backends.iter().filter(|backend| backend.standing == "ready").count();
        let of = |by: &Balancer| status.plugins.iter().find(|p| p.name == by.plugin);
        let figures = |by: Option<&Balancer>| {
            let plugin = by.and_then(of);
            let figure = |read: fn(&Plugin) -> u64| plugin.map_or_else(|| "-".into(), |plugin| grouped(read(plugin)));
            [figure(|plugin| plugin.picks), figure(|plugin| plugin.faults), figure(|plugin| plugin.fallbacks)]
        };
        let backends =
            format!("{ready}/{} ready{}{}", pool.backends.len(), if pool.panic { ", panic" } else { "" }, moved(pool));
        let [picks, faults, fallbacks] = figures(pool.balancer.as_ref());
        table.row([pool.name.clone(), backends, chooser(pool), picks, faults, fallbacks]);
        for by in &pool.then {
            let [picks, faults, fallbacks] = figures(Some(by));
            let state = if by.quarantined { ": quarantined" } else { "" };
            table.row(["".into(), "".into(), format!("then {}{state}", named(by)), picks, faults, fallbacks]);
        }
    }
    table
}

/// How many picks went to another backend than was chosen, for the sake of a share.
fn moved(pool: &Pool) -> String {
    match pool.share_least + pool.share_most {
        0 => String::new(),
        moved => format!(", {} moved", grouped(moved)),
    }
}

/// Who chooses for a pool now.
fn chooser(pool: &Pool) -> String {
    let others = if pool.serving == "plugin" { String::new() } else { format!(", {} serves", pool.fallback) };
    match &pool.balancer {
        Some(by) if by.quarantined => format!("{}: quarantined{others}", named(by)),
        Some(by) => named(by),
        None => format!("none: {} serves", pool.fallback),
    }
}

fn named(by: &Balancer) -> String {
    format!("{} {} (generation {})", by.plugin, by.hash, by.generation)
}

fn backends(status: &Status, now_unix: Duration) -> Table {
    let figures = [">IN FLIGHT", ">REQUESTS", ">FAILED", ">LATENCY"];
    let headings = [&["BACKEND", "ADDRESS", "STATE", ">SINCE"], &figures[..], &["WHY"]].concat();
    let mut table = Table::new(&headings);
    let rows = status.pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
    for (pool, backend) in rows {
        table.row([
            format!("{}/{}", pool.name, backend.name),
            backend.address.clone(),
            standing(backend),
            age(now_unix.saturating_sub(Duration::from_secs(backend.since_unix))),
            grouped(backend.in_flight.into()),
            grouped(backend.attempts),
            grouped(backend.failures),
            latency(backend.latency_us),
            backend.why.clone(),
        ]);
    }
    table
}

fn standing(backend: &Backend) -> String {
    match backend.weight {
        0 if backend.standing == "ready" => "ready, weight 0".into(),
        _ => backend.standing.clone(),
    }
}

/// What of the configuration's file is not in force, and what is amiss with what is.
fn configuration(status: &Status) -> Vec<String> {
    let file = status.configuration.as_ref();
    let refusal = file.and_then(|file| Some((file, file.refusal.as_ref()?))).map(|(file, refusal)| {
        format!("{}{} is refused as it is now; the configuration before goes on serving\n", refusal.text, file.file)
    });
    let warnings = file.map_or(&[][..], |file| &file.warnings);
    let reports = warnings.iter().chain(&status.amiss).map(|report| {
        let notes = report.notes.iter().chain(&report.serving).map(|note| format!("  = {note}\n"));
        format!("{}[{}]: {}\n{}", report.severity, report.code, report.headline, notes.collect::<String>())
    });
    refusal.into_iter().chain(reports).collect()
}

/// What is wrong with a plugin, if anything is.
fn amiss(plugin: &Plugin) -> Option<String> {
    let problem = plugin.problem.as_ref()?;
    let notes = problem.notes.iter().chain(&problem.serving).map(|note| format!("  = {note}\n"));
    let notes: String = notes.collect();
    Some(format!("{}[{}] plugin {}: {}\n{notes}", problem.severity, problem.code, plugin.name, problem.headline))
}

/// `4m`, `3h`, `12d`: the largest unit that is there.
pub(super) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (scale, unit) = match seconds {
        ..60 => (1, "s"),
        60..3_600 => (60, "m"),
        3_600..86_400 => (3_600, "h"),
        86_400.. => (86_400, "d"),
    };
    format!("{}{unit}", seconds / scale)
}

/// `850µs`, `1.9ms`, `2.1s`; nothing before the first answer.
pub(super) fn latency(micros: u32) -> String {
    match micros {
        0 => "-".into(),
        1..1_000 => format!("{micros}µs"),
        1_000..10_000 => format!("{:.1}ms", f64::from(micros) / 1e3),
        10_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000.. => format!("{:.1}s", f64::from(micros) / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::api::Listener,
        problem::{Code, Problem},
    };

    fn backend(name: &str, standing: &str, latency_us: u32) -> Backend {
        Backend {
            name: name.into(),
            address: "10.0.0.1:8080".into(),
            standing: standing.into(),
            why: if standing == "ready" { "connected in 1 ms" } else { "connection refused" }.into(),
            since_unix: 1_000_000,
            last_check: String::new(),
            weight: 1,
            in_flight: 2,
            attempts: 12_345,
            failures: 0,
            latency_us,
        }
    }

    fn plugin(name: &str) -> Plugin {
        Plugin {
            name: name.into(),
            kind: Some("balancer".into()),
            state: "serving".into(),
            generation: Some(3),
            hash: Some("3f9c2a1".into()),
            origin: Some("file".into()),
            size: Some(46_711),
            since_unix: Some(0),
            file: None,
            pools: vec!["cart".into()],
            picks: 1_234_567,
            faults: 1,
            faults_by_kind: [].into(),
            fallbacks: 2,
            feedback: None,
            hand_over: None,
            problem: None,
            refused_hash: None,
            costs: Default::default(),
            pinned: false,
            held_back: None,
            log_dropped: 0,
        }
    }

    #[test]
    fn one_screen_tells_who_serves_what_and_what_is_wrong() {
        let problem = Problem::error(Code::NOT_A_COMPONENT, "plugins/ll.wasm is a core module, not a component")
            .note("Rust: build with --target wasm32-wasip2")
            .serving("still serving 3f9c2a1");
        let balancer = |plugin: &str, quarantined| Balancer {
            plugin: plugin.into(),
            generation: 3,
            hash: "3f9c2a1".into(),
            quarantined,
        };
        let status = Status {
            version: "0.1.0".into(),
            pid: 812,
            uptime_s: 250,
            revision: 4,
            configuration: None,
            amiss: vec![],
            listeners: vec![Listener {
                name: "public".into(),
                address: "0.0.0.0:443".into(),
                tls: true,
                certificates: vec![],
            }],
            pools: vec![
                Pool {
                    name: "cart".into(),
                    balancer: Some(balancer("zones", false)),
                    then: vec![balancer("ll", true)],
                    fallback: "round-robin".into(),
                    serving: "plugin".into(),
                    queued: 0,
                    hedges: 0,
                    retries: 0,
                    retries_refused: 0,
                    share_least: 5,
                    share_most: 0,
                    panic: false,
                    backends: vec![backend("a", "ready", 1_900), backend("b", "unhealthy", 0)],
                },
                Pool {
                    name: "static".into(),
                    balancer: None,
                    then: vec![],
                    fallback: "reject".into(),
                    serving: "fallback".into(),
                    queued: 0,
                    hedges: 0,
                    retries: 0,
                    retries_refused: 0,
                    share_least: 0,
                    share_most: 0,
                    panic: true,
                    backends: vec![backend("c", "ready", 850)],
                },
            ],
            plugins_directory: None,
            plugins: vec![Plugin { problem: Some((&problem).into()), ..plugin("ll") }],
        };
        let expected = "\
pointsman 0.1.0, pid 812, up 4m

LISTENER     PROTO  NAME
0.0.0.0:443  https  public

POOL    BACKENDS            PLUGIN                                           PICKS  FAULTS  FALLBACKS
cart    1/2 ready, 5 moved  zones 3f9c2a1 (generation 3)                         -       -          -
                            then ll 3f9c2a1 (generation 3): quarantined  1 234 567       1          2
static  1/1 ready, panic    none: reject serves                                  -       -          -

BACKEND   ADDRESS        STATE      SINCE  IN FLIGHT  REQUESTS  FAILED  LATENCY  WHY
cart/a    10.0.0.1:8080  ready         4m          2    12 345       0    1.9ms  connected in 1 ms
cart/b    10.0.0.1:8080  unhealthy     4m          2    12 345       0        -  connection refused
static/c  10.0.0.1:8080  ready         4m          2    12 345       0    850µs  connected in 1 ms

error[PM0301] plugin ll: plugins/ll.wasm is a core module, not a component
  = Rust: build with --target wasm32-wasip2
  = still serving 3f9c2a1
";
        assert_eq!(screen(&status, Duration::from_secs(1_000_250)), expected);
    }

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!([0, 12, 1_000, 1_234_567].map(grouped), ["0", "12", "1 000", "1 234 567"]);
        let micros = [0, 850, 1_900, 11_400, 2_100_000];
        assert_eq!(micros.map(latency), ["-", "850µs", "1.9ms", "11ms", "2.1s"]);
        let seconds = [0, 59, 60, 7_200, 200_000].map(Duration::from_secs);
        assert_eq!(seconds.map(age), ["0s", "59s", "1m", "2h", "2d"]);
    }
}
