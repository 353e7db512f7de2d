//! The tree of commands and flags.

use super::{backend, check, explain, init, plugin, reload, run, schema, status, tap, try_out, version};
use crate::{config::model::AdminAddress, telemetry::Verbosity};
use std::path::PathBuf;

/// A load balancer you extend with WebAssembly components.
#[derive(Debug, clap::Parser)]
#[command(name = "pointsman", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Args {
    /// The flags that all commands have.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failed or the drain was cut off, 2 usage or configuration refused, 3 admin address unreachable.";

/// The flags that all commands have.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Configuration file [default: ./pointsman.toml, then /etc/pointsman/pointsman.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Admin address of a running Pointsman: unix:PATH or a loopback IP:PORT
    #[arg(long, global = true, value_name = "ADDR", value_parser = AdminAddress::parse)]
    pub admin: Option<AdminAddress>,
    /// When to colour: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub color: ColorChoice,
    /// Say more: raw causes, and a more talkative log; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log warnings and errors only; twice for errors only
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub quiet: u8,
    /// Refuse what would otherwise be a warning, such as a plugin that cannot be loaded
    #[arg(long, global = true)]
    pub strict: bool,
}

impl Global {
    /// How much is logged.
    pub fn verbosity(&self) -> Verbosity {
        Verbosity(i16::from(self.verbose) - i16::from(self.quiet))
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Even into a pipe.
    Always,
    /// Not even on a terminal.
    Never,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// A working balancer with TLS and three toy backends; nothing to configure
    Try(try_out::Args),
    /// Serve what the configuration says
    Run(run::Args),
    /// Everything `run` would refuse, all at once, without serving
    Check(check::Args),
    /// Write a commented pointsman.toml here
    Init(init::Args),
    /// Have a running Pointsman read its configuration and certificates again; it also does so by itself
    Reload(reload::Args),
    /// One screen of a running Pointsman: listeners, pools, backends, plugins
    Status(status::Args),
    /// See the decisions of a running Pointsman's balancer: who got which request, and why
    Tap(tap::Args),
    /// Drain a backend of a running Pointsman, take it in again, weigh it
    Backend {
        /// What to do with it.
        #[command(subcommand)]
        command: backend::Command,
    },
    /// Print the JSON Schema of pointsman.toml
    Schema(schema::Args),
    /// Explain a code such as PM0301
    Explain(explain::Args),
    /// Print the version; with -v also that of the plugin contract
    Version(version::Args),
    /// Make, build, look at and install plugins
    Plugin {
        /// What to do with them.
        #[command(subcommand)]
        command: plugin::Command,
    },
}
