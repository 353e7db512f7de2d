//! `pointsman plugin install`: verify, put in place in one step, and wait until it serves or is refused.

use super::{file, manifest::Manifest};
use crate::{
    admin::api::{Plugin, Status},
    cli::{
        Context, Exit, Failure,
        client::{Client, pause},
    },
    config::is_plugin_name,
    plugin::Compiled,
    problem::Problem,
};
use anyhow::{Context as _, anyhow};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// How long the running process may take to admit it. Compiling a large component takes seconds.
const WAIT_MOST: Duration = Duration::from_secs(10);
/// Between two questions whether it did.
const WAIT_STEP: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component, called NAME.wasm; without it, what `plugin build` made in this folder
    file: Option<PathBuf>,
    /// The plugin directory; without it, that of the running Pointsman
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let (name, file) = what(args.file.as_deref())?;
    // What would be refused is never written.
    let compiled = file::runtime()?.compile(file::read(&name, &file)?)?;

    if let Some(directory) = &args.to {
        let path = put(directory, &compiled)?;
        writeln!(context.console.out, "{name} {} is in {}", short(&compiled), path.display())?;
        return Ok(Exit::Ok);
    }
    let client = Client::new(context.global.admin.as_ref());
    let status: Status = client.get("/v1/status")?;
    let directory = status.plugins_directory.with_context(|| {
        format!(
            "the Pointsman on {} watches no plugin directory; set `plugins.directory`, or use --to",
            client.address()
        )
    })?;
    let begun = Instant::now();
    let path = put(Path::new(&directory), &compiled)?;
    client.post("/v1/plugins/rescan")?;
    let plugin = wait(&client, &compiled)?;
    let took = begun.elapsed().as_millis();
    writeln!(context.console.out, "{} ({took} ms, {})", live(&plugin), path.display())?;
    Ok(Exit::Ok)
}

/// The plugin's name, and its file.
fn what(file: Option<&Path>) -> anyhow::Result<(String, PathBuf)> {
    let Some(file) = file else {
        let manifest = Manifest::read(Path::new("."))?;
        let component = manifest.build()?.component.clone();
        if !component.exists() {
            return Err(anyhow!("{} is not there; run `pointsman plugin build` first", component.display()));
        }
        return Ok((manifest.name, component));
    };
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    if !is_plugin_name(&name) {
        let rule = "lower-case letters, digits and dashes, a letter first";
        return Err(anyhow!("{}: the plugin would be called {name:?}; rename the file: {rule}", file.display()));
    }
    Ok((name.into_owned(), file.to_owned()))
}

fn put(directory: &Path, compiled: &Compiled) -> anyhow::Result<PathBuf> {
    let artifact = compiled.artifact();
    let path = directory.join(format!("{}.wasm", artifact.name));
    file::put(&path, &artifact.bytes)?;
    Ok(path)
}

fn short(compiled: &Compiled) -> String {
    compiled.artifact().hash.short()
}

/// Asks until these bytes were admitted or refused.
fn wait(client: &Client, compiled: &Compiled) -> Result<Plugin, Failure> {
    let deadline = Instant::now() + WAIT_MOST;
    loop {
        let plugins: Vec<Plugin> = client.get("/v1/plugins")?;
        let plugin = plugins.into_iter().find(|plugin| *plugin.name == *compiled.artifact().name);
        match outcome(plugin, &short(compiled)) {
            Outcome::Admitted(plugin) => return Ok(*plugin),
            Outcome::Refused(problem) => return Err(problem.into()),
            Outcome::Pending(state) if Instant::now() >= deadline => {
                let waited = WAIT_MOST.as_secs();
                return Err(anyhow!("not live after {waited} s ({state}); `pointsman plugin ls` says more").into());
            }
            Outcome::Pending(_) => pause(WAIT_STEP)?,
        }
    }
}

#[derive(Debug)]
enum Outcome {
    Admitted(Box<Plugin>),
    Refused(Problem),
    /// Where it stands.
    Pending(String),
}

