//! Who serves which clients, and how much of it.

use super::*;
use pointsman_sdk::{
    behaves,
    hashing::mix,
    testing::{self, Bench},
};

// Without those that ask for an opinion each time: in a retry, and where its zone has nobody, it leaves all to who comes next.
behaves!(@each ZoneAware, r#"{"min_backends": 1}"#, "a", |at, backend| backend.zone = ["a", "b"][at % 2].into() =>
    nobody one_backend odd_figures repeats);

/// Zones a, b, c in turn.
fn bench(settings: &str, weights: &[u32], here: &str) -> Bench<ZoneAware> {
    let zone = |at: usize, backend: &mut Backend| backend.zone = ["a", "b", "c"][at % 3].into();
    Bench::among(settings, here, weights, zone).unwrap()
}

/// Thousandths of the requests by zone, in the order of names.
fn shares(bench: &mut Bench<ZoneAware>) -> [i32; 3] {
    let mut counts = [0; 3];
    for _ in 0..100_000 {
        match bench.pick() {
            Decision::Narrow(zone) => counts[zone as usize] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts.map(|count| (count + 50) / 100)
}

fn near(found: [i32; 3], expected: [i32; 3]) {
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 8), "{found:?}");
}

#[test]
fn an_even_zone_serves_its_own() {
    near(shares(&mut bench("{}", &[1; 9], "b")), [0, 1000, 0]);
    assert_eq!(testing::host(|host| host.subsets[1].clone()), [(1, 1), (4, 1), (7, 1)]);
}

#[test]
fn what_is_lacking_goes_where_there_is_capacity_to_spare() {
    // Half of the clients come to a, which has a third of the capacity.
    near(shares(&mut bench(r#"{"shares": {"a": 0.5}}"#, &[1; 9], "a")), [667, 167, 167]);
    // Of capacities 1, 2 and 3 sixths with even clients: a has half of what it needs, c alone something to spare.
    near(shares(&mut bench("{}", &[1, 2, 3, 1, 2, 3], "a")), [500, 0, 500]);
}

/// Whatever the capacities and clients: where all zones together have enough, no zone gets more than it can take, from
/// the clients of all zones together.
#[test]
fn no_zone_is_given_more_than_its_share_of_the_capacity() {
    for case in 0..200_u64 {
        let part = |nth: u64| 1 + mix(case << 8 | nth) % 9;
        let (capacities, clients) = ([part(0), part(1), part(2)], [part(3), part(4), part(5)]);
        let of = |parts: [u64; 3], zone: usize| parts[zone] as f64 / parts.iter().sum::<u64>() as f64;
        let settings = format!(
            r#"{{"min_backends": 1, "shares": {{"a": {}, "b": {}, "c": {}}}}}"#,
            of(clients, 0),
            of(clients, 1),
            of(clients, 2)
        );
        let weights = capacities.map(|capacity| capacity as u32);
        let mut load = [0.0; 3];
        for (from, here) in ["a", "b", "c"].into_iter().enumerate() {
            let mut bench = bench(&settings, &weights, here);
            for _ in 0..5_000 {
                let Decision::Narrow(to) = bench.pick() else { panic!("{settings}") };
                load[to as usize] += of(clients, from) / 5_000.0;
            }
        }
        let fits = (0..3).all(|zone| load[zone] <= of(capacities, zone) + 0.02);
        assert!(fits, "{capacities:?}, {clients:?}: {load:?}");
    }
}

#[test]
fn few_backends_or_no_zone_of_ours_pass_and_so_do_retries() {
    assert_eq!(bench("{}", &[1; 5], "a").pick(), Decision::Pass);
    assert_eq!(bench("{}", &[1; 9], "d").pick(), Decision::Pass);
    assert_eq!(bench("{}", &[1; 9], "").pick(), Decision::Pass);
    assert_eq!(bench("{}", &[1; 9], "a").retry(&[0]), Decision::Pass);
    assert_eq!(bench(r#"{"min_backends": 1}"#, &[1; 3], "a").pick(), Decision::Narrow(0));
    assert_eq!(bench(r#"{"zone": "b"}"#, &[1; 9], "a").pick(), Decision::Narrow(1));
}

#[test]
fn shares_are_checked() {
    let refused = Bench::<ZoneAware>::with(r#"{"shares": {"a": 0.8, "b": 0.3}}"#, &[1], 1).err().unwrap();
    assert_eq!(refused, "shares must be 0 to 1 each, and 1 or less together");
}
