//! Commands, and what they print. What was asked for goes to standard output; problems and the log go to standard error.

mod args;
mod backend;
mod check;
pub mod client;
mod console;
mod demo;
mod exit;
mod explain;
mod init;
pub mod plugin;
mod reload;
mod run;
mod schema;
mod serve;
mod status;
mod table;
mod tap;
#[cfg(test)]
mod tests;
mod try_out;
mod version;

pub use args::{Args, Command, Global};
pub use console::Console;
pub use exit::{Exit, Failure};

use clap::Parser;
use std::{ffi::OsString, process::ExitCode};

/// What every command is given beside its own arguments.
pub struct Context<'a> {
    /// The flags that all commands have.
    pub global: Global,
    /// Where it writes.
    pub console: Console<'a>,
}

/// What the binary does: parses, does, and says by its exit code how it went.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Both handles are unlocked: a command that serves writes now and then, and a panic must still be able to.
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(usage) => {
            // Help asked for is an answer; anything else is a usage error, which clap numbers 2 as we do.
            let code = u8::try_from(usage.exit_code()).unwrap_or(2);
            let _ = usage.print();
            return ExitCode::from(code);
        }
    };
    let console = Console::for_terminal(&mut out, &mut err, &args.global);
    ExitCode::from(dispatch(args, console) as u8)
}

/// Does what the arguments say, and prints what went wrong. Tests call it with buffers for a console.
pub fn dispatch(args: Args, console: Console<'_>) -> Exit {
    let mut context = Context { global: args.global, console };
    let done = match &args.command {
        Command::Try(args) => try_out::run(args, &mut context),
        Command::Run(args) => run::run(args, &mut context),
        Command::Check(args) => check::run(args, &mut context),
        Command::Init(args) => init::run(args, &mut context),
        Command::Reload(args) => reload::run(args, &mut context),
        Command::Status(args) => status::run(args, &mut context),
        Command::Tap(args) => tap::run(args, &mut context),
        Command::Schema(args) => schema::run(args, &mut context),
        Command::Explain(args) => explain::run(args, &mut context),
        Command::Version(args) => version::run(args, &mut context),
        Command::Backend { command } => backend::run(command, &mut context),
        Command::Plugin { command } => plugin::run(command, &mut context),
    };
    done.unwrap_or_else(|failure| {
        context.console.failure(&failure);
        failure.exit
    })
}
