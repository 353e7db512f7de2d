//! Round robin: each backend in its turn, as often as its weight says.
//!
//! All workers take tickets from one shared counter, and a ticket's number alone says whose turn it is. So the sequence
//! is one for the whole process, and exact, however requests fall on the workers. A backend in slow start lets some of its
//! turns go by.

#[cfg(test)]
mod tests;

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
        let Some(next) = next else { return Decision::Pass };
        notes::explain(turn, || format!("it is the turn of {}", pool.name(next)));
        turn.untried(next, pool)
    }
}

balancer!(RoundRobin: about);

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
