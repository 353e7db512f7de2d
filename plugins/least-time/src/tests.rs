//! Unit tests, and what becomes of servers in a simulation.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation},
};

behaves!(LeastTime: ticker);

fn known(bench: &mut Bench<LeastTime>, figures: &[(u32, u32)]) {
    testing::host(|host| {
        for (of, &(latency, under_way)) in host.figures.iter_mut().zip(figures) {
            (of.latency_us, of.in_flight) = (latency, under_way);
        }
    });
    bench.tick();
}

#[test]
fn five_servers_that_are_nearly_equal_share_alike() {
    let mut bench = Bench::<LeastTime>::new(&[1; 5]);
    known(&mut bench, &[(10_000, 0), (10_400, 0), (11_000, 0), (10_100, 0), (12_000, 0)]);
    testing::assert_shares(&bench.spread(50_000), &[1; 5]);
}

/// Among 18 and 22 per cent each.
fn assert_alike(run: &testing::Run) {
    assert!(run.shares().iter().all(|share| (18.0..=22.0).contains(share)), "{:?}", run.shares());
}

#[test]
fn five_equal_servers_get_18_to_22_per_cent_each_at_any_load() {
    for per_second in [5, 50, 500, 5_000] {
        let mut simulation = Simulation::ticking(Bench::<LeastTime>::new(&[1; 5]));
        assert_alike(&simulation.run(20_000, per_second));
    }
}

#[test]
fn nobody_starves_after_one_bad_moment() {
    for per_second in [50, 500, 5_000] {
        let mut simulation = Simulation::ticking(Bench::<LeastTime>::new(&[1; 5]));
        simulation.run(per_second * 5, per_second);
        simulation.server(0).service_us = 5_000_000;
        simulation.run(per_second, per_second);
        simulation.server(0).service_us = 10_000;
        simulation.run(per_second * 30, per_second);
        assert_alike(&simulation.run(20_000, per_second));
    }
}

#[test]
fn a_slow_server_gets_little_and_is_not_forgotten() {
    let mut simulation = Simulation::ticking(Bench::<LeastTime>::new(&[1; 5]));
    simulation.server(0).service_us = 200_000;
    let run = simulation.run(60_000, 1_000);
    assert!(run.shares()[0] < 3.0 && run.spread[0] > 20, "{:?}", run.shares());
    assert!(run.percentile_us(95) < 20_000, "{}", run.percentile_us(95));
}

#[test]
fn who_fails_at_once_is_not_the_quickest() {
    let mut simulation = Simulation::ticking(Bench::<LeastTime>::new(&[1; 5]));
    simulation.server(0).fails = true;
    simulation.server(0).service_us = 100;
    simulation.run(2_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 1.0, "{:?}", run.shares());
    // It is asked again once half a minute has made less of its failures.
    simulation.server(0).fails = false;
    simulation.server(0).service_us = 10_000;
    simulation.run(60_000, 1_000);
    assert_alike(&simulation.run(20_000, 1_000));
}

#[test]
fn the_quicker_for_its_weight_serves() {
    let mut bench = Bench::<LeastTime>::new(&[1, 1, 4, 0]);
    known(&mut bench, &[(1_000, 2), (2_000, 0), (5_000, 0), (1, 0)]);
    assert_eq!(bench.pick(), Decision::Choose(2), "5 ms for weight 4 is less than 2 ms and than three times 1 ms");
    known(&mut bench, &[(1_000, 0), (2_000, 0), (5_000, 3), (1, 0)]);
    assert_eq!(bench.pick(), Decision::Choose(0));
}

#[test]
fn a_new_backend_is_one_like_the_others() {
    let mut bench = Bench::<LeastTime>::new(&[1, 1, 1]);
    known(&mut bench, &[(1_000, 0), (1_000, 0), (0, 0)]);
    assert!(bench.spread(9_000)[2].abs_diff(3_000) < 300);
    known(&mut bench, &[(1_000, 0), (1_000, 0), (0, 4)]);
    assert_eq!(bench.spread(1_000)[2], 0, "it has enough until it answered");
}

#[test]
fn what_is_known_outlives_a_change_of_the_pool() {
    let mut bench = Bench::<LeastTime>::new(&[1; 3]);
    known(&mut bench, &[(1_000, 0), (1_000, 0), (9_000, 0)]);
    // Not confirmed for long enough, it counts as the others do.
    (0..100).for_each(|_| bench.tick());
    bench.resize(&[1; 4]);
    assert!(bench.spread(8_000)[2].abs_diff(2_000) < 300);
}

#[test]
fn who_starts_slowly_takes_part_now_and_then_and_weighs_more() {
    let mut bench = Bench::<LeastTime>::new(&[1; 3]);
    testing::host(|host| host.figures[0].slow_start_permille = 200);
    bench.update(3, Standing::Ready);
    known(&mut bench, &[(1_000, 0), (1_000, 0), (1_000, 0)]);
    let spread = bench.spread(30_000);
    assert!(spread[0].abs_diff(2_000) < 300, "a fifth of its share while all are alike: {spread:?}");
    known(&mut bench, &[(100, 0), (1_000, 9), (1_000, 9)]);
    let spread = bench.spread(10_000);
    assert!(spread[0].abs_diff(2_000) < 300, "the best by far, it does not take all: {spread:?}");
    known(&mut bench, &[(1_000, 1), (1_000, 3), (1_000, 3)]);
    assert_eq!(bench.spread(1_000)[0], 0, "one of its requests is as much as five");
    assert_eq!(bench.retry(&[1, 2]), Decision::Choose(0), "there is nobody else");
}

#[test]
fn a_retry_takes_the_best_of_the_rest() {
    let mut bench = Bench::<LeastTime>::new(&[1, 1, 1]);
    known(&mut bench, &[(1_000, 0), (5_000, 0), (2_000, 0)]);
    assert_eq!(bench.retry(&[0]), Decision::Choose(2));
    assert!(matches!(bench.retry(&[0, 2, 1]), Decision::Choose(_)), "nobody is left: the host decides");
}
