//! What is known goes over to the instance that follows, on the clock that both have.

use super::{Answer, Prequal};
use pointsman_sdk::prelude::*;

/// An answer is five numbers.
const NUMBERS: usize = 5;

impl HandOver for Prequal {
    const SCHEMA: u32 = 1;

    fn save(&mut self, _: &Pool) -> Vec<u8> {
        let numbers = |answer: &Answer| {
            let Answer { id, in_flight, ours, latency_us, said_us, .. } = *answer;
            [id, in_flight.into(), ours.into(), latency_us.into(), said_us]
        };
        self.answers.all().iter().flat_map(numbers).flat_map(u64::to_le_bytes).collect()
    }

    fn restore(&mut self, schema: u32, parts: &[Vec<u8>], pool: &Pool) -> Result<(), String> {
        if schema != Self::SCHEMA {
            return Err(format!("schema {schema} is not {}", Self::SCHEMA));
        }
        let uses = self.uses_of_one(pool.len()) as u32;
        for row in parts.iter().flat_map(|part| part.chunks_exact(NUMBERS * 8)) {
            let mut numbers =
                row.chunks_exact(8).map(|bytes| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
            let mut next = || numbers.next().unwrap_or(0);
            let (id, in_flight, ours, latency_us, said_us) =
                (next(), next() as u32, next() as u32, next() as u32, next());
            self.answers.learn(Answer { id, at: 0, in_flight, ours, latency_us, said_us, uses });
        }
        self.answers.update(pool);
        self.answers.settle();
        Ok(())
    }
}
