//! Learns how long each backend takes to answer and sends it work accordingly. What it has learnt goes over to the instance
//! that takes its place, so another file of the plugin changes nothing for the clients.

use pointsman_sdk::prelude::*;
use std::collections::HashMap;

/// How much one answer moves what is known of its backend.
const NEWS: f64 = 1.0 / 8.0;

#[derive(Default)]
struct Learns {
    /// Microseconds to the first byte, by the id of the backend: positions change.
    known: HashMap<u64, f64>,
    /// Of the work, by position; all together are `total`.
    shares: Vec<f64>,
    total: f64,
}

impl Balancer for Learns {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Learns::default())
    }

    fn update(&mut self, pool: &Pool) {
        self.weigh(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let mut point = turn.draw(0) as f64 / u64::MAX as f64 * self.total;
        let at = self.shares.iter().position(|share| {
            point -= share;
            point < 0.0
        });
        turn.untried(at.map_or(pool.len() - 1, |at| at as Position), pool)
    }
}

impl Feedback for Learns {
    fn observe(&mut self, _now_us: u64, outcomes: &Outcomes, pool: &Pool) {
        for outcome in outcomes.iter().filter(|outcome| outcome.status != 0) {
            let Some(backend) = outcome.at.and_then(|at| pool.get(at)) else { continue };
            let took = f64::from(outcome.ttfb_us.max(1));
            let known = self.known.entry(backend.id).or_insert(took);
            *known += (took - *known) * NEWS;
        }
        self.weigh(pool);
    }
}

impl HandOver for Learns {
    const SCHEMA: u32 = 1;

    fn save(&mut self, _pool: &Pool) -> Vec<u8> {
        self.known.iter().flat_map(|(id, us)| [id.to_le_bytes(), us.to_le_bytes()]).flatten().collect()
    }

    fn restore(&mut self, schema: u32, parts: &[Vec<u8>], pool: &Pool) -> Result<(), String> {
        if schema != Self::SCHEMA {
            return Err(format!("it is of schema {schema}, and this one reads {}", Self::SCHEMA));
        }
        for row in parts.iter().flat_map(|part| part.as_chunks::<8>().0.as_chunks::<2>().0) {
            self.known.insert(u64::from_le_bytes(row[0]), f64::from_le_bytes(row[1]));
        }
        self.weigh(pool);
        Ok(())
    }
}

impl Learns {
    /// Twice as quick, twice the work. Who is not known yet gets as much as the quickest.
    fn weigh(&mut self, pool: &Pool) {
        let share = |backend: &Backend| self.known.get(&backend.id).map(|us| 1.0 / us);
        let most = pool.ready().iter().filter_map(share).fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        self.shares = pool.ready().iter().map(|backend| share(backend).unwrap_or(most)).collect();
        self.total = self.shares.iter().sum();
    }
}

balancer!(Learns: feedback, handover);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::Bench;

    #[test]
    fn what_is_slow_gets_less_and_a_successor_knows_it() {
        let mut bench = Bench::<Learns>::new(&[1, 1]);
        let even = bench.spread(1000);
        assert!(even[0].abs_diff(even[1]) < 150, "{even:?}");
        bench.observe(&[Outcome::answered(0, 0, 1_000), Outcome::answered(1, 0, 9_000)]);
        let learnt = bench.spread(1000);
        bench.hand_over().unwrap();
        let handed_over = bench.spread(1000);
        for spread in [learnt, handed_over] {
            assert!((50..150).contains(&spread[1]), "{spread:?}");
        }
    }
}
