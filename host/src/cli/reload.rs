//! `pointsman reload`: a running Pointsman reads its configuration and its certificates again.

use super::{Context, Exit, Failure, client::Client};
use crate::admin::api::Reload;
use std::io::{self, Write};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON, as the admin API gives it
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let reload: Reload = Client::new(context.global.admin.as_ref()).post_for("/v1/reload")?;
    if args.json {
        context.console.json(&reload)?;
    } else {
        tell(&reload, context.console.out, context.console.err)?;
    }
    Ok(if reload.refusal.is_some() { Exit::Refused } else { Exit::Ok })
}

/// What came of it; what is wrong goes to the second.
fn tell(reload: &Reload, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    if let Some(refusal) = &reload.refusal {
        writeln!(err, "{}", refusal.text)?;
        return writeln!(out, "refused; the configuration before goes on serving");
    }
    match reload.outcome.as_str() {
        "applied" => writeln!(out, "{} reloaded, revision {}", reload.file, reload.revision)?,
        _ => writeln!(out, "{} read again: nothing is other", reload.file)?,
    }
    for change in &reload.changes {
        writeln!(out, "  {change}")?;
    }
    for warning in &reload.warnings {
        writeln!(out, "! {}: {}", warning.headline, warning.notes.join("; "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::api::Refusal,
        problem::{Code, Problem},
    };

    fn told(reload: &Reload) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        tell(reload, &mut out, &mut err).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn what_is_other_is_told_in_lines_and_what_is_wrong_as_check_tells_it() {
        let warning = Problem::warning(Code::AT_NEXT_START, "workers of [server] changed").note("at the next start");
        let mut reload = Reload {
            outcome: "applied".into(),
            file: "pointsman.toml".into(),
            revision: 5,
            changes: vec!["pool cart: 10.0.0.3:80 added".into()],
            warnings: vec![(&warning).into()],
            refusal: None,
        };
        let expected = "pointsman.toml reloaded, revision 5\n  pool cart: 10.0.0.3:80 added\n\
                        ! workers of [server] changed: at the next start\n";
        assert_eq!(told(&reload), (expected.into(), String::new()));
        reload.refusal = Some(Refusal { text: "error[PM0101]: unknown key".into(), ..Refusal::default() });
        let expected = ("refused; the configuration before goes on serving\n", "error[PM0101]: unknown key\n");
        assert_eq!(told(&reload), (expected.0.into(), expected.1.into()));
    }
}
