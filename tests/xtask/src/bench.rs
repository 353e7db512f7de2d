//! Benches: of the host's rooms, and of the whole program beside nginx.

use crate::{
    cargo::{cargo, run as run_command, target},
    debian, stock,
};
use anyhow::Result;
use std::process::Command;

/// What the bench beside nginx knows; anything else goes to `cargo bench`.
const BESIDE_NGINX: [&str; 3] = ["fairness", "floods", "idle"];

pub(crate) fn run(args: &[String]) -> Result<()> {
    stock::build()?;
    match args.first().map(String::as_str) {
        Some(what) if BESIDE_NGINX.contains(&what) => beside_nginx(args),
        Some("pick") => of_host("pick", &args[1..]),
        _ => of_host("plugin_call", args),
    }
}

fn of_host(bench: &str, args: &[String]) -> Result<()> {
    let fixed = ["bench", "--package", "pointsman", "--bench", bench];
    cargo(fixed.into_iter().chain(args.iter().map(String::as_str)))
}

fn beside_nginx(args: &[String]) -> Result<()> {
    debian::ensure()?;
    // Both at once, so that what they depend on is built once.
    cargo(["build", "--release", "--package", "pointsman", "--package", "pointsman-tests", "--bins"])?;
    let mut bench = Command::new(target()?.join("release/beside"));
    run_command(bench.args(args).env("PATH", debian::with_their_folder()?))
}
