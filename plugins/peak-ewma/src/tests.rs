//! Unit tests, and what becomes of servers in a simulation.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation},
};

behaves!(PeakEwma: ticker);

fn known(figures: &[(u32, u32)]) {
    testing::host(|host| {
        for (of, &(latency, under_way)) in host.figures.iter_mut().zip(figures) {
            (of.peak_latency_us, of.in_flight) = (latency, under_way);
        }
    });
}

#[test]
fn the_slower_serves_only_where_every_draw_meant_it() {
    let mut bench = Bench::<PeakEwma>::new(&[1, 1]);
    known(&[(9_000, 0), (1_000, 3)]);
    let spread = bench.spread(8_000);
    assert!(spread[0].abs_diff(1_000) < 200, "{spread:?}");
    known(&[(9_000, 0), (1_000, 9)]);
    let spread = bench.spread(8_000);
    assert!(spread[1].abs_diff(1_000) < 200, "ten times 1 ms is more than 9 ms: {spread:?}");
}

#[test]
fn a_new_backend_is_tried_and_not_flooded() {
    let mut bench = Bench::<PeakEwma>::new(&[1, 1]);
    known(&[(0, 0), (1_000, 5)]);
    assert!(bench.spread(8_000)[0] > 6_000);
    known(&[(0, 1), (1_000, 5)]);
    assert!(bench.spread(8_000)[0] < 2_000);
}

#[test]
fn weights_share_while_all_are_alike() {
    let mut bench = Bench::<PeakEwma>::with("{}", &[3, 1, 0], 2).unwrap();
    known(&[(1_000, 0); 3]);
    let spread = bench.spread(40_000);
    assert!(spread[0] > spread[1] && spread[1] > 5_000 && spread[2] == 0, "{spread:?}");
    assert_eq!(Bench::<PeakEwma>::new(&[0]).pick(), Decision::Pass);
}

#[test]
fn who_starts_slowly_is_drawn_by_a_smaller_weight_however_quick() {
    let mut bench = Bench::<PeakEwma>::new(&[1; 3]);
    testing::host(|host| host.figures[0].slow_start_permille = 100);
    bench.update(3, Standing::Ready);
    known(&[(0, 0), (1_000, 0), (1_000, 0)]);
    // Free, it serves wherever it is drawn: in two draws, and a third where these were one.
    let spread = bench.spread(42_000);
    assert!((4_300..5_300).contains(&spread[0]), "{spread:?}");
}

#[test]
fn a_retry_goes_elsewhere() {
    let mut bench = Bench::<PeakEwma>::new(&[1, 1, 1]);
    assert!((0..100).all(|_| bench.retry(&[0, 2]) == Decision::Choose(1)));
}

#[test]
fn a_slow_server_is_left_alone_and_comes_back() {
    let mut simulation = Simulation::new(Bench::<PeakEwma>::with("{}", &[1; 5], 2).unwrap());
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares().iter().all(|share| (15.0..=25.0).contains(share)), "{:?}", run.shares());
    simulation.server(0).service_us = 500_000;
    simulation.run(2_000, 1_000);
    // Drawn in both draws it serves all the same.
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 5.0, "{:?}", run.shares());
    simulation.server(0).service_us = 10_000;
    simulation.run(60_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] > 15.0, "{:?}", run.shares());
}

#[test]
fn who_fails_quickly_is_not_the_quickest() {
    let mut simulation = Simulation::ticking(Bench::<PeakEwma>::with("{}", &[1; 5], 2).unwrap());
    simulation.server(0).fails = true;
    simulation.server(0).service_us = 100;
    simulation.run(2_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 5.0 && run.spread[0] > 0, "{:?}", run.shares());
    simulation.server(0).fails = false;
    simulation.server(0).service_us = 10_000;
    simulation.run(20_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] > 15.0, "{:?}", run.shares());
}

#[test]
fn who_failed_is_asked_again_among_a_hundred_too() {
    let mut simulation = Simulation::ticking(Bench::<PeakEwma>::with("{}", &[1; 100], 2).unwrap());
    simulation.server(0).fails = true;
    simulation.run(20_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 0.5, "{:?}", run.shares());
    simulation.server(0).fails = false;
    simulation.run(90_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] > 0.7, "{:?}", run.shares());
}

#[test]
fn who_tells_clients_to_come_back_later_is_not_the_quickest() {
    let mut bench = Bench::<PeakEwma>::new(&[1, 1]);
    known(&[(100, 0), (10_000, 0)]);
    assert!(bench.spread(1_000)[0] > 800);
    bench.observe(&[Outcome { status: 429, ..Outcome::answered(0, 0, 100) }; 16]);
    bench.tick();
    assert!(bench.spread(1_000)[0] < 200);
    bench.observe(&[Outcome::answered(0, 0, 100); 160]);
    bench.tick();
    assert!(bench.spread(1_000)[0] > 800, "it serves again");
}

#[test]
fn a_penalty_is_at_most_a_minute() {
    let refusal = Bench::<PeakEwma>::with(r#"{"penalty_ms": 60001}"#, &[1], 1).err().unwrap();
    assert_eq!(refusal, "penalty_ms must be 0 to 60000, not 60001");
}
