//! Unit tests.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Request},
};

behaves!(BoundedLoad);

const BY_USER: &str = r#"{"hash": "header:x-user"}"#;

fn user(name: &str) {
    testing::host(|host| host.request = Request::get("/").with_header("x-user", name));
}

fn busy() -> Vec<u32> {
    testing::host(|host| host.figures.iter().map(|figures| figures.in_flight).collect())
}

/// Requests that never end.
fn begin(bench: &mut Bench<BoundedLoad>) -> usize {
    let Decision::Choose(at) = bench.pick() else { panic!("nobody has room") };
    testing::host(|host| host.figures[at as usize].in_flight += 1);
    at as usize
}

#[test]
fn nobody_is_ever_above_its_bound_whatever_is_asked_for() {
    for (settings, factor) in [(BY_USER, 1.25), (r#"{"hash": "header:x-user", "factor": 1}"#, 1.0)] {
        for weights in [&[1; 7][..], &[5, 1, 1, 3], &[1; 200]] {
            let mut bench = Bench::<BoundedLoad>::with(settings, weights, 2).unwrap();
            let total: u32 = weights.iter().sum();
            for number in 1..=2_000_u32 {
                // Half of them want the same.
                user(&format!("u{}", if number % 2 == 0 { 0 } else { number }));
                let at = begin(&mut bench);
                let bound = factor * f64::from(number) * f64::from(weights[at]) / f64::from(total);
                assert!(f64::from(busy()[at]) <= bound.ceil(), "{weights:?}, {factor}: {:?}", busy());
            }
        }
    }
}

#[test]
fn who_takes_no_new_work_makes_no_room_for_others() {
    let mut bench = Bench::<BoundedLoad>::with(BY_USER, &[1; 10], 1).unwrap();
    user("hot");
    bench.update(2, Standing::Draining);
    testing::host(|host| host.figures[2..].iter_mut().for_each(|figures| figures.in_flight = 100));
    // Of n requests on two backends, neither has more than its bound.
    for number in 1..=20_u32 {
        begin(&mut bench);
        let bound = (f64::from(number) * 1.25 / 2.0).ceil() as u32;
        assert!(busy()[..2].iter().all(|under_way| *under_way <= bound), "{:?} of {bound}", busy());
    }
}

#[test]
fn a_bound_does_not_outlive_its_peak() {
    let mut bench = Bench::<BoundedLoad>::with(BY_USER, &[1; 4096], 1).unwrap();
    user("hot");
    testing::host(|host| host.figures.iter_mut().for_each(|figures| figures.in_flight = 10));
    bench.pick();
    testing::host(|host| host.figures.iter_mut().for_each(|figures| figures.in_flight = 0));
    bench.pass(10_000);
    let mut chosen = std::collections::BTreeSet::new();
    assert!((0..50).all(|_| chosen.insert(begin(&mut bench))), "one each: {chosen:?}");
}

#[test]
fn a_bound_that_is_a_whole_number_is_that_number() {
    let settings = r#"{"hash": "header:x-user", "factor": 1.1}"#;
    let mut bench = Bench::<BoundedLoad>::with(settings, &[10, 90], 1).unwrap();
    (0..).map(|n| user(&format!("u{n}"))).find(|()| bench.pick() == Decision::Choose(0)).unwrap();
    // A tenth of 100 requests, times 1.1, is 11.000000000000002.
    testing::host(|host| (host.figures[0].in_flight, host.figures[1].in_flight) = (11, 88));
    assert_eq!(bench.pick(), Decision::Choose(1));
}

#[test]
fn where_all_are_full_by_an_old_count_a_new_one_finds_room() {
    let mut bench = Bench::<BoundedLoad>::with(BY_USER, &[1; 200], 1).unwrap();
    user("hot");
    begin(&mut bench);
    testing::host(|host| host.figures.iter_mut().for_each(|figures| figures.in_flight = 40));
    assert!((0..20).all(|_| matches!(bench.pick(), Decision::Choose(_))));
}

#[test]
fn a_hot_key_overflows_alike_on_every_worker_and_returns() {
    let mut bench = Bench::<BoundedLoad>::with(BY_USER, &[1; 10], 4).unwrap();
    user("hot");
    let home = begin(&mut bench);
    let next = begin(&mut bench);
    assert_ne!(home, next, "one of ten backends has room for one of two requests");
    let third = bench.pick();
    assert!(third != Decision::Choose(home as u32) && third != Decision::Choose(next as u32));
    assert!((0..8).all(|_| bench.pick() == third), "the same one on every worker");
    testing::host(|host| host.figures[home].in_flight = 0);
    assert!((0..8).all(|_| bench.pick() == Decision::Choose(home as u32)), "there is room again");
}

#[test]
fn a_pool_that_is_quiet_is_hashed_as_by_maglev() {
    let spread = Bench::<BoundedLoad>::new(&[2, 1, 1, 0]).spread(40_000);
    let expected = [20_000, 10_000, 10_000, 0];
    assert!(spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) < 600), "{spread:?}");
}

#[test]
fn a_retry_goes_elsewhere_and_nobody_passes() {
    let mut bench = Bench::<BoundedLoad>::new(&[1, 1]);
    assert!((0..100).all(|_| bench.retry(&[0]) == Decision::Choose(1)));
    assert_eq!(bench.retry(&[0, 1]), Decision::Pass);
    assert_eq!(Bench::<BoundedLoad>::new(&[0]).pick(), Decision::Pass);
}
