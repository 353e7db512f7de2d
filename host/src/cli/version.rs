//! `pointsman version`: which Pointsman this is, and what it speaks.

use super::{Context, Exit, Failure};

/// The version of `pointsman:plugin` that this host speaks.
const CONTRACT: &str = "0.1.0";

#[derive(Debug, clap::Args)]
pub struct Args {}

pub(super) fn run(_: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let out = &mut context.console.out;
    writeln!(out, "pointsman {}", env!("CARGO_PKG_VERSION"))?;
    if context.global.verbose > 0 {
        writeln!(out, "contract  pointsman:plugin@{CONTRACT}")?;
        writeln!(out, "platform  {} {}", std::env::consts::ARCH, std::env::consts::OS)?;
        writeln!(
            out,
            "build     {}",
            if cfg!(debug_assertions) { "debug: do not measure with it" } else { "release" }
        )?;
    }
    Ok(Exit::Ok)
}
