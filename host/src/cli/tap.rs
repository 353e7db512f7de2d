//! `pointsman tap POOL`: a running Pointsman's decisions, with what was known when they were made.

use super::{
    Context, Exit, Failure,
    client::{Client, pause},
    plugin::nanos,
    status::latency,
};
use crate::admin::{
    api::{Candidate, Decision, Opinion, Tap},
    encoded,
};
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks: a pool with five thousand decisions a second loses none.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Without `--follow`: how long to look for decisions …
const LOOK_MOST: Duration = Duration::from_secs(5);
/// … and how many are enough.
const ENOUGH: usize = 10;
/// Candidates in one line.
const SHOWN_MOST: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `pointsman status` shows it
    pool: String,
    /// Go on until it is stopped
    #[arg(long)]
    follow: bool,
    /// For programs: one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let client = Client::new(context.global.admin.as_ref());
    let path = format!("/v1/pools/{}/tap", encoded(&args.pool));
    let mut tap: Tap = client.post_for(&path)?;
    let begun = Instant::now();
    let mut left = ENOUGH;
    while args.follow || (left > 0 && begun.elapsed() < LOOK_MOST) {
        pause(LOOK_EVERY)?;
        tap = client.post_for(&format!("{path}/{}", tap.latest))?;
        let wanted = if args.follow { usize::MAX } else { left };
        for decision in tap.decisions.iter().take(wanted) {
            let out = &mut context.console.out;
            match args.json {
                true => writeln!(out, "{}", serde_json::to_string(decision).map_err(anyhow::Error::from)?)?,
                false => write!(out, "{}", told(decision))?,
            }
        }
        if tap.dropped > 0 {
            writeln!(context.console.err, "{} more were decided than could be read", tap.dropped)?;
        }
        context.console.out.flush()?;
        left = left.saturating_sub(tap.decisions.len());
    }
    if !args.follow && left == ENOUGH {
        writeln!(context.console.err, "nothing was decided in {} s; does a request come?", LOOK_MOST.as_secs())?;
    }
    Ok(Exit::Ok)
}

/// Two lines: what came of it, and what was known.
fn told(decision: &Decision) -> String {
    let Decision { request, outcome, ns, .. } = decision;
    let chosen = decision.chosen.as_deref().unwrap_or("nobody");
    let by: Vec<_> = decision.asked.iter().map(opinion).collect();
    let by = if by.is_empty() { "no plugin".into() } else { by.join(", ") };
    let outcome = if outcome == "chosen" { String::new() } else { format!(", {outcome}") };
    let attempt = if decision.attempt == 0 { String::new() } else { format!(", retry {}", decision.attempt) };
    let note = decision.note.as_ref().map_or_else(String::new, |note| format!(": {}", plain(note)));
    let mut text = format!("{} → {chosen}{outcome}{attempt}  {by} in {}{note}\n", plain(request), nanos(*ns));
    let shown = decision.candidates.iter().take(SHOWN_MOST).map(|candidate| figures(candidate, chosen));
    text += &format!("    {}", shown.collect::<Vec<_>>().join("  "));
    let more = decision.candidates.len().saturating_sub(SHOWN_MOST) + decision.candidates_left_out;
    text += &if more > 0 { format!("  and {more} more\n") } else { "\n".into() };
    text
}

/// Who chose is named alone.
fn opinion(by: &Opinion) -> String {
    let said = if by.said == "chose" { String::new() } else { format!(" {}", by.said) };
    format!("{} (generation {}){said}", by.plugin, by.generation)
}

/// `*backend-1 (2 under way, 5.1ms, 100%)`; the star is at who was chosen.
fn figures(candidate: &Candidate, chosen: &str) -> String {
    let Candidate { name, in_flight, latency_us, success_permille, .. } = candidate;
    let star = if name == chosen { "*" } else { "" };
    format!("{star}{name} ({in_flight} under way, {}, {}%)", latency(*latency_us), success_permille / 10)
}

/// What a plugin or a client wrote does nothing to a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_two_lines() {
        let candidate = |name: &str, in_flight| Candidate {
            name: name.into(),
            weight: 1,
            in_flight,
            latency_us: 5_100,
            success_permille: 1000,
        };
        let asked = |plugin: &str, generation, said: &str| Opinion {
            plugin: plugin.into(),
            generation,
            said: said.into(),
            note: None,
        };
        let decision = Decision {
            request: "GET /cart".into(),
            attempt: 1,
            outcome: "chosen".into(),
            chosen: Some("b".into()),
            plugin: Some("power-of-two".into()),
            generation: Some(2),
            note: Some("fewer under\x1b[1m way".into()),
            asked: vec![asked("zone-aware", 1, "narrowed"), asked("power-of-two", 2, "chose")],
            ns: 1_200,
            candidates: vec![candidate("a", 3), candidate("b", 1)],
            candidates_left_out: 1,
        };
        let text = "GET /cart → b, retry 1  zone-aware (generation 1) narrowed, power-of-two (generation 2) in 1.2µs: \
                    fewer under?[1m way\n    \
                    a (3 under way, 5.1ms, 100%)  *b (1 under way, 5.1ms, 100%)  and 1 more\n";
        assert_eq!(told(&decision), text);
    }
}
