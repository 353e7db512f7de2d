//! Knows what it does only by what all its instances share: each backend's cell counts its requests, and the one with the
//! fewest is next. `x-user: NAME` goes where that user was before. `x-bound: N` lets no backend have more than N requests
//! under way, and reserves a place at the last backend that it does not use.

use pointsman_sdk::{host::request::Part, prelude::*};

const REQUESTS: u32 = 7;

struct Shares;

impl Balancer for Shares {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Shares)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if let Some(bound) = request::header("x-bound") {
            let bound = String::from_utf8_lossy(&bound).parse().unwrap_or(0);
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
