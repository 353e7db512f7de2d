//! What every balancer must hold, whatever its algorithm.

use super::{Bench, Figures, host};
use crate::{Backend, Balancer, Decision, Position, Standing, Ticker, turn::mix};
use std::marker::PhantomData;

/// As many as a pool may have.
const BACKENDS_MOST: usize = 4_096;
/// Picks of one check: each backend of a small pool is met many times.
const PICKS: u64 = 2_000;
/// Workers that take turns.
const WORKERS: u32 = 3;

/// Checks of one balancer with given settings. [`behaves!`](crate::behaves) makes a test of each.
pub struct Behaviour<B> {
    settings: &'static str,
    zone: &'static str,
    describe: fn(usize, &mut Backend),
    balancer: PhantomData<fn() -> B>,
}

/// What moved when one of some backends left, as shares of all keys.
#[derive(Clone, Copy, Debug)]
pub struct Disruption {
    /// Keys of the one that left: they had to move, and are the least there can be.
    pub own: f64,
    /// Keys of backends that stayed, which moved all the same.
    pub others: f64,
}

impl<B: Balancer> Behaviour<B> {
    /// With settings, as JSON.
    pub fn of(settings: &'static str) -> Behaviour<B> {
        Behaviour::among(settings, "", |_, _| {})
    }

    /// The same in a zone, with backends of which more is said than their weights.
    pub fn among(settings: &'static str, zone: &'static str, describe: fn(usize, &mut Backend)) -> Behaviour<B> {
        Behaviour { settings, zone, describe, balancer: PhantomData }
    }

    /// Where nobody takes new work it has no opinion.
    pub fn nobody(&self) {
        for weights in [&[][..], &[0], &[0, 0, 0]] {
            let mut bench = self.bench(weights);
            assert!((0..100).all(|_| bench.pick() == Decision::Pass), "it chose among {weights:?}");
        }
    }

    /// One backend gets everything, also when it was tried.
    pub fn one_backend(&self) {
        for weight in [1, 1000] {
            let mut bench = self.bench(&[weight]);
            let first = bench.pick();
            assert!(matches!(first, Decision::Choose(0) | Decision::Narrow(_)), "{first:?}");
            assert!(fits(first, &[weight]), "{first:?}");
            assert!((0..PICKS).all(|_| bench.pick() == first));
            let again = bench.retry(&[0]);
            assert!(again == first || again == Decision::Pass, "{again:?}");
        }
    }

    /// Weights from 0 to 1000: weight 0 gets nothing, and every choice is one of the pool.
    pub fn weights(&self) {
        let weights: Vec<u32> = (0..21).map(|step| step * 50).chain([0, 1, 999]).collect();
        let mut bench = self.bench(&weights);
        chooses((0..PICKS).map(|_| bench.pick()), &weights);
        chooses((0..PICKS).map(|n| bench.retry(&[(n % 24) as Position])), &weights);
    }

    /// As many backends as a pool may have, of all weights and of one.
    pub fn many_backends(&self) {
        for weights in [vec![1; BACKENDS_MOST], mixed()] {
            let mut bench = self.bench_of(&weights, 1);
            chooses((0..200).map(|_| bench.pick()), &weights);
            chooses((0..20).map(|n| bench.retry(&[n])), &weights);
        }
    }

    /// Backends join, leave, fall ill, change their weights: choices are always of the latest list.
    pub fn joining_and_leaving(&self) {
        let mut bench = self.bench(&[1, 2, 3]);
        for round in 0..60_u64 {
            let weights: Vec<u32> = (0..1 + mix(round) % 12).map(|at| (mix(round << 8 | at) % 4) as u32).collect();
            bench.resize(&weights);
            chooses((0..50).map(|_| bench.pick()), &weights);
            let ready = (mix(!round) % (weights.len() as u64 + 1)) as usize;
            bench.update(ready, Standing::Unhealthy);
            chooses((0..50).map(|_| bench.pick()), &weights[..ready]);
        }
    }

    /// A retry goes where the request has not been, as long as there is such a backend.
    pub fn retries(&self) {
        let mut bench = self.bench(&[1, 1, 1, 1]);
        for n in 0..PICKS {
            let tried: Vec<Position> = (0..4).filter(|at| (n % 15) >> at & 1 == 1).collect();
            let decision = bench.retry(&tried);
            let elsewhere = match decision {
                Decision::Choose(at) => !tried.contains(&at),
                // Whoever chooses among these sees to that.
                other => other != Decision::Pass && fits(other, &[1; 4]),
            };
            assert!(elsewhere, "after {tried:?} it said {decision:?}");
        }
        // Nobody is left: what it says is the host's to mend, but it is of the list.
        assert!(fits(bench.retry(&[3, 1, 0, 2]), &[1; 4]));
    }

