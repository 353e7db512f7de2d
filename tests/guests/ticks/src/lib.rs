//! Counts its ticks, for all instances together, and sends requests to the backend whose turn the count is.

use pointsman_sdk::{host::shared::Counter, prelude::*};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    period_ms: u32,
    /// The tick of this instance that panics; 0 for none.
    panics_at: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { period_ms: 10, panics_at: 0 }
    }
}

struct Ticks {
    settings: Settings,
    all: Counter,
    own: u64,
}

impl Balancer for Ticks {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        Ok(Ticks { settings, all: Counter::named("ticks"), own: 0 })
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        turn.untried((self.all.load() % u64::from(pool.len())) as Position, pool)
    }
}

impl Ticker for Ticks {
    fn period_ms(&self) -> u32 {
        self.settings.period_ms
    }

    fn tick(&mut self, _: u64, _: &Pool) {
        self.own += 1;
        self.all.add(1);
        assert!(self.own != self.settings.panics_at, "asked to panic in tick");
    }
}

balancer!(Ticks: ticker);
