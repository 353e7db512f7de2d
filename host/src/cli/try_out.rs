//! `pointsman try`: a working HTTPS balancer, nothing to configure.

use super::{Context, Exit, Failure, demo, serve};
use crate::{
    app::{App, Options},
    config::{
        default_admin,
        model::{
            AdminAddress, Backend, BalancerChoice, CertificateSource, Config, HostMatch, Listener, Plugins, Pool,
            Route, Server, Tls,
        },
    },
    telemetry,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

/// Where `try` listens unless told otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
/// Who is there before any file was admitted.
const FIRST_BALANCER: &str = "round-robin";
/// Its requests are short.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen [default: 127.0.0.1:8443, or a free port when that is taken]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Watch this plugin directory instead of a fresh one
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let hangups = serve::Hangups::catch()?;
    let _log = telemetry::start(context.global.verbosity(), context.console.style.color)?;
    serve::raise_file_limit();
    let backends = demo::Backends::start()?;
    // A fresh directory goes when the demo ends.
    let (directory, _fresh) = match &args.plugins {
        Some(given) => (given.clone(), None),
        None => fresh_directory()?,
    };
    let listen = args.listen.unwrap_or_else(|| free_or_any(DEFAULT));
    let admin = context.global.admin.clone().unwrap_or_else(unused_admin);
    let config = config(listen, &backends, directory.clone(), admin)?;
    let signals = hangups.and_stops()?;
    let app = App::start(config, Options { cache: serve::code_cache(), ..Options::default() })?;

    let address = app.listeners().first().map_or(listen, |(_, address)| address.tcp().unwrap_or(listen));
    let url = match address.ip().is_loopback() {
        true => format!("https://localhost:{}", address.port()),
        false => format!("https://{address}"),
    };
    let ports: Vec<String> = backends.addresses().iter().map(|a| a.port().to_string()).collect();
    let delays: Vec<String> = demo::DELAYS.iter().map(|d| format!("{} ms", d.as_millis())).collect();
    let out = &mut context.console.out;
    if args.listen.is_none() && address != DEFAULT {
        writeln!(out, "  note   {DEFAULT} is taken, so a free port is used")?;
    }
    writeln!(out, "  https  {url:<26} self-signed for localhost, in memory (curl -k)")?;
    writeln!(out, "  pool   {:<26} 3 toy backends: 127.0.0.1:{} ({})", "demo", ports.join(" "), delays.join(", "))?;
    let takes_over = format!("the balancer admitted last into {} takes over", directory.display());
    writeln!(out, "  plugin {FIRST_BALANCER:<26} embedded; {takes_over}")?;
    writeln!(out, "         {:<26} filters are admitted there too, but unused", "")?;
    writeln!(out, "  admin  {}", app.admin())?;
    if context.global.admin.is_none() && *app.admin() != default_admin() {
        writeln!(out, "         another Pointsman holds the default address: add --admin {} to commands", app.admin())?;
    }
    writeln!(out, "Try it: curl -k {url}/")?;
    writeln!(out, "Ctrl-C stops everything. Next: pointsman plugin new least-loaded")?;
    out.flush()?;
    serve::until_stopped(app, signals)
}

fn fresh_directory() -> std::io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let fresh = tempfile::Builder::new().prefix("pointsman-").tempdir()?;
    let directory = fresh.path().join("plugins");
    std::fs::create_dir(&directory)?;
    Ok((directory, Some(fresh)))
}

/// The address, or one with a free port where it is taken.
fn free_or_any(address: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// The default admin address, or one of this process where another Pointsman answers there.
fn unused_admin() -> AdminAddress {
    let default = default_admin();
    match &default {
        AdminAddress::Unix(path) if UnixStream::connect(path).is_ok() => {
            AdminAddress::Unix(path.with_file_name(format!("admin-{}.sock", std::process::id())))
        }
        _ => default,
    }
}

/// What a file would say, if there were one.
fn config(
    listen: SocketAddr,
    backends: &demo::Backends,
    directory: PathBuf,
    admin: AdminAddress,
) -> anyhow::Result<Config> {
    let (cert, key) = demo::certificate()?;
    let backend = |(number, address): (usize, &SocketAddr)| Backend::new(format!("backend-{number}"), *address);
    let backends = (1..).zip(backends.addresses()).map(backend).collect();
    let tls = Tls::from(vec![CertificateSource::Memory { cert, key }]);
    Ok(Config {
        listeners: vec![Listener { tls: Some(tls), ..Listener::new("demo", listen) }],
        pools: vec![Pool {
            balancer: BalancerChoice::Newest { until_then: FIRST_BALANCER.into() },
            ..Pool::new("demo", backends)
        }],
        routes: vec![Route { listener: None, host: HostMatch::Any, path: "/".into(), pool: 0, filters: Vec::new() }],
        plugins: Plugins { directory: Some(directory), ..Plugins::default() },
        admin,
        metrics: None,
        server: Server { drain: DRAIN, tunnels: DRAIN, ..Server::default() },
    })
}
