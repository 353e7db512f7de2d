//! Unit tests.

use super::*;
use pointsman_sdk::behaves;
use pointsman_sdk::testing::{self, Bench};

behaves!(ReportedWeights: ticker);

fn report(at: usize, name: &str, number: f64) {
    testing::host(|host| host.figures[at].reported.insert(name.to_owned(), number));
}

fn bench(settings: &str, weights: &[u32]) -> Bench<ReportedWeights> {
    Bench::with(settings, weights, 1).unwrap()
}

fn near(spread: &[u32], expected: &[u32]) {
    let is_near = spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) < 300);
    assert!(is_near, "{spread:?} is not {expected:?}");
}

#[test]
fn who_is_less_busy_with_the_same_work_gets_more() {
    let mut bench = bench(r#"{"blackout_ms": 0}"#, &[1, 1, 1, 0]);
    for (at, load) in [(0, 0.25), (1, 0.5), (3, 0.01)] {
        report(at, "rps_fractional", 100.0);
        report(at, "application_utilization", load);
        report(at, "cpu_utilization", 0.9);
    }
    bench.tick();
    // 400, 200, the median of these, and nothing for weight 0.
    near(&bench.spread(9_000), &[4_000, 2_000, 3_000, 0]);
}

#[test]
fn failures_count_as_load_and_another_number_may_be_named() {
    let mut bench = bench(r#"{"blackout_ms": 0, "error_penalty": 2, "utilization": "utilization.gpu"}"#, &[1, 1]);
    for at in 0..2 {
        report(at, "rps_fractional", 10.0);
        report(at, "utilization.gpu", 0.5);
    }
    report(0, "eps", 5.0);
    bench.tick();
    // 10 / (0.5 + 0.5 × 2) and 10 / 0.5.
    near(&bench.spread(8_000), &[2_000, 6_000]);
}

#[test]
fn who_has_just_begun_to_report_counts_as_unknown() {
    let mut bench = bench(r#"{"blackout_ms": 3000}"#, &[3, 1]);
    for (at, load) in [(0, 0.9), (1, 0.1)] {
        report(at, "rps_fractional", 9.0);
        report(at, "cpu_utilization", load);
    }
    bench.tick();
    near(&bench.spread(8_000), &[6_000, 2_000]);
    (0..3).for_each(|_| bench.tick());
    near(&bench.spread(8_000), &[800, 7_200]);
    testing::host(|host| host.figures[1].reported.clear());
    bench.tick();
    near(&bench.spread(8_000), &[4_000, 4_000]);
}

#[test]
fn who_leaves_changes_nothing_for_those_that_stay() {
    let mut bench = bench(r#"{"blackout_ms": 3000}"#, &[1; 3]);
    for (at, load) in [(0, 0.75), (1, 0.25), (2, 0.5)] {
        report(at, "rps_fractional", 9.0);
        report(at, "cpu_utilization", load);
    }
    (0..4).for_each(|_| bench.tick());
    bench.update(2, Standing::Unhealthy);
    near(&bench.spread(8_000), &[2_000, 6_000]);
    // And it is new when it comes back, whatever it said before: worth the median.
    bench.tick();
    bench.update(3, Standing::Ready);
    near(&bench.spread(9_000), &[1_500, 4_500, 3_000]);
    bench.tick();
    near(&bench.spread(9_000), &[1_500, 4_500, 3_000]);
    (0..3).for_each(|_| bench.tick());
    near(&bench.spread(11_000), &[2_000, 6_000, 3_000]);
}

#[test]
fn settings_are_bounded() {
    let refusal = |settings: &str| Bench::<ReportedWeights>::with(settings, &[1], 1).err().unwrap();
    assert_eq!(refusal(r#"{"period_ms": 10}"#), "period_ms must be 100 to 60000, not 10");
    assert_eq!(refusal(r#"{"error_penalty": -1}"#), "error_penalty must be 0 or more, not -1");
    bench(r#"{"blackout_ms": 18446744073709551615}"#, &[1]).tick();
}
