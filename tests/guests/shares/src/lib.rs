//! Knows what it does only by what all its instances share: each backend's cell counts its requests, and the one with the
//! fewest is next. `x-user: NAME` goes where that user was before. `x-bound: N` lets no backend have more than N requests
//! under way, and reserves a place at the last backend that it does not use. `x-burst: N` lets N requests through at once, and then one a second. All
//! picks of all pools are counted in the store of the plugin, and shown as its metrics.

use pointsman_sdk::{
    host::{
        kv::{self, Scope},
        metrics::Metric,
        rate_limit,
        request::Part,
    },
    prelude::*,
};

const REQUESTS: u32 = 7;

struct Shares {
    asked: Metric,
    picks: Metric,
    sizes: Metric,
}

impl Balancer for Shares {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Shares {
            asked: Metric::gauge("asked", "How often any of its pools was asked"),
            picks: Metric::counter("picks", "How often this pool was asked"),
            sizes: Metric::histogram("attempt", "Attempts by their number"),
        })
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let asked = kv::increment(Scope::Plugin, "asked", 1, 0).unwrap_or(-1);
        self.asked.put(asked as f64);
        self.picks.put(1.0);
        self.sizes.put(turn.attempt.into());
        if number("x-burst").is_some_and(|burst| !rate_limit::take(7, 1, burst)) {
            return Decision::Reject(429);
        }
        if let Some(bound) = number("x-bound") {
            figures::reserve(pool.len() - 1, u32::MAX);
            let first = (0..pool.len() - 1).find(|&at| figures::reserve(at, bound));
            return first.map_or(Decision::Reject(503), Decision::Choose);
        }
        let user = request::hash(Part::Header, "x-user", 0);
        let known = user.and_then(shared::recall).map(|at| at as Position);
        let requests = shared::all_cells(REQUESTS);
        let least = (0..pool.len()).min_by_key(|&at| requests[at as usize]).unwrap_or(0);
        let at = known.unwrap_or(least);
        if let Some(user) = user {
            shared::remember(user, at.into(), 60_000);
        }
        count(at);
        turn.untried(at, pool)
    }
}

balancer!(Shares);

fn number(header: &str) -> Option<u32> {
    String::from_utf8_lossy(&request::header(header)?).parse().ok()
}

fn count(at: Position) {
    let mut known = shared::cell(REQUESTS, at);
    loop {
        let was = shared::replace_cell(REQUESTS, at, known, known + 1);
        if was == known {
            return;
        }
        known = was;
    }
}
