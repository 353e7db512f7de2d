//! What failures cost: a failure is quick, and who fails all the time would be the quickest of all.

use crate::{Outcomes, Pool, Position, host::figures};
use std::collections::BTreeMap;

/// The share of one more answer in the average of refusals: that of the host's figure of success.
const NEW_SAMPLE: f64 = 1.0 / 16.0;
/// What is left of a penalty halves after so long without another failure: who is never asked could not show that it is
/// well again.
const FADES_US: u64 = 5_000_000;
/// The client is to come back later: the backend has too much to do, though it does not fail.
const TOO_MANY_REQUESTS: u16 = 429;

/// What the failures among a backend's answers count as, beside its latency: a penalty, times their share. A failure is what
/// the host counts as one; with [`hear`](Self::hear) it is a 429 too. [`look`](Self::look) on a schedule, and ask in `pick`.
///
/// ```
/// use pointsman_sdk::{Failing, prelude::*, testing::{self, Bench}};
///
/// /// The quicker of two, and who fails counts as a second slower.
/// struct Quicker(Failing);
///
/// impl Balancer for Quicker {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Quicker(Failing::new(1_000_000)))
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         let cost = |at: Position| u64::from(figures::latency_us(at)) + self.0.penalty_us(at);
///         let (one, other) = (turn.below(0, pool.len()), turn.below(1, pool.len()));
///         turn.untried(if cost(one) <= cost(other) { one } else { other }, pool)
///     }
/// }
///
/// impl Ticker for Quicker {
///     fn period_ms(&self) -> u32 {
///         100
///     }
///
///     fn tick(&mut self, now_us: u64, pool: &Pool) {
///         self.0.look(now_us, pool);
///     }
/// }
///
/// # let mut bench = Bench::<Quicker>::new(&[1, 1]);
/// testing::host(|host| {
///     (host.figures[0].latency_us, host.figures[1].latency_us) = (100, 9_000);
///     host.figures[0].success_permille = 0;
/// });
/// # bench.tick();
/// let spread = bench.spread(1_000);
/// assert!(spread[1] > spread[0]);
/// ```
#[derive(Clone, Debug)]
pub struct Failing {
    penalty_us: u64,
    now_us: u64,
    /// By position; empty while nobody fails.
    penalties_us: Vec<u64>,
    /// Those that fail, by id.
    known: BTreeMap<u64, Known>,
    /// The share of 429 among the answers that were heard of, by id.
    refusing: BTreeMap<u64, f64>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// In a row.
    failures: u32,
    /// As it was heard of.
    refusing: f64,
    /// When there was another failure.
    last_us: u64,
}

impl Failing {
    /// Nobody fails yet; an answer that is a failure is to count as so many microseconds.
    pub fn new(penalty_us: u64) -> Failing {
        let (known, refusing) = (BTreeMap::new(), BTreeMap::new());
        Failing { penalty_us, now_us: 0, penalties_us: Vec::new(), known, refusing }
    }

    /// For [`Feedback::observe`](crate::Feedback::observe): counts answers with status 429 as failures of their backends.
    pub fn hear(&mut self, outcomes: &Outcomes, pool: &Pool) {
        for outcome in outcomes.iter().filter(|outcome| outcome.status > 0) {
            let Some(backend) = outcome.at.and_then(|at| pool.get(at)) else { continue };
            let refused = outcome.status == TOO_MANY_REQUESTS;
            // In good times nothing is kept.
            if refused || self.refusing.contains_key(&backend.id) {
                let share = self.refusing.entry(backend.id).or_default();
                *share += (f64::from(u8::from(refused)) - *share) * NEW_SAMPLE;
            }
        }
    }

    /// Looks who fails. `now_us` is on the clock of [`Turn::now_us`](crate::Turn::now_us).
    pub fn look(&mut self, now_us: u64, pool: &Pool) {
        self.now_us = now_us;
        self.update(pool);
    }

