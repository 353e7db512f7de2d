//! Unit tests, and how full the fullest of many backends becomes.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation, assert_shares},
};

behaves!(PowerOfTwo);

/// How many requests the fullest of so many backends has when as many requests came as there are backends, and none left.
fn fullest(choices: u64, backends: usize) -> u32 {
    let settings = format!(r#"{{"choices": {choices}}}"#);
    let mut bench = Bench::<PowerOfTwo>::with(&settings, &vec![1; backends], 2).unwrap();
    for _ in 0..backends {
        let Decision::Choose(at) = bench.pick() else { panic!("somebody serves") };
        testing::host(|host| host.figures[at as usize].in_flight += 1);
    }
    testing::host(|host| host.figures.iter().map(|figures| figures.in_flight).max().unwrap())
}

#[test]
fn the_fullest_is_as_full_as_the_theory_says() {
    // Azar and others 1994: ln ln n / ln d + O(1), and the constant is below 2 in practice; one draw gives about 7 here.
    for (choices, backends) in [(2, 1_024), (2, 4_096), (3, 4_096), (8, 4_096)] {
        let theory = (backends as f64).ln().ln() / (choices as f64).ln();
        let found = f64::from(fullest(choices, backends));
        assert!(found <= theory + 2.0, "{choices} choices of {backends}: {found}, by theory {theory:.2}");
    }
}

#[test]
fn a_slow_server_fills_up_and_is_left_alone() {
    let mut simulation = Simulation::new(Bench::<PowerOfTwo>::new(&[1; 5]));
    assert_shares(&simulation.run(20_000, 100).spread, &[1; 5]);
    simulation.server(0).service_us = 1_000_000;
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 7.0 && run.spread[0] > 0, "{:?}", run.shares());
    simulation.server(0).service_us = 10_000;
    simulation.run(5_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] > 18.0, "quick again, it serves again: {:?}", run.shares());
}

#[test]
fn choices_are_bounded() {
    for choices in [0, 1, 17] {
        let refusal = Bench::<PowerOfTwo>::with(&format!(r#"{{"choices": {choices}}}"#), &[1], 1).err().unwrap();
        assert_eq!(refusal, format!("choices must be 2 to 16, not {choices}"));
    }
}

#[test]
fn shares_follow_weights_while_all_are_idle() {
    let spread = Bench::<PowerOfTwo>::with("{}", &[3, 1, 0], 2).unwrap().spread(40_000);
    assert!(spread[0].abs_diff(30_000) < 600 && spread[2] == 0, "{spread:?}");
}

#[test]
fn who_starts_slowly_is_drawn_by_a_smaller_weight() {
    let mut bench = Bench::<PowerOfTwo>::new(&[1; 3]);
    testing::host(|host| {
        host.figures[0].slow_start_permille = 100;
        (0..3).for_each(|at| host.figures[at].in_flight = 1);
    });
    bench.update(3, Standing::Ready);
    let spread = bench.spread(42_000);
    assert!(spread[0].abs_diff(2_000) < 400 && spread[1].abs_diff(spread[2]) < 900, "{spread:?}");
}

#[test]
fn a_busy_backend_gets_what_only_it_was_drawn_for() {
    let mut bench = Bench::<PowerOfTwo>::new(&[1; 4]);
    testing::host(|host| host.figures[0].in_flight = 9);
    // Drawn in all of up to three draws: 1/4 * 1/4 * 1/4.
    let spread = bench.spread(64_000);
    assert!(spread[0].abs_diff(1_000) < 200, "{spread:?}");
}

#[test]
fn one_backend_serves_alone() {
    assert_eq!(Bench::<PowerOfTwo>::new(&[1]).spread(10), [10]);
    assert_eq!(Bench::<PowerOfTwo>::new(&[0]).pick(), Decision::Pass);
}

#[test]
fn a_retry_goes_elsewhere() {
    let mut bench = Bench::<PowerOfTwo>::new(&[1, 1, 1]);
    assert!((0..100).all(|_| bench.retry(&[0, 2]) == Decision::Choose(1)));
}
