//! The story of troubles among backends, for as long as one likes.

use crate::{
    cargo::{cargo, command, run as run_command},
    debian, guests, stock,
};
use anyhow::{Context, Result, bail};

/// The story; it reads its time and its seed from the environment.
const STORY: &str = "chaos::case_54_no_idempotent_request_fails_whatever_falls_ill";

/// `--minutes N`, 1 unless it is given, and `--seed S` to repeat the order of another run.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut minutes, mut seed) = (1, None);
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--minutes" => minutes = number(value)?,
            [name, value] if name == "--seed" => seed = Some(number(value)?),
            _ => bail!("soak takes --minutes N and --seed S, not {}", pair.join(" ")),
        }
    }
    stock::build()?;
    guests::build()?;
    // As `cargo xtask test` builds it, so that nothing is built twice.
    cargo(["build", "--quiet", "--workspace", "--all-targets"])?;
    let mut story =
        command(["test", "--quiet", "--workspace", "--test", "suites", "--", "--exact", STORY, "--nocapture"]);
    story.env("POINTSMAN_SOAK_MINUTES", minutes.to_string()).env("PATH", debian::with_their_folder()?);
    run_command(story.envs(seed.map(|seed| ("POINTSMAN_SOAK_SEED", seed.to_string()))))
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text} is no number"))
}
