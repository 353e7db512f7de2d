//! Round robin that has all backends asked how busy they are, in the call that its settings name, and logs what they say, and
//! once that nobody will say anything. It panics when it is to pick for `/trap`.

use pointsman_sdk::prelude::*;
use serde::Deserialize;
use std::hint::black_box;

/// Of what takes time: a tenth of a second.
const STEPS: u64 = 50_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    at: At,
    /// The batch of this instance that panics; 0 for none.
    panics_at: u64,
    /// It asks for a position that no backend has.
    strays: bool,
    /// It takes its time to begin.
    slow: bool,
    /// When it has asked all once, it asks the first one alone.
    settles: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { at: At::Pick, panics_at: 0, strays: false, slow: false, settles: false }
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum At {
    Update,
    Pick,
    Tick,
    Observe,
    Probed,
}

struct Asks {
    settings: Settings,
    instance: u32,
    picks: u32,
    has_asked: bool,
    batches: u64,
    was_refused: bool,
}

impl Asks {
    fn asks(&mut self, at: At, pool: &Pool) {
        if at != self.settings.at {
            return;
        }
        let mut all = pool.ready().len() + pool.others().len() + usize::from(self.settings.strays);
        if std::mem::replace(&mut self.has_asked, true) && self.settings.settles {
            all = 1;
        }
        let asked = (0..all as Position).filter(|&at| probes::ask(at)).count();
        if asked == 0 && !std::mem::replace(&mut self.was_refused, true) {
            log::info("refused");
        }
    }
}

impl Balancer for Asks {
    type Settings = Settings;

    fn new(settings: Settings, place: &Place) -> Result<Self, String> {
        if settings.slow {
            (0..STEPS).fold(1, |sum, step| black_box(sum ^ step));
        }
        Ok(Asks { settings, instance: place.instance, picks: 0, has_asked: false, batches: 0, was_refused: false })
    }

    fn update(&mut self, pool: &Pool) {
        self.asks(At::Update, pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        assert!(request::path() != b"/trap", "asked to panic in pick");
        self.asks(At::Pick, pool);
        if self.settings.at == At::Probed {
            // So that there is something to be told of.
            probes::ask(0);
        }
        self.picks += 1;
        turn.untried(self.picks % pool.len(), pool)
    }
}

impl Ticker for Asks {
    fn period_ms(&self) -> u32 {
        20
    }

    fn tick(&mut self, _: u64, pool: &Pool) {
        self.asks(At::Tick, pool);
    }
}

impl Feedback for Asks {
    fn observe(&mut self, _: u64, _: &Outcomes, pool: &Pool) {
        self.asks(At::Observe, pool);
    }
}

impl Prober for Asks {
    fn probed(&mut self, _: u64, answers: &ProbeAnswers, pool: &Pool) {
        self.batches += 1;
        if self.batches == 1 {
            log::info(&format!("told on {}", self.instance));
        }
        assert!(self.batches != self.settings.panics_at, "asked to panic in probed");
        for answer in answers.iter() {
            let at = answer.at.map_or("gone", |at| pool.name(at));
            log::info(&format!("{at} {:?} {:?}", answer.in_flight, answer.latency_us));
        }
        self.asks(At::Probed, pool);
    }
}

balancer!(Asks: ticker, feedback, prober);
