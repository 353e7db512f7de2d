//! The only source of chance; seeded, so that a test or a simulation can be repeated. splitmix64 (Steele, Lea, Flood 2014):
//! one add and three mixes a number, good enough to balance load with, never for secrets.

/// A stream of random numbers, one per worker.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same stream.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// A stream that nobody can repeat.
    pub fn from_entropy() -> Rng {
        use std::hash::{BuildHasher, RandomState};
        Rng(RandomState::new().hash_one(std::process::id()))
    }

    /// 64 uniformly distributed bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Scatters the bits of a number; also makes independent seeds out of small numbers.
pub fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
