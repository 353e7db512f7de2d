//! What a balancer knows goes over to the one that takes its place.

use crate::{Balancer, Pool};

/// The optional half of a balancer that keeps what it knows when another instance takes its place: `balancer!(MyType:
/// handover)`. That is so when the plugin's file is replaced, its settings change, or a large pool changes much.
///
/// ```
/// use pointsman_sdk::prelude::*;
/// use std::collections::HashMap;
///
/// /// A client stays where it was sent first.
/// #[derive(Default)]
/// struct Faithful {
///     /// Ids of backends, by the request's key.
///     homes: HashMap<u64, u64>,
/// }
///
/// impl Balancer for Faithful {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Faithful::default())
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         let Some(key) = turn.key else { return turn.untried(turn.below(0, pool.len()), pool) };
///         let home = self.homes.get(&key).and_then(|home| pool.ready().iter().position(|backend| backend.id == *home));
///         let at = home.map_or_else(|| turn.below(0, pool.len()), |home| home as Position);
///         self.homes.insert(key, pool.ready()[at as usize].id);
///         turn.untried(at, pool)
///     }
/// }
///
/// impl HandOver for Faithful {
///     const SCHEMA: u32 = 1;
///
///     fn save(&mut self, _pool: &Pool) -> Vec<u8> {
///         self.homes.iter().flat_map(|(key, home)| [key.to_le_bytes(), home.to_le_bytes()]).flatten().collect()
///     }
///
///     fn restore(&mut self, schema: u32, parts: &[Vec<u8>], _pool: &Pool) -> Result<(), String> {
///         if schema != Self::SCHEMA {
///             return Err(format!("schema {schema} is not {}", Self::SCHEMA));
///         }
///         let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
///         for row in parts.iter().flat_map(|part| part.chunks_exact(16)) {
///             self.homes.insert(number(&row[..8]), number(&row[8..]));
///         }
///         Ok(())
///     }
/// }
///
/// balancer!(Faithful: handover);
///
/// // A unit test swaps it for itself.
/// # use pointsman_sdk::testing::Bench;
/// # let mut bench = Bench::<Faithful>::new(&[1, 1, 1]);
/// # bench.pick();
/// bench.hand_over().expect("it takes its own state");
/// ```
pub trait HandOver: Balancer {
    /// What the bytes mean; other bytes have another number.
    const SCHEMA: u32;

    /// All that a successor needs to go on, at most 4 MiB, by [`Backend::id`](crate::Backend::id) and not by position. It has
    /// the time of a pick; this instance goes on for some milliseconds.
    fn save(&mut self, pool: &Pool) -> Vec<u8>;

    /// Called before the first pick, if there is a predecessor. `parts`: what it saved. An error leaves this one as it is: it
    /// begins without, which is no fault, and its text goes to the plugin's log.
    ///
    /// # Errors
    /// Why it does not take the state, such as a schema that it does not know.
    fn restore(&mut self, schema: u32, parts: &[Vec<u8>], pool: &Pool) -> Result<(), String>;
}
