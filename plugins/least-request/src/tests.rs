//! Unit tests, and what becomes of servers in a simulation.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation, assert_shares},
};

behaves!(LeastRequest);

mod by_bias {
    use super::*;

    behaves!(LeastRequest, r#"{"bias": 1}"#);
}

fn busy(loads: &[u32]) {
    testing::host(|host| {
        for (figures, load) in host.figures.iter_mut().zip(loads) {
            figures.in_flight = *load;
        }
    });
}

#[test]
fn the_least_loaded_for_its_weight_serves() {
    let mut bench = Bench::<LeastRequest>::new(&[1, 1, 4, 0]);
    busy(&[2, 1, 3, 0]);
    assert_eq!(bench.pick(), Decision::Choose(2), "3 of weight 4 is less than 1 of weight 1; weight 0 is never chosen");
    busy(&[2, 1, 5, 0]);
    assert_eq!(bench.pick(), Decision::Choose(1));
}

#[test]
fn equals_share_by_weight() {
    let mut bench = Bench::<LeastRequest>::with("{}", &[3, 1, 1, 0], 2).unwrap();
    busy(&[3, 1, 2, 0]);
    let spread = bench.spread(40_000);
    assert!(spread[0].abs_diff(30_000) < 600 && spread[1].abs_diff(10_000) < 600, "{spread:?}");
    assert_eq!(spread[2..], [0, 0]);
}

#[test]
fn a_retry_takes_the_least_loaded_of_the_rest() {
    let mut bench = Bench::<LeastRequest>::new(&[1, 1, 1]);
    busy(&[1, 5, 3]);
    assert_eq!(bench.retry(&[0]), Decision::Choose(2));
    assert_eq!(bench.retry(&[0, 2]), Decision::Choose(1));
    assert!(matches!(bench.retry(&[0, 2, 1]), Decision::Choose(_)), "nobody is left: the host decides");
}

#[test]
fn who_starts_slowly_takes_part_now_and_then_and_weighs_more() {
    let mut bench = Bench::<LeastRequest>::new(&[1; 3]);
    testing::host(|host| host.figures[0].slow_start_permille = 200);
    bench.update(3, Standing::Ready);
    let spread = bench.spread(30_000);
    assert!(spread[0].abs_diff(2_000) < 300, "a fifth of its share while all are idle: {spread:?}");
    busy(&[1, 4, 4]);
    assert_eq!(bench.spread(1_000)[0], 0, "one of its requests is as much as five");
    busy(&[0, 9, 9]);
    let spread = bench.spread(10_000);
    assert!(spread[0].abs_diff(2_000) < 300, "least loaded, it does not take all: {spread:?}");
    assert_eq!(bench.retry(&[1, 2]), Decision::Choose(0), "there is nobody else");
}

#[test]
fn nobody_serves_with_weight_0_alone() {
    assert_eq!(Bench::<LeastRequest>::new(&[0, 0]).pick(), Decision::Pass);
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    let mut bench = Bench::<LeastRequest>::new(&[u32::MAX; 3]);
    busy(&[u32::MAX, u32::MAX, 0]);
    assert_eq!(bench.spread(100), [0, 0, 100]);
}

const BIAS: &str = r#"{"bias": 1}"#;

#[test]
fn with_a_bias_idle_backends_take_turns_by_weight() {
    let spread = Bench::<LeastRequest>::with(BIAS, &[4, 2, 1, 0], 3).unwrap().spread(21_000);
    assert!(spread.iter().zip([12_000, 6_000, 3_000, 0]).all(|(n, m)| n.abs_diff(m) <= 3), "{spread:?}");
}

#[test]
fn with_a_bias_weights_are_envoys() {
    for (bias, expected) in
        [(1.0, [1.0, 3.0 / 4.0, 2.0 / 10.0]), (2.0, [1.0, 3.0 / 16.0, 2.0 / 100.0]), (0.0, [1.0, 3.0, 2.0])]
    {
        let mut bench = Bench::<LeastRequest>::with(&format!(r#"{{"bias": {bias:?}}}"#), &[1, 3, 2], 1).unwrap();
        busy(&[0, 3, 9]);
        bench.update(3, Standing::Ready);
        let (spread, total) = (bench.spread(60_000), expected.iter().sum::<f64>());
        for (count, weight) in spread.iter().zip(expected) {
            let expected = (60_000.0 * weight / total) as u32;
            assert!(count.abs_diff(expected) <= 2, "weight / (under way + 1)^{bias}: {spread:?}, not {expected}");
        }
    }
}

#[test]
fn with_a_bias_slow_start_makes_the_weight_smaller() {
    let mut bench = Bench::<LeastRequest>::with(BIAS, &[1; 3], 1).unwrap();
    testing::host(|host| host.figures[0].slow_start_permille = 200);
    bench.update(3, Standing::Ready);
    let spread = bench.spread(22_000);
    assert!(spread[0].abs_diff(2_000) <= 2, "{spread:?}");
}

#[test]
fn a_slow_server_gets_what_it_can_serve() {
    for settings in ["{}", BIAS] {
        let mut simulation = Simulation::new(Bench::<LeastRequest>::with(settings, &[1; 5], 2).unwrap());
        simulation.server(0).service_us = 200_000;
        let run = simulation.run(50_000, 1_000);
        assert!(run.shares()[0] < 7.0 && run.spread[0] > 0, "{settings}: {:?}", run.shares());
    }
}

#[test]
fn equal_servers_share_alike_at_any_load() {
    for per_second in [5, 500] {
        let mut simulation = Simulation::new(Bench::<LeastRequest>::new(&[1; 5]));
        assert_shares(&simulation.run(20_000, per_second).spread, &[1; 5]);
    }
}

#[test]
fn a_bias_is_no_odd_number() {
    for bias in ["-1", "11", "1e400"] {
        let refusal = Bench::<LeastRequest>::with(&format!(r#"{{"bias": {bias}}}"#), &[1], 1).err().unwrap();
        assert!(refusal.starts_with("bias must be 0 to 2"), "{bias}: {refusal}");
    }
}