    /// Any figures, requests without keys: it says something of the list all the same.
    pub fn odd_figures(&self) {
        let weights = [3, 0, 1, 7, 1];
        let mut bench = self.bench(&weights);
        let odd = [0, 1, 7, 1_000_000, u32::MAX];
        let decisions = (0..PICKS).map(|n| {
            let pick = |nth: u64| odd[(mix(n << 8 | nth) % odd.len() as u64) as usize];
            let figures = |at: u64| Figures {
                // The sum of all is a number too.
                in_flight: pick(at) >> 3,
                latency_us: pick(10 + at),
                peak_latency_us: pick(20 + at),
                success_permille: pick(30 + at).min(1000),
                consecutive_failures: pick(40 + at),
                ..Figures::default()
            };
            host(|host| host.figures = (0..5).map(figures).collect());
            bench.pick_of(n.is_multiple_of(2).then_some(mix(n)))
        });
        chooses(decisions, &weights);
    }

    /// The same again, from the same beginning: the same decisions, one by one.
    pub fn repeats(&self) {
        let decisions = || -> Vec<Decision> {
            let mut bench = self.bench(&[5, 1, 0, 3, 1000, 7]);
            let busy = |n: u64| host(|host| host.figures[(n % 6) as usize].in_flight = (mix(n) % 9) as u32);
            (0..PICKS)
                .map(|n| (busy(n), if n.is_multiple_of(7) { bench.retry(&[0]) } else { bench.pick() }).1)
                .collect()
        };
        let first = decisions();
        assert!(first.iter().any(|decision| *decision != Decision::Pass), "it never chose");
        assert_eq!(first, decisions());
    }

    /// What moves of `keys` keys when the last one of so many equal backends falls ill. Not one of
    /// [`behaves!`](crate::behaves): each algorithm has a limit of its own.
    pub fn disruption(&self, backends: usize, keys: u64) -> Disruption {
        let mut bench = self.bench(&vec![1; backends]);
        let mut owners = || (0..keys).map(|key| bench.pick_of(Some(mix(key)))).collect::<Vec<_>>();
        let before = owners();
        bench.update(backends - 1, Standing::Unhealthy);
        let mut owners = || (0..keys).map(|key| bench.pick_of(Some(mix(key)))).collect::<Vec<_>>();
        let after = owners();
        let gone = Decision::Choose(backends as Position - 1);
        let share = |count: usize| count as f64 / keys as f64;
        Disruption {
            own: share(before.iter().filter(|owner| **owner == gone).count()),
            others: share(before.iter().zip(&after).filter(|(then, now)| **then != gone && then != now).count()),
        }
    }

    fn bench(&self, weights: &[u32]) -> Bench<B> {
        self.bench_of(weights, WORKERS)
    }

    fn bench_of(&self, weights: &[u32], workers: u32) -> Bench<B> {
        match Bench::placed(self.settings, self.zone, weights, workers, self.describe) {
            Ok(bench) => bench,
            Err(refusal) => panic!("the plugin refused {}: {refusal}", self.settings),
        }
    }
}

impl<B: Ticker> Behaviour<B> {
    /// As many backends as a pool may have, each with figures and reports of its own, some of which leave: it gets through its
    /// schedule, and chooses.
    pub fn ticks(&self) {
        let weights = mixed();
        let mut bench = self.bench_of(&weights, 1);
        for round in 0..6_u64 {
            host(|host| host.move_all(round));
            bench.tick();
            let ready = BACKENDS_MOST - 100 * round as usize;
            chooses((0..50).map(|_| bench.pick()), &weights);
            bench.update(ready, Standing::Unhealthy);
            chooses((0..50).map(|_| bench.pick()), &weights[..ready]);
            bench.tick();
            chooses((0..50).map(|_| bench.pick()), &weights[..ready]);
            bench.update(BACKENDS_MOST, Standing::Ready);
        }
    }
}

