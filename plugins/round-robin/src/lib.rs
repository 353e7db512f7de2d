//! Round robin: each backend in its turn, as often as its weight says.
//!
//! All workers take tickets from one shared counter, and a ticket's number alone says whose turn it is. So the sequence
//! is one for the whole process, and exact, however requests fall on the workers. A backend in slow start lets some of its
//! turns go by.

use pointsman_sdk::{SlowStart, host::shared::Counter, prelude::*};

/// How much work an `update` may put into the sequence: its length times the number of backends. About 3 ms.
const PERIOD_WORK_MAX: u64 = 1 << 20;
/// How many turns one request may see go by; then it takes the next one.
const SKIPPED_MAX: u64 = 16;

struct RoundRobin {
    tickets: Counter,
    sequence: Sequence,
    slow: SlowStart,
}

impl Balancer for RoundRobin {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        let (tickets, sequence) = (Counter::named("tickets"), Sequence::Nobody);
        Ok(RoundRobin { tickets, sequence, slow: SlowStart::default() })
    }

    fn update(&mut self, pool: &Pool) {
        let weights: Vec<u32> = pool.ready().iter().map(|backend| backend.weight).collect();
        self.sequence = Sequence::of(&weights);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let mut next = self.sequence.at(self.tickets.add(1));
        for skipped in 0..SKIPPED_MAX {
            if next.is_none_or(|at| self.slow.admits(at, turn.draw(skipped))) {
                break;
            }
            next = self.sequence.at(self.tickets.add(1));
        }
        next.map_or(Decision::Pass, |at| turn.untried(at, pool))
    }
}

balancer!(RoundRobin);

/// Whose turn the nth ticket is.
enum Sequence {
    /// Nobody takes new work.
    Nobody,
    /// All alike, in the order of the list.
    Even(u64),
    /// By weight, as smooth as can be, over and over.
    Smooth(Vec<Position>),
    /// By weight, where the smooth sequence would be too long to keep: the end of each position's stretch on the line of
    /// all weights.
    Scattered(Vec<u64>),
}

impl Sequence {
    fn of(weights: &[u32]) -> Sequence {
        let divisor = weights.iter().fold(0, |divisor, &weight| common_divisor(divisor, weight));
        if divisor == 0 {
            return Sequence::Nobody;
        }
        if weights.iter().all(|&weight| weight == divisor) {
            return Sequence::Even(weights.len() as u64);
        }
        let weights: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / divisor)).collect();
        let total: u64 = weights.iter().sum();
        if total.saturating_mul(weights.len() as u64) <= PERIOD_WORK_MAX {
            Sequence::Smooth(smooth(&weights, total))
        } else {
            Sequence::Scattered(running_sums(&weights))
        }
    }

    fn at(&self, ticket: u64) -> Option<Position> {
        match self {
            Sequence::Nobody => None,
            Sequence::Even(backends) => Some((ticket % backends) as Position),
            Sequence::Smooth(period) => Some(period[(ticket % period.len() as u64) as usize]),
            Sequence::Scattered(ends) => Some(scattered(ends, ticket)),
        }
    }
}

/// nginx's smooth weighted round robin: everybody gains its weight in each step, whoever has most is chosen and pays the
/// total. A heavy backend's turns are spread over the whole period, and after `total` steps everybody is back at zero.
fn smooth(weights: &[u64], total: u64) -> Vec<Position> {
    let total = total as i64;
    let mut current = vec![0_i64; weights.len()];
    let mut step = || {
        let mut most = 0;
        for (at, &weight) in weights.iter().enumerate() {
            current[at] += weight as i64;
            if current[at] > current[most] {
                most = at;
            }
        }
        current[most] -= total;
        most as Position
    };
    (0..total).map(|_| step()).collect()
}

/// Steps of the golden ratio along the line of all weights: of all steps the one that keeps any run of tickets most
/// evenly spread. Each backend's share is right within a few requests after any number of tickets.
fn scattered(ends: &[u64], ticket: u64) -> Position {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let total = ends.last().copied().unwrap_or(0);
    let point = (u128::from(ticket.wrapping_mul(GOLDEN)) * u128::from(total)) >> 64;
    ends.partition_point(|&end| u128::from(end) <= point) as Position
}

fn running_sums(weights: &[u64]) -> Vec<u64> {
    let mut sum = 0;
    weights
        .iter()
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench};

    fn spread(weights: &[u32], workers: u32, picks: u32) -> Vec<u32> {
        Bench::<RoundRobin>::with("{}", weights, workers).unwrap().spread(picks)
    }

    #[test]
    fn deals_as_nginx_does() {
        assert_eq!(smooth(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(smooth(&[1, 2, 3], 6), [2, 1, 0, 2, 1, 2]);
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
}
