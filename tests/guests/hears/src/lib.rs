//! Round robin that listens to what becomes of its choices, and panics when it is told of one that it did not make, or
//! twice of the same.

use pointsman_sdk::prelude::*;
use serde::Deserialize;
use std::collections::HashSet;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// A line in the log for each outcome.
    tells: bool,
    /// Each choice ranks the two backends after it; then all attempts of a request have one token.
    ranks: bool,
    /// The batch of this instance that panics; 0 for none.
    panics_at: u64,
    /// Every pick panics whose number is a multiple of it; 0 for none.
    picks_fail: u64,
}

struct Hears {
    settings: Settings,
    picks: u64,
    batches: u64,
    waited_for: HashSet<u64>,
}

impl Balancer for Hears {
    type Settings = Settings;

    fn new(settings: Settings, place: &Place) -> Result<Self, String> {
        Ok(Hears { settings, picks: place.seed & 0xffff_0000, batches: 0, waited_for: HashSet::new() })
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        self.picks += 1;
        let fails = self.settings.picks_fail;
        assert!(fails == 0 || !self.picks.is_multiple_of(fails), "asked to panic in pick");
        self.waited_for.insert(self.picks);
        notes::token(self.picks);
        let at = (self.picks % u64::from(pool.len())) as Position;
        if self.settings.ranks {
            (1..pool.len().min(3)).for_each(|step| notes::prefer_next((at + step) % pool.len()));
        }
        turn.untried(at, pool)
    }
}

impl Feedback for Hears {
    fn observe(&mut self, _: u64, outcomes: &Outcomes, pool: &Pool) {
        self.batches += 1;
        assert!(self.batches != self.settings.panics_at, "asked to panic in observe");
        for outcome in outcomes.iter() {
            let Outcome { status, failure, attempt, sent_bytes, received_bytes, .. } = outcome;
            if self.settings.tells {
                let at = outcome.at.and_then(|at| pool.get(at)).map_or("gone", |backend| &backend.name);
                log::info(&format!("{at} {status} {failure:?} {attempt} {sent_bytes} {received_bytes}"));
            }
            assert!(outcome.ttfb_us <= outcome.total_us, "{outcome:?}");
            if let (Some(token), false) = (outcome.token, self.settings.ranks) {
                assert!(self.waited_for.remove(&token), "{token} is told of once more, or was never given");
            }
        }
    }
}

balancer!(Hears: feedback);
