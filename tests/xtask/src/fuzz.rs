//! Fuzzers of what strangers send and people write (`tests/fuzz`), each for a while.

use crate::{
    cargo::{root, run as run_command, target},
    stock,
};
use anyhow::{Context, Result, bail};
use std::{fs, path::PathBuf, process::Command};

/// Each, and where the good messages lie that it begins with, below `tests`.
const TARGETS: [(&str, &[&str]); 6] = [
    ("requests", &["fuzz/seeds/requests"]),
    ("answers", &["fuzz/seeds/answers"]),
    ("chunks", &["fuzz/seeds/chunks"]),
    ("proxy_protocol", &["fuzz/seeds/proxy_protocol"]),
    ("router", &["fuzz/seeds/router"]),
    ("config", &["fuzz/seeds/config", "golden/config/ok", "golden/config/bad"]),
];

/// `[TARGET] [--minutes N]`: that one or each of them, for 1 minute unless it is given.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut only, mut minutes) = (None, 1);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.as_slice().first()) {
            ("--minutes", Some(number)) => {
                minutes = number.parse::<u64>().with_context(|| format!("{number} is no number"))?;
                args.next();
            }
            (name, _) if TARGETS.iter().any(|(known, _)| *known == name) => only = Some(name),
            (name, _) => bail!("{name} is none of {}", TARGETS.map(|(name, _)| name).join(", ")),
        }
    }
    stock::build()?;
    let chosen = TARGETS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    chosen.into_iter().try_for_each(|(name, seeds)| fuzz(name, seeds, 60 * minutes))
}

fn fuzz(name: &str, seeds: &[&str], seconds: u64) -> Result<()> {
    // What it finds that leads further is kept for the next run.
    let found: PathBuf = target()?.join("fuzz").join(name);
    fs::create_dir_all(&found)?;
    let mut fuzzer = Command::new("rustup");
    fuzzer.args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir", "tests/fuzz", name]).arg(found);
    fuzzer.args(seeds.iter().map(|folder| root().join("tests").join(folder)));
    fuzzer.args(["--", &format!("-max_total_time={seconds}")]).current_dir(root());
    run_command(&mut fuzzer).context(
        "either it found something, and says above where that lies; or what it needs is missing: \
         `rustup toolchain install nightly` and `cargo install cargo-fuzz`",
    )
}
