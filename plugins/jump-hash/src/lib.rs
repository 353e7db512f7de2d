//! Jump hash: for shards that are numbered and only grow at the end. No table, no memory, and when a shard is added behind
//! the others only the keys that move into it move.

use pointsman_sdk::{
    hashing::{Key, jump, mix},
    prelude::*,
};
use serde::Deserialize;

/// How often a key is drawn anew whose shard does not serve.
const DRAWS_MAX: u64 = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
}

struct JumpHash {
    key: Key,
    /// All backends of the pool in the order of their numbers; those that do not serve keep their places, or every key
    /// behind them would move.
    shards: Vec<Position>,
}

impl Balancer for JumpHash {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        Ok(JumpHash { key: settings.hash, shards: Vec::new() })
    }

    fn update(&mut self, pool: &Pool) {
        let mut shards: Vec<_> = pool.ready().iter().chain(pool.others()).zip(0..).collect();
        // Shorter names first: shard-2 comes before shard-10.
        shards
            .sort_unstable_by(|(one, _), (other, _)| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
        self.shards = shards.into_iter().map(|(_, position)| position).collect();
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let mut key = self.key.of(turn);
        for _ in 0..DRAWS_MAX {
            let shard = jump(key, self.shards.len() as u32);
            let Some(&position) = self.shards.get(shard as usize) else { break };
            if pool.ready().get(position as usize).is_some_and(|backend| backend.weight > 0) {
                notes::explain(turn, || {
                    let (told, shards) = (self.key.told(turn), self.shards.len());
                    format!("{told}: shard {shard} of {shards} is {}", pool.name(position))
                });
                return turn.untried(position, pool);
            }
            key = mix(key);
        }
        Decision::Pass
    }
}

balancer!(JumpHash: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Behaviour, Bench, Request, assert_shares};

    behaves!(JumpHash);

    fn serving(bench: &mut Bench<JumpHash>, user: u32) -> Decision {
        testing::host(|host| host.request = Request::get("/").with_header("x-user", &user.to_string()));
        bench.pick()
    }

    #[test]
    fn a_shard_at_the_end_takes_keys_and_moves_no_other() {
        let settings = r#"{"hash": "header:x-user"}"#;
        let mut few = Bench::<JumpHash>::with(settings, &[1; 11], 1).unwrap();
        let before: Vec<Decision> = (0..1_000).map(|user| serving(&mut few, user)).collect();
        let mut more = Bench::<JumpHash>::with(settings, &[1; 12], 1).unwrap();
        let moved: Vec<Decision> = (0..1_000)
            .map(|user| serving(&mut more, user))
            .zip(&before)
            .filter(|(now, then)| now != *then)
            .map(|(now, _)| now)
            .collect();
        assert!(moved.iter().all(|to| *to == Decision::Choose(11)) && moved.len().abs_diff(83) < 40, "{}", moved.len());
    }

    #[test]
    fn a_shard_that_is_ill_keeps_its_place() {
        let mut bench = Bench::<JumpHash>::with(r#"{"hash": "header:x-user"}"#, &[1; 5], 1).unwrap();
        let before: Vec<Decision> = (0..1_000).map(|user| serving(&mut bench, user)).collect();
        bench.update(4, Standing::Unhealthy);
        for (user, then) in (0..).zip(before) {
            let now = serving(&mut bench, user);
            assert!(now == then || then == Decision::Choose(4), "{user} moved from {then:?} to {now:?}");
        }
    }

    #[test]
    fn nobody_serves_with_weight_0_alone() {
        assert_eq!(Bench::<JumpHash>::new(&[0, 0]).pick(), Decision::Pass);
        assert_eq!(Bench::<JumpHash>::new(&[]).pick(), Decision::Pass);
    }

    #[test]
    fn shares_are_even_and_who_falls_ill_moves_its_own_keys() {
        assert_shares(&Bench::<JumpHash>::with("{}", &[1; 10], 3).unwrap().spread(100_000), &[1; 10]);
        let moved = Behaviour::<JumpHash>::of("{}").disruption(10, 50_000);
        assert!(moved.others == 0.0 && (moved.own - 0.1).abs() < 0.006, "the least there can be: {moved:?}");
    }
}
