//! Client-side weighted round robin: a backend's weight is what it serves in a second for the load that it reports. Weights
//! are worked out on a schedule; a pick is one draw.

#[cfg(test)]
mod tests;

use pointsman_sdk::{SlowStart, Weighted, host::figures::Reported, prelude::*};
use serde::Deserialize;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The largest weight, when all are scaled to be drawn from.
const SCALE: f64 = 1_000_000.0;
/// Reports come with answers: to look at them more often tells nothing, and less often is too late.
const PERIODS_MS: RangeInclusive<u32> = 100..=60_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// The number that says how busy a backend is; empty: the usual two.
    utilization: String,
    /// How much a share of failing requests counts as load.
    error_penalty: f64,
    /// How often weights are worked out.
    period_ms: u32,
    /// For so long after its first report a backend counts as unknown.
    blackout_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { utilization: String::new(), error_penalty: 1.0, period_ms: 1000, blackout_ms: 10_000 }
    }
}

struct ReportedWeights {
    settings: Settings,
    /// The first that is reported counts.
    utilization: Vec<Reported>,
    served: Reported,
    failed: Reported,
    /// When the reports began that did not cease since, by id.
    reports_since_us: BTreeMap<u64, u64>,
    /// At the last tick.
    now_us: u64,
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for ReportedWeights {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.error_penalty < 0.0 || settings.error_penalty.is_nan() {
            return Err(format!("error_penalty must be 0 or more, not {}", settings.error_penalty));
        }
        if !PERIODS_MS.contains(&settings.period_ms) {
            let (least, most) = (PERIODS_MS.start(), PERIODS_MS.end());
            return Err(format!("period_ms must be {least} to {most}, not {}", settings.period_ms));
        }
        let utilization = match settings.utilization.as_str() {
            "" => ["application_utilization", "cpu_utilization"].map(Reported::named).into(),
            name => vec![Reported::named(name)],
        };
        Ok(ReportedWeights {
            settings,
            utilization,
            served: Reported::named("rps_fractional"),
            failed: Reported::named("eps"),
            reports_since_us: BTreeMap::new(),
            now_us: 0,
            drawn: Weighted::default(),
            slow: SlowStart::default(),
        })
    }

    fn update(&mut self, pool: &Pool) {
        self.weigh(pool);
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        match self.drawn.draw_in(turn, 0, &mut self.slow) {
            Some(at) => turn.untried(at, pool),
            None => Decision::Pass,
        }
    }
}

impl Ticker for ReportedWeights {
    fn period_ms(&self) -> u32 {
        self.settings.period_ms
    }

    fn tick(&mut self, now_us: u64, pool: &Pool) {
        self.now_us = now_us;
        let before = std::mem::take(&mut self.reports_since_us);
        let reported = self.reported(pool).into_iter().zip(pool.ready()).filter(|(weight, _)| weight.is_some());
        let since = |(_, backend): (_, &Backend)| (backend.id, before.get(&backend.id).copied().unwrap_or(now_us));
        self.reports_since_us = reported.map(since).collect();
        self.weigh(pool);
    }
}

impl ReportedWeights {
    /// Until the next tick a newcomer is worth what those are that nothing is known of.
    fn weigh(&mut self, pool: &Pool) {
        let blackout_us = self.settings.blackout_ms.saturating_mul(1000);
        let is_known = |backend: &Backend| {
            let since = self.reports_since_us.get(&backend.id);
            backend.weight > 0 && since.is_some_and(|since| self.now_us.saturating_sub(*since) >= blackout_us)
        };
        let reported = self.reported(pool).into_iter().zip(pool.ready());
        let known: Vec<Option<f64>> = reported.map(|(weight, backend)| weight.filter(|_| is_known(backend))).collect();

        let mut sorted: Vec<f64> = known.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let Some(&most) = sorted.last() else {
            self.drawn = Weighted::over(pool);
            return;
        };
        let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        let scaled = |weight: &Option<f64>| ((weight.unwrap_or(median) / most * SCALE) as u32).max(1);
        let weights = known.iter().zip(pool.ready());
        self.drawn =
            Weighted::new(weights.map(|(weight, backend)| if backend.weight > 0 { scaled(weight) } else { 0 }));
    }

    /// What each ready backend could serve, where it reports enough to know.
    fn reported(&self, pool: &Pool) -> Vec<Option<f64>> {
        let [served, failed] = [self.served.all(), self.failed.all()];
        let loads: Vec<Vec<f64>> = self.utilization.iter().map(Reported::all).collect();
        let weight = |at: usize| {
            let load = loads.iter().map(|load| load[at]).find(|&load| load > 0.0)?;
            let served = Some(served[at]).filter(|&served| served > 0.0)?;
            let failing = if failed[at] > 0.0 { failed[at] / served * self.settings.error_penalty } else { 0.0 };
            Some(served / (load + failing))
        };
        (0..pool.ready().len()).map(weight).collect()
    }
}

balancer!(ReportedWeights: ticker, about);
