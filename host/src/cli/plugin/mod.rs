//! `pointsman plugin …`: an author's way from an idea to a plugin that serves.

mod build;
mod embedded;
mod export;
mod file;
mod history;
mod inspect;
mod install;
mod log;
mod ls;
mod manifest;
mod new;
mod steer;
mod template;

pub(super) use ls::nanos;

use super::{Context, Exit, Failure};
use crate::config::is_plugin_name;
use anyhow::anyhow;

/// What can be done with plugins.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write a new plugin project: it builds, tests and serves as it stands
    New(new::Args),
    /// Build the plugin of a folder and verify what came of it
    Build(build::Args),
    /// Say what a component is, what it asks for and what it costs
    Inspect(inspect::Args),
    /// Put a component into the directory of a running Pointsman, and wait until it serves
    Install(install::Args),
    /// Write an embedded plugin to standard output
    Export(export::Args),
    /// List the plugins of a running Pointsman
    Ls(ls::Args),
    /// List the generations of a plugin that are kept, and what each of them did
    History(Named),
    /// Have an earlier generation serve again; its successor's file is held back
    Rollback(steer::Args),
    /// Have a generation serve whatever file comes
    Pin(steer::Args),
    /// Follow the plugin's file again, and take what was held back
    Unpin(Named),
    /// Print what a plugin of a running Pointsman has said lately
    Log(Named),
}

/// Which plugin, and for whom.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// A plugin, as `plugin ls` calls it
    name: String,
    /// For programs: the answer of the admin API
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command, context: &mut Context<'_>) -> Result<Exit, Failure> {
    match command {
        Command::New(args) => new::run(args, context),
        Command::Build(args) => build::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Install(args) => install::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Ls(args) => ls::run(args, context),
        Command::History(args) => history::run(args, context),
        Command::Rollback(args) => steer::run(args, "rollback", context),
        Command::Pin(args) => steer::run(args, "pin", context),
        Command::Unpin(args) => steer::unpin(args, context),
        Command::Log(args) => log::run(args, context),
    }
}

/// Where the admin API has something of a plugin.
fn path(name: &str, what: &str) -> Result<String, Failure> {
    if !is_plugin_name(name) {
        return Err(anyhow!("no plugin can be called {name:?}").into());
    }
    Ok(format!("/v1/plugins/{name}/{what}"))
}
