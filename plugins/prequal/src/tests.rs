//! Unit tests, decisions against the rule as it is written down, and what becomes of servers in a simulation.

use super::*;
use pointsman_sdk::{
    behaves,
    testing::{self, Bench, Simulation},
};

behaves!(Prequal);

mod with_answers {
    use super::*;

    behaves!(Prequal, r#"{"probes": 0.3, "pool": 2}"#);
}

const ALL_STAY: &str = r#"{"removals": 0}"#;

fn said(at: Position, in_flight: u32, latency_us: u32) -> ProbeAnswer {
    ProbeAnswer { latency_us: Some(latency_us), ..ProbeAnswer::busy(at, in_flight) }
}

fn asked() -> Vec<Position> {
    testing::host(|host| std::mem::take(&mut host.asked))
}

/// Any number, the same in each run.
fn any(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

#[test]
fn the_hot_cold_rule_is_as_it_is_written_down() {
    let mut seed = 7;
    for _ in 0..500 {
        let backends = 2 + any(&mut seed, 15) as u32;
        let mut bench = Bench::<Prequal>::with(ALL_STAY, &vec![1; backends as usize], 1).unwrap();
        bench.pick();
        let loads: Vec<(u32, u32)> =
            (0..backends).map(|_| (any(&mut seed, 6) as u32, any(&mut seed, 5000) as u32)).collect();
        bench.probed(&(0..).zip(&loads).map(|(at, &(rif, us))| said(at, rif, us)).collect::<Vec<_>>());
        let mut sorted: Vec<u32> = loads.iter().map(|load| load.0).collect();
        sorted.sort_unstable();
        let theta = sorted[((sorted.len() as f64 * 0.84) as usize).min(sorted.len() - 1)];
        let quickest = loads.iter().filter(|load| load.0 <= theta).map(|load| load.1).min().expect("one is cold");
        let Decision::Choose(at) = bench.pick() else { panic!("{loads:?}") };
        let (rif, us) = loads[at as usize];
        assert!(rif <= theta && us == quickest, "{at} of {loads:?}, cold to {theta}");
    }
}

#[test]
fn whatever_is_answered_a_choice_is_one_of_the_pool() {
    let mut seed = 1;
    let mut bench = Bench::<Prequal>::with("{}", &[1, 0, 5, 1, 2], 2).unwrap();
    for round in 0..20_000 {
        let number = |seed: &mut u64| [0, 1, 7, u32::MAX - 1][any(seed, 4) as usize];
        let answer = ProbeAnswer {
            at: Some(any(&mut seed, 9) as u32).filter(|at| *at < 8),
            in_flight: Some(number(&mut seed)).filter(|_| any(&mut seed, 3) > 0),
            latency_us: Some(number(&mut seed)).filter(|_| any(&mut seed, 2) > 0),
            took_us: 0,
            age_us: number(&mut seed),
        };
        let in_pool = ProbeAnswer { latency_us: answer.latency_us.or(Some(1)), ..answer };
        bench.probed(&[in_pool, in_pool]);
        if round % 500 == 0 {
            bench.update(1 + any(&mut seed, 5) as usize, Standing::Unhealthy);
        }
        match bench.pick() {
            Decision::Choose(at) => assert!(at < 5 && at != 1, "{at}"),
            other => assert_eq!(other, Decision::Pass),
        }
    }
}

#[test]
fn a_request_has_three_asked_and_parts_are_owed() {
    let mut bench = Bench::<Prequal>::new(&[1; 100]);
    let count = (0..300).map(|_| (bench.pick(), asked().len()).1).sum::<usize>();
    assert!((880..=900).contains(&count), "{count}: a few are drawn twice");
    let mut bench = Bench::<Prequal>::with(r#"{"probes": 0.25}"#, &[1; 100], 1).unwrap();
    assert_eq!((0..300).map(|_| (bench.pick(), asked().len()).1).sum::<usize>(), 75);
    let mut bench = Bench::<Prequal>::new(&[1, 0, 1]);
    bench.spread(200);
    assert!(!asked().contains(&1), "who takes no work is not asked");
}

#[test]
fn each_request_counts_at_once_where_it_was_sent() {
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 4], 1).unwrap();
    bench.pick();
    bench.probed(&[said(0, 1, 100), said(1, 1, 200), said(2, 2, 300), said(3, 3, 400)]);
    let mut choose = || {
        let Decision::Choose(at) = bench.pick() else { panic!("somebody serves") };
        testing::host(|host| host.figures[at as usize].in_flight += 1);
        at
    };
    // Hot is more than three; then the least, and of equals the quickest.
    assert_eq!([(); 10].map(|()| choose()), [0, 0, 0, 1, 1, 1, 2, 2, 3, 0]);
    testing::host(|host| host.figures[1].in_flight = 0);
    assert_eq!(choose(), 1, "they have ended");
}

#[test]
fn answers_end_with_age_with_use_and_with_silence() {
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 3], 1).unwrap();
    bench.pick();
    testing::host(|host| host.figures[0].in_flight = 99);
    // By this process's own figures it would be the last.
    let zero_is_best = [said(0, 0, 1), said(1, 0, 900)];
    bench.probed(&zero_is_best);
    assert_eq!(bench.pick(), Decision::Choose(0));
    bench.pass(1_100_000);
    assert!(bench.spread(100)[0] < 20, "they are too old");
    bench.probed(&zero_is_best);
    bench.probed(&[ProbeAnswer::lost(0), said(2, 0, 950)]);
    assert_eq!(bench.spread(5)[0], 0, "it says nothing now");
    bench.probed(&[ProbeAnswer { age_us: 2_000_000, ..said(0, 0, 1) }]);
    assert_eq!(bench.spread(5)[0], 0, "that was long ago");
    // In a large pool an answer counts for (1 + 1) / (0.84 · 3) requests: one, or two.
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 100], 1).unwrap();
    bench.pick();
    bench.probed(&[said(0, 0, 1), said(1, 0, 900), said(2, 0, 950), said(3, 0, 990)]);
    let first = (0..4).filter(|_| bench.pick() == Decision::Choose(0)).count();
    assert!((1..=2).contains(&first), "{first}");
}

