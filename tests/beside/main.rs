//! Pointsman beside nginx on the same machine, with one worker each: what some clients cost the others, and what an idle
//! connection costs. It prints a table and judges nothing: a figure from a busy machine says little.
//!
//! `cargo xtask bench fairness|floods|idle [--rounds N] [--seconds N] [--connections N]` builds and runs it.

// It ends with a panic, and says what it expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crowd;
mod idle;
mod latency;
mod sides;

use crowd::Crowd;
use std::time::Duration;

/// What is asked for.
struct Wanted {
    what: String,
    /// Each round starts both anew.
    rounds: usize,
    /// How long each figure of latency is measured.
    lasts: Duration,
    /// How many are idle.
    connections: usize,
}

#[tokio::main]
async fn main() {
    let wanted = Wanted::read(std::env::args().skip(1));
    match wanted.what.as_str() {
        "fairness" => latency::compare(&Crowd::BUSY, &wanted).await,
        "floods" => latency::compare(&Crowd::HOSTILE, &wanted).await,
        "idle" => idle::compare(&wanted).await,
        other => panic!("fairness, floods or idle, not {other:?}"),
    }
}

impl Wanted {
    fn read(mut args: impl Iterator<Item = String>) -> Wanted {
        let what = args.next().unwrap_or_default();
        let mut wanted = Wanted { what, rounds: 3, lasts: Duration::from_secs(5), connections: 5000 };
        while let Some(name) = args.next() {
            let value: usize = args.next().and_then(|value| value.parse().ok()).expect("a number behind each name");
            match name.as_str() {
                "--rounds" => wanted.rounds = value,
                "--seconds" => wanted.lasts = Duration::from_secs(value as u64),
                "--connections" => wanted.connections = value,
                _ => panic!("--rounds, --seconds or --connections, not {name:?}"),
            }
        }
        wanted
    }
}
