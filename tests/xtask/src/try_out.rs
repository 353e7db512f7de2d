//! From a fresh clone to a working balancer.

use crate::{
    cargo::{cargo, target},
    stock,
};
use anyhow::{Context, Result};
use std::{os::unix::process::CommandExt, process::Command};

/// Builds the binary as it is released, says where it lies, and becomes `pointsman try`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    eprintln!("building the stock plugins, then pointsman; the first time takes about ten minutes on two cores");
    stock::build()?;
    cargo(["build", "--release", "--package", "pointsman"])?;

    let folder = target()?.join("release");
    let program = folder.join("pointsman");
    println!("  built  {}", program.display());
    println!("         in another terminal: export PATH=\"{}:$PATH\"", folder.display());
    let error = Command::new(&program).arg("try").args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
