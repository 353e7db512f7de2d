//! Live figures of the pool's backends: one truth for the whole process, kept by backend id over every swap and reload.
//! A position that the latest update did not list stops the plugin.

use super::ask;
use crate::Position;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::figures as import;

/// Requests that this process has under way there.
pub fn in_flight(of: Position) -> u32 {
    ask!(import::in_flight(of), |host| host.figures(of).in_flight)
}

/// The sum over all positions.
pub fn total_in_flight() -> u32 {
    ask!(import::total_in_flight(), |host| host
        .figures
        .iter()
        .fold(0, |sum: u32, figures| sum.saturating_add(figures.in_flight)))
}

/// Time to the first byte of the answer, as a moving average in microseconds, over about forty answers; after some seconds
/// without one the next counts nearly alone. 0 before the first answer.
pub fn latency_us(of: Position) -> u32 {
    ask!(import::latency_us(of), |host| host.figures(of).latency_us)
}

/// The same, but it jumps up at once and comes down slowly (10 s): Finagle's peak EWMA.
pub fn peak_latency_us(of: Position) -> u32 {
    ask!(import::peak_latency_us(of), |host| host.figures(of).peak_latency_us)
}

/// What one more request would wait for there, in microseconds: [`peak_latency_us`], times the requests that would be under
/// way with it. 0 before the first answer. One call for two figures that are usually wanted together.
pub fn peak_wait_us(of: Position) -> u64 {
    ask!(import::peak_wait_us(of), |host| {
        let figures = host.figures(of);
        u64::from(figures.peak_latency_us) * (u64::from(figures.in_flight) + 1)
    })
}

/// Share of attempts that got an answer below 500, as a moving average in thousandths; 1000 before the first.
pub fn success_permille(of: Position) -> u32 {
    ask!(import::success_permille(of), |host| host.figures(of).success_permille)
}

/// Attempts without an answer below 500 since the last one with.
pub fn consecutive_failures(of: Position) -> u32 {
    ask!(import::consecutive_failures(of), |host| host.figures(of).consecutive_failures)
}

/// How long this process has known the backend, in milliseconds.
pub fn age_ms(of: Position) -> u64 {
    ask!(import::age_ms(of), |host| host.figures(of).age_ms)
}

/// [`in_flight`] of every position in one call: cheaper than three or more single ones.
pub fn all_in_flight() -> Vec<u32> {
    ask!(import::all_in_flight(), |host| host.figures.iter().map(|figures| figures.in_flight).collect())
}

/// [`latency_us`] of every position in one call.
pub fn all_latency_us() -> Vec<u32> {
    ask!(import::all_latency_us(), |host| host.figures.iter().map(|figures| figures.latency_us).collect())
}

/// [`peak_latency_us`] of every position in one call.
pub fn all_peak_latency_us() -> Vec<u32> {
    ask!(import::all_peak_latency_us(), |host| host.figures.iter().map(|figures| figures.peak_latency_us).collect())
}

/// [`success_permille`] of every position in one call.
pub fn all_success_permille() -> Vec<u32> {
    ask!(import::all_success_permille(), |host| host.figures.iter().map(|figures| figures.success_permille).collect())
}

/// Of the requests under way there, those that wait for a connection, or for a place on one.
pub fn queued(of: Position) -> u32 {
    ask!(import::queued(of), |host| host.figures(of).queued)
}

/// [`queued`] of every position in one call.
pub fn all_queued() -> Vec<u32> {
    ask!(import::all_queued(), |host| host.figures.iter().map(|figures| figures.queued).collect())
}

/// A number that backends report about themselves, as the pool's `reported` says.
///
/// ```
/// # use pointsman_sdk::{host::figures::Reported, testing::{self, Figures}};
/// # testing::host(|host| host.figures = vec![Figures::default(); 2]);
/// let queue = Reported::named("named_metrics.queue");
/// assert_eq!(queue.of(1), None);
/// # testing::host(|host| _ = host.figures[1].reported.insert("named_metrics.queue".into(), 4.0));
/// assert_eq!(queue.of(1), Some(4.0));
/// assert!(queue.all()[0].is_nan());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported(u32);

impl Reported {
    /// The one of this name: `cpu_utilization`, `application_utilization`, `mem_utilization`, `rps_fractional`, `eps`,
    /// `named_metrics.NAME`, `utilization.NAME` or `request_cost.NAME` of ORCA, or the name that the configuration gives to a
    /// header. Ask once, in `new`. A pool has room for 32 names.
    pub fn named(name: &str) -> Reported {
        Reported(ask!(import::reported_name(name), |host| host.reported_name(name)))
    }

    /// What the backend said last, unless that is too old.
    pub fn of(&self, at: Position) -> Option<f64> {
        let number = ask!(import::reported(self.0, at), |host| host.reported(self.0, at));
        (!number.is_nan()).then_some(number)
    }

    /// The same of every position in one call; NaN where nothing is known.
    pub fn all(&self) -> Vec<f64> {
        ask!(import::all_reported(self.0), |host| {
            (0..host.figures.len() as Position).map(|at| host.reported(self.0, at)).collect()
        })
    }
}

/// Counts this attempt there at once if fewer than `limit` requests are in flight; whether it does. So a bound is never
/// exceeded, whatever other workers do at the same moment. Undone when the pick decides otherwise, and when it reserves at
/// another position. Only inside [`Balancer::pick`](crate::Balancer::pick).
///
/// ```
/// # use pointsman_sdk::prelude::*;
/// # use pointsman_sdk::testing::{self, Bench};
/// /// The first that has fewer than two requests.
/// struct Packed;
///
/// impl Balancer for Packed {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings, _: &Place) -> Result<Self, String> { Ok(Packed) }
///     fn pick(&mut self, _: &Turn, pool: &Pool) -> Decision {
///         let first = (0..pool.len()).find(|&at| figures::reserve(at, 2));
///         first.map_or(Decision::Reject(503), Decision::Choose)
///     }
/// }
/// # let mut bench = Bench::<Packed>::new(&[1, 1]);
/// # testing::host(|host| host.figures[0].in_flight = 2);
/// # assert_eq!(bench.pick(), Decision::Choose(1));
/// # testing::host(|host| host.figures[1].in_flight = 2);
/// # assert_eq!(bench.pick(), Decision::Reject(503));
/// ```
pub fn reserve(of: Position, limit: u32) -> bool {
    ask!(import::reserve(of, limit), |host| host.figures(of).in_flight < limit)
}

/// Which part of its weight a backend should count with now, in thousandths: 1000, but for one in the pool's `slow_start`,
/// where it grows with time. [`SlowStart`](crate::SlowStart) asks only where it may be less.
pub fn slow_start_permille(of: Position) -> u32 {
    ask!(import::slow_start_permille(of), |host| host.figures(of).slow_start_permille)
}

/// [`slow_start_permille`] of every position in one call.
pub fn all_slow_start_permille() -> Vec<u32> {
    ask!(import::all_slow_start_permille(), |host| host.figures.iter().map(|f| f.slow_start_permille).collect())
}
