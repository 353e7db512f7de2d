//! `pointsman plugin build`: runs what `plugin.toml` says and verifies what comes of it, as a running Pointsman would.

use super::{
    file::{self, bytes_in_words, contract_version},
    inspect,
    manifest::{Kind, Manifest},
};
use crate::{
    cli::{Context, Exit, Failure},
    plugin,
    problem::{Code, Problem},
};
use anyhow::{Context as _, bail};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What Rust calls the platform that components are built for.
const TARGET: &str = "wasm32-wasip2";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let manifest = Manifest::read(&args.folder)?;
    let build = manifest.build()?;
    if build.command.iter().any(|argument| argument.contains(TARGET)) {
        have_target(&args.folder, context)?;
    }
    build_with(&build.command, &args.folder)?;

    let path = args.folder.join(&build.component);
    let artifact = file::read(&manifest.name, &path)?;
    let compiled = file::runtime()?.compile(artifact)?;
    if compiled.kind() != manifest.kind.into() {
        let headline = format!("{} is a {}, not what plugin.toml says", path.display(), compiled.kind());
        return Err(Problem::error(Code::NOT_OFFERED, headline).into());
    }

    let (out, artifact) = (&mut context.console.out, compiled.artifact());
    writeln!(
        out,
        "{}  {} {}, {}, sha256 {}",
        manifest.name,
        compiled.kind(),
        contract_version(&compiled).unwrap_or_default(),
        bytes_in_words(artifact.bytes.len()),
        artifact.hash.short(),
    )?;
    writeln!(out, "  file     {}", path.display())?;
    writeln!(out, "  imports  {}", inspect::imports_in_words(compiled.imports()))?;
    writeln!(out, "Next: pointsman plugin install")?;
    Ok(Exit::Ok)
}

impl From<Kind> for plugin::Kind {
    fn from(kind: Kind) -> plugin::Kind {
        match kind {
            Kind::Balancer => plugin::Kind::Balancer,
            Kind::Filter => plugin::Kind::Filter,
        }
    }
}

/// Its words go to standard error: standard output is for what was built.
fn build_with(command: &[String], folder: &Path) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("`command` of plugin.toml is empty")?;
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        // Where `component` says, whatever the user's own settings are for other projects.
        .env("CARGO_TARGET_DIR", std::path::absolute(folder)?.join("target"))
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("`{}` failed ({status})", command.join(" "));
    }
    Ok(())
}

/// Adds the target through rustup when the toolchain of this folder lacks it. Only the toolchain itself knows, so it is
/// asked where its library for the target lies.
fn have_target(folder: &Path, context: &mut Context<'_>) -> anyhow::Result<()> {
    let rustc = output(folder, "rustc", &["--print", "target-libdir", "--target", TARGET])
        .context("cannot run rustc; install Rust, for example from https://rustup.rs")?;
    let library = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    if rustc.status.success() && Path::new(&library).is_dir() {
        return Ok(());
    }
    writeln!(context.console.err, "adding the Rust target {TARGET}: rustup target add {TARGET}")?;
    match output(folder, "rustup", &["target", "add", TARGET]) {
        Ok(rustup) if rustup.status.success() => Ok(()),
        Ok(rustup) => bail!(
            "rustup could not add {TARGET}: {}",
            String::from_utf8_lossy(&rustup.stderr).lines().last().unwrap_or_default()
        ),
        Err(_) => bail!(
            "this Rust toolchain has no {TARGET}, and there is no rustup to add it; \
             install the target as you installed Rust, or use https://rustup.rs"
        ),
    }
}

fn output(folder: &Path, program: &str, args: &[&str]) -> io::Result<Output> {
    Command::new(program).args(args).current_dir(folder).stdin(Stdio::null()).output()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_build_that_fails_says_how() {
        let folder = tempfile::tempdir().unwrap();
        for (command, what) in [
            (sh("exit 3"), "`sh -c exit 3` failed (exit status: 3)"),
            (vec!["no-such-program".into()], "cannot run no-such-program"),
            (Vec::new(), "`command` of plugin.toml is empty"),
        ] {
            assert_eq!(build_with(&command, folder.path()).unwrap_err().to_string(), what);
        }
    }

    #[test]
    fn a_build_runs_in_its_folder_with_its_own_target() {
        let folder = tempfile::tempdir().unwrap();
        build_with(&sh("echo $CARGO_TARGET_DIR > told"), folder.path()).unwrap();
        let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
        assert_eq!(Path::new(told.trim()), folder.path().join("target"));
    }
}
