//! `pointsman plugin log NAME`: what a plugin of a running Pointsman has said lately.

use super::Named;
use crate::{
    admin::api::LogLine,
    cli::{Context, Exit, Failure, client::Client},
};

pub(super) fn run(args: &Named, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let client = Client::new(context.global.admin.as_ref());
    let lines: Vec<LogLine> = client.get(&super::path(&args.name, "log")?)?;
    if args.json {
        context.console.json(&lines)?;
        return Ok(Exit::Ok);
    }
    for line in lines {
        writeln!(context.console.out, "{:<5} {}", line.level, line.text)?;
    }
    Ok(Exit::Ok)
}
