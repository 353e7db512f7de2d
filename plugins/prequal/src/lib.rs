//! Prequal: with each request some backends are asked how busy they are, and requests go by what was answered lately. Those
//! with far more under way than is usual are hot; of the others the quickest serves, and of the hot ones, if there are no
//! others, the one with the least under way. What is known of too few is decided as power of two choices does.

mod answers;
mod hand_over;
#[cfg(test)]
mod tests;

use answers::{Answer, Answers};
use pointsman_sdk::{SlowStart, Weighted, prelude::*};
use serde::Deserialize;

/// After so many requests it is counted anew how many answers come for one; and one of them goes by draws alone, for a backend that
/// nobody uses says for ever how long it took when somebody did.
const COUNTED: u32 = 64;
/// The part of a new count in what is believed.
const NEW_COUNT: f64 = 0.25;
/// By how many answers a request the known ones should grow; the paper's delta.
const GROWTH: f64 = 1.0;
/// No answer counts for more requests, however few come.
const USES_MOST: f64 = 1000.0;
/// The first draw of a turn that is for probes.
const DRAWS: u64 = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// How many backends are asked for each request.
    probes: f64,
    /// How many answers are let go for each request.
    removals: f64,
    /// How many answers are known at most.
    pool: usize,
    /// For how long an answer counts, in milliseconds.
    age_ms: u64,
    /// Which share of what backends say they have under way is not hot.
    cold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { probes: 3.0, removals: 1.0, pool: 16, age_ms: 1000, cold: 0.84 }
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("probes", self.probes, 0.01, 16.0),
            ("removals", self.removals, 0.0, 16.0),
            ("pool", self.pool as f64, 2.0, 256.0),
            ("age_ms", self.age_ms as f64, 10.0, 60_000.0),
            ("cold", self.cold, 0.0, 1.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} must be {least} to {most}, not {value}"));
            }
        }
        Ok(())
    }
}

struct Prequal {
    settings: Settings,
    answers: Answers,
    drawn: Weighted,
    slow: SlowStart,
    /// Parts of a probe, of a removal and of a use that are owed.
    asks: f64,
    removals: f64,
    uses: f64,
    /// Answers for one request, and what is counted of that.
    rate: f64,
    requests: u32,
    answered: u32,
}

impl Balancer for Prequal {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        settings.check()?;
        Ok(Prequal {
            answers: Answers::new(settings.pool, settings.age_ms * 1000, settings.cold),
            drawn: Weighted::default(),
            slow: SlowStart::default(),
            asks: 0.0,
            removals: 0.0,
            uses: 0.0,
            rate: settings.probes,
            requests: 0,
            answered: 0,
            settings,
        })
    }

    fn update(&mut self, pool: &Pool) {
        self.answers.update(pool);
        self.drawn = Weighted::over(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        self.ask(turn);
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        let ours = figures::all_in_flight();
        let known = if self.requests > 0 { self.answers.choose(turn.now_us, &tried, &ours) } else { None };
        let Some(chosen) = known else { return self.draw_two(turn, pool) };
        notes::explain(turn, || {
            let (at, latency_us, in_flight) = (chosen.at, chosen.latency_us, chosen.in_flight_now(&ours));
            let hot = self.answers.hot_above;
            format!("{} has {in_flight} under way, hot is more than {hot}, and takes {latency_us} us", pool.name(at))
        });
        self.removals += self.removals_for_one();
        while self.removals >= 1.0 {
            self.removals -= 1.0;
            self.answers.thin(&ours);
        }
        Decision::Choose(chosen.at)
    }
}

impl Prober for Prequal {
    fn probed(&mut self, now_us: u64, answers: &ProbeAnswers, pool: &Pool) {
        let uses = self.uses_of_one(pool.len());
        for answer in answers.iter() {
            let Some((at, backend)) = answer.at.and_then(|at| Some((at, pool.ready().get(at as usize)?))) else {
                continue;
            };
            let Some(in_flight) = answer.in_flight.filter(|_| backend.weight > 0) else {
                // Who says nothing now is not to be gone by for what it said before.
                self.answers.forget(backend.id);
                continue;
            };
            self.answered += 1;
            self.uses += uses;
            let latency_us = answer.latency_us.unwrap_or_else(|| figures::latency_us(at));
            let said_us = now_us.saturating_sub(answer.age_us.into());
            let (id, ours, uses) = (backend.id, figures::in_flight(at), self.uses as u32);
            self.answers.learn(Answer { id, at, in_flight, ours, latency_us, said_us, uses });
            self.uses = self.uses.fract();
        }
        self.answers.settle();
    }
}

impl Prequal {
    /// Has some asked, drawn by weight. Whoever is drawn twice is asked once.
    fn ask(&mut self, turn: &Turn) {
        self.requests += 1;
        if self.requests == COUNTED {
            let counted = f64::from(self.answered) / f64::from(COUNTED);
            self.rate += (counted - self.rate) * NEW_COUNT;
            (self.requests, self.answered) = (0, 0);
        }
        self.asks += self.settings.probes;
        for nth in 0..self.asks as u64 {
            if let Some(at) = self.drawn.draw_in(turn, DRAWS + nth, &mut self.slow) {
                probes::ask(at);
            }
        }
        self.asks = self.asks.fract();
    }

    /// As for power of two choices.
    fn draw_two(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let Some((one, other)) = self.drawn.draw_two(turn, &mut self.slow) else { return Decision::Pass };
        let busier = one != other && figures::in_flight(one) > figures::in_flight(other);
        notes::explain(turn, || format!("one of two draws; {} answers are known", self.answers.all().len()));
        turn.untried(if busier { other } else { one }, pool)
    }

    /// Fewer, where fewer answers come than were asked for.
    fn removals_for_one(&self) -> f64 {
        self.settings.removals * (self.rate / self.settings.probes).min(1.0)
    }

    /// For how many requests an answer counts, in a pool of so many: the paper's b_reuse.
    fn uses_of_one(&self, backends: u32) -> f64 {
        let room = self.settings.pool.min(backends as usize) as f64;
        let net = (1.0 - room / f64::from(backends.max(1))) * self.rate - self.removals_for_one();
        if net <= 0.0 { USES_MOST } else { ((1.0 + GROWTH) / net).clamp(1.0, USES_MOST) }
    }
}

balancer!(Prequal: prober, handover, about);
