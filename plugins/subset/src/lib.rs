//! Deterministic subsetting: of many balancers each uses a part of the backends, so that every backend is in as many parts as
//! the others.

use pointsman_sdk::{hashing::mix, prelude::*};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How many backends the part has.
    #[serde(default = "usual_size")]
    size: usize,
    /// Which of the balancers this one is.
    #[serde(default)]
    client: u64,
}

fn usual_size() -> usize {
    20
}

/// As many backends as a pool may have.
const SIZE_MAX: usize = 4096;

struct Subsetting {
    settings: Settings,
    /// None: nobody takes new work.
    part: Option<Subset>,
}

impl Balancer for Subsetting {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        match settings.size {
            1..=SIZE_MAX => Ok(Subsetting { settings, part: None }),
            size => Err(format!("size must be 1 to {SIZE_MAX}, not {size}")),
        }
    }

    fn update(&mut self, pool: &Pool) {
        let Settings { size, client } = self.settings;
        let backends = pool.ready().iter().chain(pool.others()).zip(0..);
        // Those that cannot serve now keep their places, so that the parts of others stay as they are.
        let mut order: Vec<(&Backend, Position)> = backends.filter(|(backend, _)| backend.weight > 0).collect();
        let parts = (order.len() / size).max(1) as u64;
        let (round, nth) = (client / parts, (client % parts) as usize);
        order.sort_by_key(|(backend, _)| (mix(backend.id ^ mix(round)), backend.id));
        let mine = order.iter().cycle().skip(nth * size).take(order.len());
        let mine = mine.filter(|(backend, _)| backend.standing == Standing::Ready).take(size);
        let (weights, members): (Vec<u32>, Vec<Position>) = mine.map(|(backend, at)| (backend.weight, *at)).unzip();
        self.part = (!members.is_empty()).then(|| subsets::define(&members, &weights));
    }

    fn pick(&mut self, _: &Turn, _: &Pool) -> Decision {
        self.part.map_or(Decision::Pass, Decision::Narrow)
    }
}

balancer!(Subsetting: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::{
        behaves,
        testing::{self, Bench},
    };
    use std::collections::BTreeSet;

    behaves!(Subsetting, r#"{"size": 3}"#);

    fn bench(size: usize, client: usize, backends: usize) -> Bench<Subsetting> {
        Bench::with(&format!(r#"{{"size": {size}, "client": {client}}}"#), &vec![1; backends], 1).unwrap()
    }

    /// Whom the latest bench narrows to.
    fn part() -> BTreeSet<Position> {
        testing::host(|host| host.subsets[0].iter().map(|(at, _)| *at).collect())
    }

    fn part_of(size: usize, client: usize, backends: usize) -> BTreeSet<Position> {
        bench(size, client, backends);
        part()
    }

    /// In how many parts of these clients each backend is.
    fn clients(size: usize, clients: usize, backends: usize) -> Vec<usize> {
        let mut counts = vec![0; backends];
        for client in 0..clients {
            part_of(size, client, backends).iter().for_each(|at| counts[*at as usize] += 1);
        }
        counts
    }

    #[test]
    fn every_backend_is_in_as_many_parts() {
        // Ten rounds of ten parts.
        assert_eq!(clients(30, 100, 300), vec![10; 300]);
        // In the middle of a round some are in one part more.
        assert!(clients(30, 95, 300).iter().all(|count| (9..=10).contains(count)));
        // 10 of 310 are left out of each round, others each time.
        let counts = clients(30, 200, 310);
        assert!(counts.iter().all(|count| (15..=20).contains(count)), "{counts:?}");
    }

    #[test]
    fn parts_of_a_round_have_nobody_in_common() {
        let parts: Vec<_> = (0..10).map(|client| part_of(10, client, 100)).collect();
        assert!(parts.iter().enumerate().all(|(n, part)| parts[..n].iter().all(|other| part.is_disjoint(other))));
        assert_ne!(part_of(10, 0, 100), part_of(10, 10, 100), "the next round cuts otherwise");
    }

    #[test]
    fn who_is_ill_is_replaced_and_the_others_stay() {
        for client in 0..7 {
            let mut bench = bench(10, client, 70);
            let before = part();
            bench.update(69, Standing::Unhealthy);
            let (after, ill) = (part(), before.contains(&69));
            assert_eq!((after.len(), before.difference(&after).count()), (10, usize::from(ill)));
            bench.update(70, Standing::Ready);
            assert_eq!(part(), before, "it is well again");
        }
    }

    #[test]
    fn one_more_backend_moves_little() {
        let moved: usize =
            (0..10).map(|client| part_of(10, client, 100).difference(&part_of(10, client, 101)).count()).sum();
        // Each part hands one on at most; shuffled anew, nearly all of them would move.
        assert!(moved <= 10, "{moved} of 100");
    }

    #[test]
    fn a_part_of_nothing_passes_and_settings_are_checked() {
        assert_eq!(Bench::<Subsetting>::new(&[0, 0]).pick(), Decision::Pass);
        assert!(Bench::<Subsetting>::with(r#"{"size": 0}"#, &[1], 1).is_err());
        assert!(Bench::<Subsetting>::with(r#"{"client": -1}"#, &[1], 1).is_err());
    }
}
