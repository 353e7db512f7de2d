//! Runs cargo, and knows where things lie.

use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The target of every plugin.
pub(crate) const WASM: &str = "wasm32-wasip2";

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Where cargo builds: this program lies in one of its folders.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program lies")?;
    match program.ancestors().nth(2) {
        Some(target) => Ok(target.to_owned()),
        None => bail!("{} is not where cargo puts programs", program.display()),
    }
}

/// Runs cargo at the top of the repository; its output is the user's.
pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Result<()> {
    run(&mut command(args))
}

/// What [`cargo`] runs.
pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end; anything but success is an error that says what was run.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Adds [`WASM`] to the toolchain when it is not there.
pub(crate) fn ensure_wasm() -> Result<()> {
    if has_wasm()? {
        return Ok(());
    }
    eprintln!("adding the target {WASM} to the Rust toolchain");
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM]).current_dir(root());
    match rustup.status() {
        Ok(status) if status.success() && has_wasm()? => Ok(()),
        Ok(status) => {
            bail!("`rustup target add {WASM}` ended with {status}; plugins cannot be built without that target")
        }
        Err(_) => bail!(
            "the Rust toolchain lacks the target {WASM}, and there is no rustup to add it with\n\
             Install the target as you installed Rust (a distribution's package for the standard library of {WASM}), \
             or take Rust from https://rustup.rs"
        ),
    }
}

fn has_wasm() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", WASM])
        .current_dir(root())
        .stderr(Stdio::null())
        .output()
        .context("cannot run rustc")?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(libraries.trim()).is_dir())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