    /// For [`Balancer::update`](crate::Balancer::update): positions have changed.
    pub fn update(&mut self, pool: &Pool) {
        // Below a thousandth it is nothing.
        self.refusing.retain(|_, share| *share >= 0.001);
        let succeeding = figures::all_success_permille();
        self.penalties_us.clear();
        if self.refusing.is_empty() && succeeding.iter().all(|&permille| permille >= 1000) {
            return self.known.clear();
        }
        let before = std::mem::take(&mut self.known);
        for (at, (backend, &succeeding)) in (0..).zip(pool.ready().iter().zip(&succeeding)) {
            let refusing = self.refusing.get(&backend.id).copied().unwrap_or(0.0);
            let share = (1.0 - f64::from(succeeding.min(1000)) / 1000.0).max(refusing);
            if share == 0.0 {
                self.penalties_us.push(0);
                continue;
            }
            let failures = figures::consecutive_failures(at);
            let same = |known: &&Known| (failures == 0 || failures == known.failures) && refusing <= known.refusing;
            let last_us = before.get(&backend.id).filter(same).map_or(self.now_us, |known| known.last_us);
            self.known.insert(backend.id, Known { failures, refusing, last_us });
            let halvings = (self.now_us.saturating_sub(last_us) / FADES_US).min(63);
            self.penalties_us.push((share * self.penalty_us as f64) as u64 >> halvings);
        }
    }

    /// What the failures of the backend at a position count as, in microseconds.
    pub fn penalty_us(&self, at: Position) -> u64 {
        self.penalties_us.get(at as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        prelude::*,
        testing::{Bench, host},
    };

    struct Refuses(Failing);

    impl Balancer for Refuses {
        type Settings = NoSettings;

        fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
            Ok(Refuses(Failing::new(1_000_000)))
        }

        fn update(&mut self, pool: &Pool) {
            self.0.update(pool);
        }

        /// Says the first one's penalty as a status.
        fn pick(&mut self, _: &Turn, _: &Pool) -> Decision {
            Decision::Reject((self.0.penalty_us(0) / 1000) as u16)
        }
    }

    impl Ticker for Refuses {
        fn period_ms(&self) -> u32 {
            1000
        }

        fn tick(&mut self, now_us: u64, pool: &Pool) {
            self.0.look(now_us, pool);
        }
    }

    impl Feedback for Refuses {
        fn observe(&mut self, _: u64, outcomes: &Outcomes, pool: &Pool) {
            self.0.hear(outcomes, pool);
        }
    }

    fn penalty_ms(bench: &mut Bench<Refuses>) -> u16 {
        bench.tick();
        let Decision::Reject(penalty_ms) = bench.pick() else { panic!("it says a penalty") };
        penalty_ms
    }

    #[test]
    fn a_share_of_failures_is_a_share_of_the_penalty_and_fades() {
        let mut bench = Bench::<Refuses>::new(&[1, 1]);
        assert_eq!(penalty_ms(&mut bench), 0);
        host(|host| (host.figures[0].success_permille, host.figures[0].consecutive_failures) = (600, 3));
        assert_eq!(penalty_ms(&mut bench), 400);
        let later: Vec<u16> = (0..11).map(|_| penalty_ms(&mut bench)).collect();
        assert_eq!(later, [400, 400, 400, 400, 200, 200, 200, 200, 200, 100, 100]);
        host(|host| host.figures[0].consecutive_failures = 4);
        assert_eq!(penalty_ms(&mut bench), 400, "it failed again");
        host(|host| host.figures[0].success_permille = 1000);
        assert_eq!(penalty_ms(&mut bench), 0);
    }

    #[test]
    fn who_tells_clients_to_come_back_later_fails() {
        let mut bench = Bench::<Refuses>::new(&[1, 1]);
        let answer = |status| Outcome { status, ..Outcome::answered(0, 0, 100) };
        bench.observe(&[answer(200); 50]);
        assert_eq!(penalty_ms(&mut bench), 0);
        bench.observe(&[answer(429); 100]);
        assert_eq!(penalty_ms(&mut bench), 998);
        (0..4).for_each(|_| _ = penalty_ms(&mut bench));
        assert_eq!(penalty_ms(&mut bench), 499, "nothing was heard for five seconds");
        bench.observe(&[answer(429)]);
        assert_eq!(penalty_ms(&mut bench), 998, "and now something was");
        bench.observe(&[answer(200); 150]);
        assert_eq!(penalty_ms(&mut bench), 0, "it serves again");
    }
}
