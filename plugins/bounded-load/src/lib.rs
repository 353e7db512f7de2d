//! Consistent hashing with bounded loads: a key goes to its backend as long as that has fewer requests than its bound, and
//! else to the key's next one. The bound is kept by reserving, so no two workers take the last place together.

use pointsman_sdk::{
    hashing::{Key, Maglev},
    prelude::*,
};
use serde::Deserialize;

/// How many backends a key goes on to before all are looked at in their order.
const NEXT_MOST: u64 = 32;
/// Up to so many backends, what is under way is counted in each pick; among more, once in as many picks as they are more.
const COUNTED_AT_ONCE: u32 = 64;
/// 8 MiB of table.
const SIZE_MAX: u32 = 1 << 21;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How far above its share a backend may go.
    #[serde(default = "usual_factor")]
    factor: f64,
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
    /// Entries of the table.
    #[serde(default = "usual_size")]
    table: u32,
}

fn usual_factor() -> f64 {
    1.25
}

fn usual_size() -> u32 {
    Maglev::SIZE
}

struct BoundedLoad {
    settings: Settings,
    table: Maglev,
    /// By position: of one more request under way, how much of the bound is this backend's.
    shares: Vec<f64>,
    /// Requests under way when they were counted last, and the picks since.
    under_way: u32,
    since: u32,
}

impl Balancer for BoundedLoad {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let Settings { factor, table: size, .. } = settings;
        if !(1.0..=100.0).contains(&factor) {
            return Err(format!("factor must be 1 to 100, not {factor}"));
        }
        if size > SIZE_MAX || !Maglev::is_size(size) {
            return Err(format!("table must be a prime up to {SIZE_MAX}, such as 65537 or 655373, not {size}"));
        }
        Ok(BoundedLoad { settings, table: Maglev::default(), shares: Vec::new(), under_way: 0, since: u32::MAX })
    }

    fn update(&mut self, pool: &Pool) {
        self.table = Maglev::over(pool, self.settings.table);
        let total: f64 = pool.ready().iter().map(|backend| f64::from(backend.weight)).sum();
        let share = |backend: &Backend| self.settings.factor * f64::from(backend.weight) / total.max(1.0);
        self.shares = pool.ready().iter().map(share).collect();
        self.since = u32::MAX;
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let key = Turn { random: self.settings.hash.of(turn), ..*turn };
        let Some(first) = self.table.at(key.draw(0)) else { return Decision::Pass };
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        self.count(pool);
        if !tried.contains(&first) && self.takes(first) {
            return Decision::Choose(first);
        }
        // Who was full may be so by an old count of all requests; where that helps nobody there is room for one of all.
        self.under_way = figures::total_in_flight();
        let drawn = (1..=NEXT_MOST).filter_map(|nth| self.table.at(key.draw(nth)));
        let everybody = (0..pool.len()).filter(|&at| pool.ready()[at as usize].weight > 0);
        let next = drawn.chain(everybody).find(|at| !tried.contains(at) && self.takes(*at));
        next.map_or(Decision::Pass, Decision::Choose)
    }
}

impl BoundedLoad {
    /// Counts what is under way, or takes it to be one more than before.
    fn count(&mut self, pool: &Pool) {
        self.since = self.since.saturating_add(1);
        self.under_way = self.under_way.saturating_add(1);
        if self.since >= pool.len() / COUNTED_AT_ONCE {
            self.under_way = figures::total_in_flight();
            self.since = 0;
        }
    }

    /// Reserves a place there, unless it is at its bound.
    fn takes(&self, at: Position) -> bool {
        // With this request itself.
        let all = f64::from(self.under_way) + 1.0;
        figures::reserve(at, (all * self.shares[at as usize]).ceil() as u32)
    }
}

balancer!(BoundedLoad: about);

#[cfg(test)]
mod tests {
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
}
