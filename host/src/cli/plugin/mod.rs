//! `pointsman plugin …`.

use super::{Context, Exit, Failure};

/// What can be done with plugins.
#[derive(Debug, clap::Subcommand)]
pub enum Command {}

pub(super) fn run(command: &Command, _: &mut Context<'_>) -> Result<Exit, Failure> {
    match *command {}
}
