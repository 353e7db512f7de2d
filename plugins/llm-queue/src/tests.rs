//! Unit tests.

use super::*;
use pointsman_sdk::behaves;
use pointsman_sdk::testing::{self, Bench, Request};

behaves!(LlmQueue);

fn report(at: usize, queue: f64, cache: f64) {
    testing::host(|host| {
        let reported = &mut host.figures[at].reported;
        reported.insert("named_metrics.num_requests_waiting".into(), queue);
        reported.insert("named_metrics.kv_cache_usage_perc".into(), cache);
    });
}

fn busy(at: Position, requests: u32) {
    testing::host(|host| host.figures[at as usize].in_flight = requests);
}

#[test]
fn the_shortest_queue_and_the_freest_cache_serve() {
    let mut bench = Bench::<LlmQueue>::new(&[1; 4]);
    for (at, (queue, cache)) in [(5.0, 0.1), (1.0, 0.9), (2.0, 0.2), (0.0, 0.96)].into_iter().enumerate() {
        report(at, queue, cache);
    }
    assert_eq!(bench.pick(), Decision::Choose(2), "5.8, 8.2, 3.6, and one that is full");
    busy(2, 3);
    assert_eq!(bench.pick(), Decision::Choose(0));
}

#[test]
fn who_reports_nothing_is_taken_for_the_average() {
    let mut bench = Bench::<LlmQueue>::new(&[1; 3]);
    report(0, 10.0, 0.5);
    report(1, 0.0, 0.5);
    assert_eq!(bench.pick(), Decision::Choose(1));
    busy(1, 9);
    assert_eq!(bench.pick(), Decision::Choose(2));
}

#[test]
fn a_prefix_goes_home_until_home_is_crowded() {
    let mut bench = Bench::<LlmQueue>::with("{}", &[1; 4], 2).unwrap();
    testing::host(|host| host.request = Request::get("/").with_header("x-prefix", "agent-7"));
    let Decision::Choose(home) = bench.pick() else { panic!("nobody serves") };
    busy(home, 4);
    assert!((0..100).all(|_| bench.pick() == Decision::Choose(home)), "on every worker");
    busy(home, 5);
    let Decision::Choose(other) = bench.pick() else { panic!("nobody serves") };
    assert_ne!(other, home);
    busy(home, 0);
    assert_eq!(bench.pick(), Decision::Choose(other), "it is cached there now");
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let refusal = |settings: &str| Bench::<LlmQueue>::with(settings, &[1], 1).err().unwrap();
    assert_eq!(refusal(r#"{"remember_s": 0}"#), "remember_s must be 1 to 2592000, not 0");
    assert_eq!(refusal(r#"{"slack": -1}"#), "slack must be 0 or more, not -1");
}

#[test]
fn no_report_is_believed_without_bounds() {
    let mut bench = Bench::<LlmQueue>::new(&[1; 3]);
    report(0, -1e300, -1e300);
    report(1, 1e308, 0.0);
    report(2, f64::INFINITY, f64::NEG_INFINITY);
    assert!((0..50).all(|_| bench.pick() == Decision::Choose(0)), "a queue of none");
    busy(0, 2_000_000);
    assert!((0..50).all(|_| bench.pick() != Decision::Choose(0)), "what is under way there counts all the same");
}

#[test]
fn a_retry_leaves_home() {
    let mut bench = Bench::<LlmQueue>::new(&[1, 1]);
    testing::host(|host| host.request = Request::get("/").with_header("x-prefix", "agent-7"));
    let Decision::Choose(home) = bench.pick() else { panic!("nobody serves") };
    assert_eq!(bench.retry(&[home]), Decision::Choose(1 - home));
    assert_eq!(bench.retry(&[0, 1]), Decision::Pass);
}
