//! Unit tests, and what becomes of servers in a simulation.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation, assert_shares},
};

behaves!(AdaptiveWeights: ticker);

fn simulation(weights: &[u32]) -> Simulation<AdaptiveWeights> {
    Simulation::ticking(Bench::with("{}", weights, 2).unwrap())
}

fn failing(permille: &[u32]) {
    testing::host(|host| {
        host.figures.iter_mut().zip(permille).for_each(|(of, failing)| of.success_permille = 1000 - failing);
    });
}

#[test]
fn while_all_answer_alike_weights_are_as_configured() {
    for weights in [vec![1; 5], vec![1000, 1, 0, 500], vec![3, 1, 1]] {
        assert_shares(&simulation(&weights).run(50_000, 1_000).spread, &weights);
    }
}

#[test]
fn who_fails_is_left_with_the_floor_and_comes_back() {
    let mut simulation = simulation(&[1; 5]);
    simulation.server(1).fails = true;
    simulation.run(10_000, 1_000);
    let run = simulation.run(40_000, 1_000);
    // 5 of 405.
    assert_shares(&run.spread, &[100, 5, 100, 100, 100]);
    simulation.server(1).fails = false;
    simulation.run(30_000, 1_000);
    assert_shares(&simulation.run(40_000, 1_000).spread, &[1; 5]);
}

#[test]
fn a_weight_is_halved_at_once_and_given_back_in_steps() {
    let mut bench = Bench::<AdaptiveWeights>::new(&[1; 4]);
    failing(&[300, 0, 0, 0]);
    for part in [500, 250, 125, 62, 50, 50] {
        bench.tick();
        assert_shares(&bench.spread(40_000), &[part, 1000, 1000, 1000]);
    }
    failing(&[90, 0, 0, 0]);
    for part in [100, 150, 200] {
        bench.tick();
        assert_shares(&bench.spread(40_000), &[part, 1000, 1000, 1000]);
    }
}

#[test]
fn failures_that_all_share_move_nothing() {
    let mut bench = Bench::<AdaptiveWeights>::new(&[1; 5]);
    failing(&[500, 480, 520, 560, 500]);
    (0..20).for_each(|_| bench.tick());
    assert_shares(&bench.spread(40_000), &[1; 5]);
    let mut two = Bench::<AdaptiveWeights>::new(&[1; 2]);
    failing(&[900, 0]);
    two.tick();
    assert_shares(&two.spread(40_000), &[1; 2]);
}

#[test]
fn a_flapping_server_keeps_what_it_deserves() {
    let mut simulation = simulation(&[1; 5]);
    let mut total = vec![0; 5];
    for second in 0..60 {
        simulation.server(3).fails = second % 6 < 3;
        let run = simulation.run(500, 500);
        total.iter_mut().zip(run.spread).for_each(|(all, count)| *all += count);
    }
    assert!(total[3] * 2 < total[0] && total[3] > 300, "{total:?}");
}

#[test]
fn a_part_of_a_weight_outlives_a_change_of_the_pool() {
    let mut bench = Bench::<AdaptiveWeights>::new(&[1; 4]);
    failing(&[300, 0, 0, 0]);
    bench.tick();
    bench.resize(&[1; 5]);
    assert_shares(&bench.spread(40_000), &[500, 1000, 1000, 1000, 1000]);
}

#[test]
fn settings_have_limits() {
    for (settings, refusal) in [
        (r#"{"floor": 0}"#, "floor must be 1 to 100, not 0"),
        (r#"{"tolerance": 101}"#, "tolerance must be 1 to 100, not 101"),
        (r#"{"recovery": 0}"#, "recovery must be 1 to 100, not 0"),
        (r#"{"period_ms": 10}"#, "period_ms must be 100 to 60000, not 10"),
    ] {
        assert_eq!(Bench::<AdaptiveWeights>::with(settings, &[1], 1).err().unwrap(), refusal);
    }
}
