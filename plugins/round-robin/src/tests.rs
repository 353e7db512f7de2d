//! Unit tests, and the same turns as nginx's.

use super::*;
use pointsman_sdk::{
    behaves,
    hashing::mix,
    testing::{self, Bench},
};

behaves!(RoundRobin);

fn spread(weights: &[u32], workers: u32, picks: u32) -> Vec<u32> {
    Bench::<RoundRobin>::with("{}", weights, workers).unwrap().spread(picks)
}

/// `ngx_http_upstream_get_peer` as it stands: one step, over the weights as configured.
fn nginx_deals(weights: &[u32], current: &mut [i64]) -> Position {
    let (mut total, mut best) = (0, None::<usize>);
    for (at, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        current[at] += i64::from(weight);
        total += i64::from(weight);
        if best.is_none_or(|best| current[at] > current[best]) {
            best = Some(at);
        }
    }
    let best = best.expect("somebody takes new work");
    current[best] -= total;
    best as Position
}

#[test]
fn deals_as_nginx_does() {
    // Of the message of the commit that brought it to nginx, then by hand.
    assert_eq!(smooth(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(smooth(&[4, 2, 1], 7), [0, 1, 0, 2, 0, 1, 0]);
    assert_eq!(smooth(&[1, 2, 3], 6), [2, 1, 0, 2, 1, 2]);
    // Of nginx's own tests (upstream.t, stream_upstream.t): 30 requests to two servers, alike and one to two.
    assert_eq!(spread(&[1, 1], 1, 30), [15, 15]);
    assert_eq!(spread(&[1, 2], 1, 30), [10, 20]);
}

#[test]
fn every_turn_is_nginxs() {
    for round in 0..40_u64 {
        let weights: Vec<u32> = (0..1 + mix(round) % 12).map(|at| (mix(round << 8 | at) % 101) as u32).collect();
        if weights.iter().all(|&weight| weight == 0) {
            continue;
        }
        let mut bench = Bench::<RoundRobin>::with("{}", &weights, 3).unwrap();
        let mut current = vec![0; weights.len()];
        for nth in 0..2_000 {
            let expected = Decision::Choose(nginx_deals(&weights, &mut current));
            assert_eq!(bench.pick(), expected, "turn {nth} of {weights:?}");
        }
    }
}

#[test]
fn is_exact_across_workers() {
    assert_eq!(spread(&[1; 5], 3, 5_000), [1_000; 5]);
    assert_eq!(spread(&[5, 1, 1, 0], 3, 7_000), [5_000, 1_000, 1_000, 0]);
    assert_eq!(spread(&[100, 300], 4, 4_000), [1_000, 3_000]);
}

#[test]
fn nobody_gets_a_turn_with_weight_0_alone() {
    assert_eq!(Bench::<RoundRobin>::new(&[0, 0]).pick(), Decision::Pass);
    assert_eq!(Bench::<RoundRobin>::new(&[]).pick(), Decision::Pass);
}

#[test]
fn who_starts_slowly_lets_turns_go_by() {
    let mut bench = Bench::<RoundRobin>::with("{}", &[2, 1, 1], 2).unwrap();
    testing::host(|host| host.figures[0].slow_start_permille = 250);
    bench.update(3, Standing::Ready);
    let spread = bench.spread(50_000);
    assert!(spread.iter().zip([10_000, 20_000, 20_000]).all(|(n, m)| n.abs_diff(m) < 600), "{spread:?}");
    testing::host(|host| host.figures[0].slow_start_permille = 1000);
    bench.spread(100);
    assert_eq!(bench.spread(4_000), [2_000, 1_000, 1_000], "exact again");
}

#[test]
fn a_sequence_too_long_to_keep_holds_shares_all_the_same() {
    let mut weights = vec![1000; 1500];
    weights[..4].copy_from_slice(&[1, 500, 997, 0]);
    let total: u32 = weights.iter().sum();
    let spread = spread(&weights, 2, total);
    for (count, weight) in spread.iter().zip(&weights) {
        assert!(count.abs_diff(*weight) <= 6, "{count} picks for weight {weight}");
    }
    assert_eq!(spread[3], 0);
}

#[test]
fn a_membership_change_keeps_the_turns() {
    let mut bench = Bench::<RoundRobin>::with("{}", &[1; 3], 2).unwrap();
    bench.spread(4);
    bench.update(2, Standing::Unhealthy);
    assert_eq!(bench.spread(10), [5, 5, 0]);
}

#[test]
fn a_retry_goes_on_to_the_next() {
    let mut bench = Bench::<RoundRobin>::new(&[1, 1, 1]);
    assert_eq!(bench.retry(&[0]), Decision::Choose(1));
}
