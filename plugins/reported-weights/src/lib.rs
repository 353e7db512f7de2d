//! Client-side weighted round robin: a backend's weight is what it serves in a second for the load that it reports. Weights
//! are worked out on a schedule; a pick is one draw.

use pointsman_sdk::{SlowStart, Weighted, host::figures::Reported, prelude::*};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest weight, when all are scaled to be drawn from.
const SCALE: f64 = 1_000_000.0;

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
    drawn: Weighted,
    slow: SlowStart,
}

impl Balancer for ReportedWeights {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if settings.error_penalty < 0.0 || settings.error_penalty.is_nan() {
            return Err(format!("error_penalty must be 0 or more, not {}", settings.error_penalty));
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
            drawn: Weighted::default(),
            slow: SlowStart::default(),
        })
    }

    fn update(&mut self, pool: &Pool) {
        // Until the next tick a newcomer is worth what those are that nothing is known of.
        let now_us = self.reports_since_us.values().max().copied().unwrap_or(0);
        self.weigh(now_us, pool);
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
        self.weigh(now_us, pool);
    }
}

impl ReportedWeights {
    fn weigh(&mut self, now_us: u64, pool: &Pool) {
        let mut known: Vec<Option<f64>> = self.reported(pool);
        for (weight, backend) in known.iter_mut().zip(pool.ready()) {
            if weight.is_none() {
                self.reports_since_us.remove(&backend.id);
                continue;
            }
            let since = *self.reports_since_us.entry(backend.id).or_insert(now_us);
            if now_us.saturating_sub(since) < self.settings.blackout_ms.saturating_mul(1000) {
                *weight = None;
            }
        }
        let mut members: Vec<u64> = pool.ready().iter().map(|backend| backend.id).collect();
        members.sort_unstable();
        self.reports_since_us.retain(|id, _| members.binary_search(id).is_ok());

        let mut sorted: Vec<f64> = known.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&most), Some(&median)) = (sorted.last(), sorted.get(sorted.len() / 2)) else {
            self.drawn = Weighted::over(pool);
            return;
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Bench};

    behaves!(ReportedWeights);

    fn report(at: usize, name: &str, number: f64) {
        testing::host(|host| host.figures[at].reported.insert(name.to_owned(), number));
    }

    fn bench(settings: &str, weights: &[u32]) -> Bench<ReportedWeights> {
        Bench::with(settings, weights, 1).unwrap()
    }

    fn near(spread: &[u32], expected: &[u32]) {
        let is_near = spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) < 300);
        assert!(is_near, "{spread:?} is not {expected:?}");
    }

    #[test]
    fn who_is_less_busy_with_the_same_work_gets_more() {
        let mut bench = bench(r#"{"blackout_ms": 0}"#, &[1, 1, 1, 0]);
        for (at, load) in [(0, 0.25), (1, 0.5), (3, 0.01)] {
            report(at, "rps_fractional", 100.0);
            report(at, "application_utilization", load);
            report(at, "cpu_utilization", 0.9);
        }
        bench.tick();
        // 400, 200, the median of 200, 400 and 10000, and nothing for weight 0.
        near(&bench.spread(10_000), &[4_000, 2_000, 4_000, 0]);
    }

    #[test]
    fn failures_count_as_load_and_another_number_may_be_named() {
        let mut bench = bench(r#"{"blackout_ms": 0, "error_penalty": 2, "utilization": "utilization.gpu"}"#, &[1, 1]);
        for at in 0..2 {
            report(at, "rps_fractional", 10.0);
            report(at, "utilization.gpu", 0.5);
        }
        report(0, "eps", 5.0);
        bench.tick();
        // 10 / (0.5 + 0.5 × 2) and 10 / 0.5.
        near(&bench.spread(8_000), &[2_000, 6_000]);
    }

    #[test]
    fn who_has_just_begun_to_report_counts_as_unknown() {
        let mut bench = bench(r#"{"blackout_ms": 3000}"#, &[3, 1]);
        for (at, load) in [(0, 0.9), (1, 0.1)] {
            report(at, "rps_fractional", 9.0);
            report(at, "cpu_utilization", load);
        }
        bench.tick();
        near(&bench.spread(8_000), &[6_000, 2_000]);
        (0..3).for_each(|_| bench.tick());
        near(&bench.spread(8_000), &[800, 7_200]);
        testing::host(|host| host.figures[1].reported.clear());
        bench.tick();
        near(&bench.spread(8_000), &[4_000, 4_000]);
    }
}
