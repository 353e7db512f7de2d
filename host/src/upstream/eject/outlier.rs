//! One that does much worse than the others: its success rate lies far below the pool's mean, or its answers take many
//! times the pool's median.

use crate::{config::model::Eject, upstream::Pool};
use std::time::Duration;
use tokio::time::Instant;

/// Success and latency are compared so often: Envoy's `interval`.
pub(super) const COMPARED_EVERY: Duration = Duration::from_secs(10);
/// So many requests a backend needs within the window to be compared: Envoy's `success_rate_request_volume`.
const REQUESTS_LEAST: u64 = 100;
/// So many backends have to be comparable: Envoy's `success_rate_minimum_hosts`.
const BACKENDS_LEAST: usize = 5;
/// So many standard deviations below the mean is too far: Envoy's `success_rate_stdev_factor`.
const DEVIATIONS: f64 = 1.9;
/// A rate that is no further below the mean than this is not far below it, however much alike the others are: a hundred
/// requests tell no finer.
const GAP_LEAST: f64 = 0.05;
/// A median wants so many backends.
const MEDIAN_LEAST: usize = 3;

/// A time over which all are compared.
#[derive(Debug)]
pub(super) struct Window {
    ends: Instant,
    /// By the backend's index.
    before: Vec<Before>,
}

/// What was counted of one backend up to the beginning of its window. It is kept with what else is known of it: a pool whose
/// members change all the time has windows too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    at: Instant,
    asked: u64,
    failures: u64,
}

impl Window {
    /// Begins now.
    pub(super) fn new(pool: &Pool, now: Instant) -> Window {
        Window::with(pool, now, |_| None)
    }

    /// Goes on where another watch of these backends left off, if it did so lately. Who is new begins now.
    pub(super) fn resume(pool: &Pool, now: Instant) -> Window {
        Window::with(pool, now, |before| before.filter(|before| now < before.at + 2 * COMPARED_EVERY))
    }

    fn with(pool: &Pool, now: Instant, goes_on: impl Fn(Option<Before>) -> Option<Before>) -> Window {
        let before = pool.backends.iter().map(|backend| {
            let (asked, failures) = (backend.figures.asked(), backend.figures.failures());
            backend.with_condition(|condition| {
                let before = goes_on(condition.record.before).unwrap_or(Before { at: now, asked, failures });
                condition.record.before = Some(before);
                before
            })
        });
        let before: Vec<Before> = before.collect();
        let began = before.iter().map(|before| before.at).min();
        Window { ends: began.unwrap_or(now) + COMPARED_EVERY, before }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends <= now
    }

    /// Who does too badly, and why.
    pub(super) fn outliers(&self, pool: &Pool, how: &Eject) -> Vec<(usize, String)> {
        let (mut rates, mut latencies) = (Vec::new(), Vec::new());
        for (backend, before) in pool.backends.iter().zip(&self.before) {
            let asked = backend.figures.asked().saturating_sub(before.asked);
            if asked >= REQUESTS_LEAST {
                let failed = backend.figures.failures().saturating_sub(before.failures) as f64 / asked as f64;
                rates.push((backend.index, 1.0 - failed.min(1.0)));
                latencies.push((backend.index, f64::from(backend.figures.latency_us())));
            }
        }
        let mut outliers = Vec::new();
        if how.success_rate {
            outliers.extend(unsuccessful(&rates));
        }
        if let Some(factor) = how.latency {
            outliers.extend(slow(&latencies, f64::from(factor)));
        }
        outliers
    }
}

/// Those with a rate below the mean less [`DEVIATIONS`] standard deviations: Envoy's "success rate" outlier detection.
fn unsuccessful(rates: &[(usize, f64)]) -> Vec<(usize, String)> {
    if rates.len() < BACKENDS_LEAST {
        return Vec::new();
    }
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let least = mean - f64::max(DEVIATIONS * variance.sqrt(), GAP_LEAST);
    let low = rates.iter().filter(|(_, rate)| *rate < least);
    let why = |rate: f64| format!("{:.1} % of its requests succeed, {:.1} % of the pool's", rate * 100.0, mean * 100.0);
    low.map(|(index, rate)| (*index, why(*rate))).collect()
}

/// Those that take more than so many times the median.
fn slow(latencies: &[(usize, f64)], factor: f64) -> Vec<(usize, String)> {
    if latencies.len() < MEDIAN_LEAST {
        return Vec::new();
    }
    let mut sorted: Vec<f64> = latencies.iter().map(|(_, latency)| *latency).collect();
    sorted.sort_by(f64::total_cmp);
    // The lower one of two: who is slow must not make itself the measure.
    let median = sorted[(sorted.len() - 1) / 2];
    let slow = latencies.iter().filter(|(_, latency)| *latency > factor * median);
    let why =
        |latency: f64| format!("its answers take {:.1} ms, {:.1} ms is the pool's median", latency / 1e3, median / 1e3);
    slow.map(|(index, latency)| (*index, why(*latency))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(outliers: Vec<(usize, String)>) -> Vec<usize> {
        outliers.into_iter().map(|(index, _)| index).collect()
    }

    fn numbered(values: &[f64]) -> Vec<(usize, f64)> {
        values.iter().copied().enumerate().collect()
    }

    #[test]
    fn who_succeeds_far_less_than_the_others_is_an_outlier() {
        for (rates, out) in [
            (&[1.0, 1.0, 1.0, 1.0, 0.5][..], &[4][..]),
            // Nobody stands out.
            (&[0.9, 0.5, 0.7, 0.6, 0.8], &[]),
            (&[0.5; 6], &[]),
            // Far by deviations, and by nothing that matters.
            (&[1.0, 1.0, 1.0, 1.0, 1.0, 0.98], &[]),
            // Too few to compare with.
            (&[1.0, 1.0, 1.0, 0.0], &[]),
        ] {
            assert_eq!(indices(unsuccessful(&numbered(rates))), out, "{rates:?}");
        }
    }

    #[test]
    fn who_takes_many_times_the_median_is_an_outlier() {
        for (latencies, out) in [
            (&[10.0, 11.0, 40.0][..], &[2][..]),
            (&[10.0, 11.0, 30.0], &[]),
            (&[10.0, 90.0], &[]),
            (&[10.0, 90.0, 10.0, 90.0], &[1, 3]),
        ] {
            assert_eq!(indices(slow(&numbered(latencies), 3.0)), out, "{latencies:?}");
        }
    }
}
