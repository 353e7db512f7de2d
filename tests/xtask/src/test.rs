//! Every test there is, from what it needs installed to where its time went.

use crate::{
    cargo::{WASM, cargo, command, root, run as run_command, target},
    cases, debian, guests, judges, stock,
};
use anyhow::{Result, bail};
use std::{
    ffi::OsStr,
    process::Command,
    time::{Duration, SystemTime},
};

/// Runs it all; `args` go to `cargo test`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    steps.take("stock plugins", stock::build)?;
    steps.take("programs from Debian", debian::ensure)?;
    steps.take("other judges", judges::ensure)?;
    steps.take("guests of the tests", guests::build)?;
    // All at once: the binary alone would choose other features of its dependencies, and have them built twice.
    steps.take("building", || cargo(["build", "--workspace", "--all-targets"]))?;
    let cases = steps.take("running the tests", || tests(args))?;
    steps.take("the example plugins", examples)?;
    steps.tell();
    cases.tell(args.is_empty())
}

/// Gives what became of the cases; tells it at once where something failed.
fn tests(args: &[String]) -> Result<cases::Cases> {
    let mut tests = command(["test", "--workspace"]);
    let (passed, cases) = cases::read_along(tests.args(args).env("PATH", debian::with_their_folder()?))?;
    if !passed {
        cases.tell(false)?;
        bail!("not all tests passed");
    }
    Ok(cases)
}

/// Each is a project of its own, as its users' will be.
fn examples() -> Result<()> {
    ["hello-balancer", "hand-over"].into_iter().try_for_each(example)
}

fn example(name: &str) -> Result<()> {
    let folder = target()?.join("examples");
    // Both as a release, so that what they are built with is built once.
    for task in [&["test", "--quiet", "--release"][..], &["build", "--quiet", "--release", "--target", WASM]] {
        let manifest = root().join("examples").join(name).join("Cargo.toml");
        let mut arguments: Vec<&OsStr> = task.iter().map(OsStr::new).collect();
        arguments.extend([OsStr::new("--manifest-path"), manifest.as_os_str()]);
        arguments.extend([OsStr::new("--target-dir"), folder.as_os_str()]);
        cargo(arguments)?;
    }
    let component = folder.join(WASM).join("release").join(name.replace('-', "_")).with_extension("wasm");
    let program = target()?.join("debug/pointsman");
    run_command(Command::new(program).args(["plugin", "inspect"]).arg(component))
}

/// What was done, and how long each took.
#[derive(Default)]
struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn take<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = SystemTime::now();
        let result = step()?;
        self.done.push((name, began.elapsed().unwrap_or_default()));
        Ok(result)
    }

    fn tell(&self) {
        println!("\nall passed; where the time went:");
        for (name, time) in &self.done {
            println!("{:>7.1} s  {name}", time.as_secs_f64());
        }
    }
}
