//! `pointsman run`: serves what the configuration says.

use super::{Context, Exit, Failure, serve};
use crate::{
    app::{App, Options},
    telemetry,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Serve with certificates that have expired
    #[arg(long)]
    allow_expired: bool,
    /// Do not follow the configuration and the certificates: SIGHUP or `pointsman reload` alone has them read again
    #[arg(long)]
    no_watch: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let hangups = serve::Hangups::catch()?;
    let (file, config, options) = serve::configured(context, args.allow_expired)?;
    let _log = telemetry::start(context.global.verbosity(), context.console.style.color)?;
    serve::raise_file_limit();
    let strict = context.global.strict;
    // With --strict a plugin's problem refuses the start as the configuration's do.
    let signals = hangups.and_stops()?;
    let app =
        App::start(config, Options { strict, watch: !args.no_watch, ..options }).map_err(|problems| match strict {
            true => Failure::refused(problems),
            false => problems.into(),
        })?;
    for listener in app.status().listeners {
        let scheme = if listener.tls { "https" } else { "http" };
        tracing::info!("listening on {scheme}://{} ({})", listener.address, listener.name);
    }
    tracing::info!("serving {}; admin {}", file.display(), app.admin());
    serve::until_stopped(app, signals)
}