/// Of as many backends as there may be, and all weights.
fn mixed() -> Vec<u32> {
    (0..BACKENDS_MOST as u64).map(|at| (mix(at) % 1001) as u32).collect()
}

/// Each of the list, and somebody who takes new work, or some of whom one does, or no opinion; and it has one now and then,
/// where there is such a backend.
fn chooses(decisions: impl Iterator<Item = Decision>, weights: &[u32]) {
    let mut chosen = weights.iter().all(|&weight| weight == 0);
    for decision in decisions {
        assert!(fits(decision, weights), "{decision:?} among backends with weights {weights:?}");
        chosen |= decision != Decision::Pass;
    }
    assert!(chosen, "it never chose among backends with weights {weights:?}");
}

fn fits(decision: Decision, weights: &[u32]) -> bool {
    let takes = |at: Position| weights.get(at as usize).is_some_and(|weight| *weight > 0);
    match decision {
        Decision::Choose(at) => takes(at),
        Decision::Narrow(subset) => host(|host| {
            let members = host.subsets.get(subset as usize);
            members.is_some_and(|members| members.iter().all(|(at, weight)| *weight == 0 || takes(*at)))
                && members.is_some_and(|members| members.iter().any(|(_, weight)| *weight > 0))
        }),
        Decision::Pass => true,
        Decision::Reject(_) => false,
    }
}

/// Tests of what every balancer must hold, one for each: `behaves!(MyType)`, or `behaves!(MyType, r#"{"k": 1}"#)` where it
/// needs settings, or `behaves!(MyType, "{}", "my-zone", |at, backend| …)` where it looks at zones, priorities or metadata;
/// `behaves!(MyType: ticker)` where it has that half too. Write it once, in the module of the unit tests.
#[macro_export]
macro_rules! behaves {
    ($balancer:ident: ticker $(, $settings:expr)?) => {
        $crate::behaves!($balancer $(, $settings)?);

        #[test]
        fn ticks() {
            let settings = ["{}" $(, $settings)?];
            $crate::testing::Behaviour::<$balancer>::of(settings[settings.len() - 1]).ticks();
        }
    };
    ($balancer:ty) => {
        $crate::behaves!($balancer, "{}");
    };
    ($balancer:ty, $settings:expr) => {
        $crate::behaves!($balancer, $settings, "", |_, _| {});
    };
    ($balancer:ty, $settings:expr, $zone:expr, $describe:expr) => {
        $crate::behaves!(@each $balancer, $settings, $zone, $describe =>
            nobody one_backend weights many_backends joining_and_leaving retries odd_figures repeats);
    };
    (@each $balancer:ty, $settings:expr, $zone:expr, $describe:expr => $($check:ident)+) => {
        mod behaves {
            use super::*;

            $(
                #[test]
                fn $check() {
                    $crate::testing::Behaviour::<$balancer>::among($settings, $zone, $describe).$check();
                }
            )+
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// As wrong as can be told: it forgets weights, and where a request has been.
    struct Careless;

    impl Balancer for Careless {
        type Settings = NoSettings;

        fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
            Ok(Careless)
        }

        fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
            Decision::Choose(turn.below(0, pool.len()))
        }
    }

    /// It has no opinion as soon as it could have two.
    struct Silent;

    impl Balancer for Silent {
        type Settings = NoSettings;

        fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
            Ok(Silent)
        }

        fn pick(&mut self, _: &Turn, pool: &Pool) -> Decision {
            let only = pool.ready().len() == 1 && pool.ready()[0].weight > 0;
            if only { Decision::Choose(0) } else { Decision::Pass }
        }
    }

    #[test]
    fn no_opinion_is_not_enough() {
        let checks = crate::testing::Behaviour::<Silent>::of("{}");
        let fails = |check: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err();
        assert!(fails(&|| checks.weights()) && fails(&|| checks.many_backends()) && fails(&|| checks.retries()));
        assert!(fails(&|| checks.joining_and_leaving()) && fails(&|| checks.odd_figures()));
        assert!(fails(&|| checks.repeats()) && !fails(&|| checks.one_backend()) && !fails(&|| checks.nobody()));
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let checks = crate::testing::Behaviour::<Careless>::of("{}");
        let fails = |check: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err();
        assert!(fails(&|| checks.nobody()) && fails(&|| checks.weights()) && fails(&|| checks.retries()));
        assert!(fails(&|| checks.joining_and_leaving()) && !fails(&|| checks.one_backend()));
    }
}
