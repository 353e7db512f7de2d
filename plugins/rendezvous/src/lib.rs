//! Rendezvous hashing: each backend has a score for each key, and the highest serves. When a backend leaves, its keys
//! spread over all others, and no other key moves. Looks at every backend for each request.

use pointsman_sdk::{
    hashing::{Key, Rendezvous as Scores},
    prelude::*,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
}

struct Rendezvous {
    key: Key,
    scores: Scores,
}

impl Balancer for Rendezvous {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        Ok(Rendezvous { key: settings.hash, scores: Scores::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.scores = Scores::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        // A retry goes to the key's second best, then to its third: where it would go if those tried had left.
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let key = self.key.of(turn);
        let best = self.scores.best(key, |at| !tried.contains(&at)).or_else(|| self.scores.best(key, |_| true));
        notes::explain(turn, || {
            let whose = best.map_or("nobody", |at| pool.name(at));
            format!("{}: the highest score is that of {whose}", self.key.told(turn))
        });
        best.map_or(Decision::Pass, Decision::Choose)
    }
}

balancer!(Rendezvous: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Behaviour, Bench, Request, assert_shares};

    behaves!(Rendezvous);

    #[test]
    fn keys_are_shared_by_weight() {
        let spread = Bench::<Rendezvous>::with("{}", &[2, 1, 1, 0], 2).unwrap().spread(40_000);
        let expected = [20_000, 10_000, 10_000, 0];
        assert!(spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) < 600), "{spread:?}");
    }

    #[test]
    fn a_retry_goes_where_the_key_would_go_without_those_tried() {
        let mut bench = Bench::<Rendezvous>::with(r#"{"hash": "path"}"#, &[1; 4], 2).unwrap();
        testing::host(|host| host.request = Request::get("/a"));
        let Decision::Choose(first) = bench.pick() else { panic!("somebody serves") };
        let Decision::Choose(second) = bench.retry(&[first]) else { panic!("somebody serves") };
        assert_ne!(first, second);
        assert!((0..10).all(|_| bench.retry(&[first]) == Decision::Choose(second)));
        assert_eq!(bench.retry(&[0, 1, 2, 3]), Decision::Choose(first), "all were tried");
    }

    #[test]
    fn nobody_serves_with_weight_0_alone() {
        assert_eq!(Bench::<Rendezvous>::new(&[0]).pick(), Decision::Pass);
    }

    #[test]
    fn shares_are_those_of_fair_draws() {
        for weights in [vec![1; 10], vec![1000, 1, 0, 500], (0..50).collect()] {
            assert_shares(&Bench::<Rendezvous>::with("{}", &weights, 3).unwrap().spread(50_000), &weights);
        }
    }

    #[test]
    fn who_leaves_moves_its_own_keys_and_no_other() {
        let moved = Behaviour::<Rendezvous>::of("{}").disruption(10, 50_000);
        assert!(moved.others == 0.0 && (moved.own - 0.1).abs() < 0.006, "the least there can be: {moved:?}");
    }
}