/// What the running process says of the bytes with this hash.
fn outcome(plugin: Option<Plugin>, hash: &str) -> Outcome {
    let Some(plugin) = plugin else { return Outcome::Pending("not seen yet".into()) };
    match &plugin.problem {
        Some(report) if plugin.refused_hash.as_deref() == Some(hash) => Outcome::Refused(report.into()),
        _ if plugin.hash.as_deref() == Some(hash) => Outcome::Admitted(plugin.into()),
        _ => Outcome::Pending(plugin.state),
    }
}

/// Where its bytes serve, in one line.
fn live(plugin: &Plugin) -> String {
    let name = &plugin.name;
    let (hash, number) = (plugin.hash.as_deref().unwrap_or_default(), plugin.generation.unwrap_or_default());
    let live = match (plugin.state.as_str(), plugin.pools.as_slice()) {
        ("serving", [pool]) => format!("live for pool {pool}"),
        ("serving", []) => "live in its routes".into(),
        ("serving", pools) => format!("live for pools {}", pools.join(", ")),
        ("quarantined", _) => "quarantined before, and these are the same bytes".into(),
        _ if plugin.kind.as_deref() == Some("filter") => {
            format!("admitted; no route names it yet (`filters = [{{ plugin = \"{name}\" }}]`)")
        }
        _ => format!("admitted; no pool names it yet (`balancer = \"{name}\"`)"),
    };
    format!("{name} {hash} generation {number}: {live}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use std::collections::BTreeMap;

    fn plugin(state: &str, hash: &str, pools: &[&str]) -> Plugin {
        Plugin {
            name: "a".into(),
            kind: Some("balancer".into()),
            state: state.into(),
            generation: Some(2),
            hash: Some(hash.into()),
            origin: Some("file".into()),
            size: Some(9),
            since_unix: Some(1),
            file: None,
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
            picks: 0,
            faults: 0,
            faults_by_kind: BTreeMap::new(),
            fallbacks: 0,
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

    fn refused(hash: &str) -> Plugin {
        let mut problem = Problem::error(Code::SETTINGS_REFUSED, "a refused its config").note("look at it");
        problem.serving = Some("still serving 1111111".into());
        Plugin {
            problem: Some((&problem).into()),
            refused_hash: Some(hash.into()),
            ..plugin("serving", "1111111", &[])
        }
    }

    #[test]
    fn only_what_is_said_of_these_bytes_counts() {
        let of = |plugin| outcome(plugin, "2222222");
        assert!(matches!(of(None), Outcome::Pending(state) if state == "not seen yet"));
        assert!(matches!(of(Some(plugin("serving", "1111111", &[]))), Outcome::Pending(_)));
        assert!(matches!(of(Some(refused("3333333"))), Outcome::Pending(_)));
        assert!(matches!(of(Some(plugin("serving", "2222222", &[]))), Outcome::Admitted(_)));
        let Outcome::Refused(problem) = of(Some(refused("2222222"))) else { panic!("not refused") };
        assert_eq!((problem.code, problem.notes.len()), (Code::SETTINGS_REFUSED, 1));
        assert_eq!(problem.serving.as_deref(), Some("still serving 1111111"));
    }

    #[test]
    fn it_says_where_it_is_live() {
        for (state, pools, end) in [
            ("serving", &["cart"][..], "live for pool cart"),
            ("serving", &["cart", "shop"], "live for pools cart, shop"),
            ("serving", &[], "live in its routes"),
            ("unused", &[], "admitted; no pool names it yet (`balancer = \"a\"`)"),
        ] {
            assert_eq!(live(&plugin(state, "2222222", pools)), format!("a 2222222 generation 2: {end}"));
        }
    }

    #[test]
    fn a_file_names_its_plugin() {
        assert_eq!(what(Some(Path::new("x/least-loaded.wasm"))).unwrap().0, "least-loaded");
        let error = what(Some(Path::new("x/least_loaded.wasm"))).unwrap_err().to_string();
        assert!(error.contains("rename"), "{error}");
    }
}