#[test]
fn the_worst_and_the_oldest_go_in_turn() {
    let mut answers = Answers::new(4, 1_000_000, 0.84);
    let answer = |id: u64, latency_us, said_us| Answer {
        id,
        at: id as u32,
        in_flight: 1,
        ours: 0,
        latency_us,
        said_us,
        uses: 9,
    };
    for (id, latency, said) in [(0, 10, 0), (1, 90, 40), (2, 20, 10), (3, 30, 30), (4, 40, 20)] {
        answers.learn(answer(id, latency, said));
    }
    answers.settle();
    let mut left = || {
        let mut ids: Vec<u64> = answers.all().iter().map(|answer| answer.id).collect();
        ids.sort_unstable();
        answers.thin(&[0; 5]);
        ids
    };
    // Of five the oldest went; then the slowest, then the oldest, and the last two stay.
    assert_eq!([left(), left(), left(), left()], [vec![1, 2, 3, 4], vec![2, 3, 4], vec![3, 4], vec![3, 4]]);
}

#[test]
fn what_is_unsaid_of_latency_is_this_process_own_average() {
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 3], 1).unwrap();
    bench.pick();
    testing::host(|host| (0..3).for_each(|at| host.figures[at].latency_us = 900 - 100 * at as u32));
    bench.probed(&[ProbeAnswer::busy(0, 1), ProbeAnswer::busy(1, 1), ProbeAnswer::busy(2, 1)]);
    assert_eq!(bench.pick(), Decision::Choose(2));
}

#[test]
fn a_retry_goes_where_it_was_not() {
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 3], 1).unwrap();
    bench.pick();
    bench.probed(&[said(0, 1, 10), said(1, 1, 20), said(2, 1, 30)]);
    assert_eq!(bench.retry(&[0]), Decision::Choose(1));
    assert_eq!(bench.retry(&[1, 0]), Decision::Choose(2));
}

#[test]
fn a_slow_server_is_left_alone_and_comes_back() {
    let mut simulation = Simulation::probing(Bench::<Prequal>::new(&[1; 10]));
    simulation.run(5_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares().iter().all(|share| (0.05..40.0).contains(share)), "nobody is forgotten: {:?}", run.shares());
    simulation.server(0).service_us = 500_000;
    simulation.run(5_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] < 2.0, "{:?}", run.shares());
    simulation.server(0).service_us = 10_000;
    simulation.run(20_000, 1_000);
    let run = simulation.run(20_000, 1_000);
    assert!(run.shares()[0] > 2.0, "quick again: {:?}", run.shares());
}

#[test]
fn with_few_answers_for_many_requests_it_still_spreads() {
    // As when a budget refuses nearly all.
    let mut bench = Bench::<Prequal>::new(&[1; 8]);
    let mut counts = vec![0_u32; 8];
    for round in 0..8_000_u32 {
        let Decision::Choose(at) = bench.pick() else { panic!("somebody serves") };
        counts[at as usize] += 1;
        if round % 20 == 0 {
            let at = round / 20 % 8;
            bench.probed(&[said(at, 5, 1000)]);
        }
    }
    assert!(counts.iter().all(|count| (500..2_000).contains(count)), "{counts:?}");
}

#[test]
fn what_is_known_goes_over() {
    let mut bench = Bench::<Prequal>::with(ALL_STAY, &[1; 3], 2).unwrap();
    bench.pick();
    bench.probed(&[said(0, 1, 90), said(1, 2, 10), said(2, 2, 20)]);
    bench.hand_over().unwrap();
    bench.pick();
    assert_eq!(bench.pick(), Decision::Choose(1), "the quickest");
}

#[test]
fn settings_are_bounded() {
    for (settings, words) in [
        (r#"{"probes": 0}"#, "probes must be 0.01 to 16, not 0"),
        (r#"{"pool": 1}"#, "pool must be 2 to 256, not 1"),
        (r#"{"age_ms": 5}"#, "age_ms must be 10 to 60000, not 5"),
        (r#"{"cold": 1.5}"#, "cold must be 0 to 1, not 1.5"),
    ] {
        assert_eq!(Bench::<Prequal>::with(settings, &[1], 1).err().as_deref(), Some(words));
    }
}
