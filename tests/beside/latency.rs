//! The 99th percentile of clients that behave, alone and beside others.

use super::{
    Wanted,
    crowd::Crowd,
    sides::{self, PATH, Side},
};
use pointsman_tests::load::{Load, Pace, Target};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;

/// Requests a second of the clients that behave: far from what either side can do.
const RATE: u32 = 200;

/// How long each side is asked before anything is measured.
const WARMING: Duration = Duration::from_secs(1);

/// Alone, and beside others.
type Pair = (Duration, Duration);

/// Prints what each of these crowds does to others, by side.
pub(super) async fn compare(crowds: &[Crowd], wanted: &Wanted) {
    let mut found: BTreeMap<(usize, &'static str), Vec<Pair>> = BTreeMap::new();
    for round in 1..=wanted.rounds {
        eprintln!("round {round} of {}", wanted.rounds);
        let (_backend, sides) = sides::both().await;
        for side in &sides {
            // What the first ones build and open is nobody's latency.
            p99(side, Crowd::Pipelined, WARMING).await;
            p99(side, Crowd::Streams, WARMING).await;
        }
        for (number, crowd) in crowds.iter().enumerate() {
            for side in &sides {
                let alone = p99(side, *crowd, wanted.lasts).await;
                let going = crowd.begin(side);
                let beside = p99(side, *crowd, wanted.lasts).await;
                drop(going);
                found.entry((number, side.name)).or_default().push((alone, beside));
            }
        }
    }
    println!("p99 of {RATE} requests a second, one worker each; the median of the rounds, {} in all", wanted.rounds);
    println!("{:<36} {:<10} {:>10} {:>10} {:>7}   each round", "beside", "", "alone", "beside", "times");
    for ((number, side), rounds) in found {
        let times: Vec<f64> = rounds.iter().map(|(alone, beside)| beside.div_duration_f64(*alone)).collect();
        let each: Vec<_> = times.iter().map(|times| format!("{times:.1}")).collect();
        let (alone, beside): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
        println!(
            "{:<36} {side:<10} {:>10} {:>10} {:>6.1}x   {}",
            crowds[number].words(),
            millis(median(alone)),
            millis(median(beside)),
            median(times),
            each.join(" ")
        );
    }
}

async fn p99(side: &Side, crowd: Crowd, lasts: Duration) -> Duration {
    let target = if crowd.is_h2() { Target::h2(side.tls) } else { Target::plain(side.plain) };
    let load = Load::start(target.asking(PATH), Pace::PerSecond(RATE));
    sleep(lasts).await;
    let report = load.stop().await;
    if report.failures() > 0 {
        let (name, beside) = (side.name, crowd.words());
        eprintln!("{name}, {beside}: {} of {} failed: {:?}", report.failures(), report.sent, report.failed);
    }
    report.latency(0.99)
}

/// The one in the middle.
fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    of[of.len() / 2]
}

fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}
