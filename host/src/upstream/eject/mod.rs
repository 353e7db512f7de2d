//! Passive health: a backend is taken out for what its requests tell, for a while. Nothing here stands on a request's way:
//! figures that are counted anyway are looked at now and then, on the side runtime.
//!
//! | kind | in |
//! |---|---|
//! | so many requests in a row without a usable answer | here |
//! | no byte at all while others answer | [`stall`] |
//! | far less success than the others, or far slower | [`outlier`] |
//!
//! The first time it is out for `eject.time`, the second time twice as long, and so on; for each `eject.time` in which it
//! did well, one time is forgotten. That is how Envoy's outlier detection has it.

mod outlier;
mod stall;
#[cfg(test)]
mod tests;

use super::{Backend, Pool};
use crate::config::model;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// So often a stall is looked for in the time after which it is one.
const LOOKS_PER_STALL: u32 = 8;
/// Between two looks while requests come.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Between two looks while none come.
const PAUSE_IDLE: Duration = Duration::from_millis(250);

/// Looks at a pool's backends again and again. Dropping this future stops that; who is out then
/// stays out, until the next watch of it finds that its time is over.
pub(super) async fn watch(pool: Arc<Pool>, how: model::Eject) {
    let mut watch = Watch::new(pool, how, Instant::now());
    loop {
        sleep_until(watch.due).await;
        watch.look(Instant::now());
    }
}

/// Nobody goes out any more, and those who are out come back.
pub(super) fn end(pool: &Pool) {
    pool.backends.iter().for_each(|backend| pool.readmit(backend));
}

/// A pool whose backends are watched.
#[derive(Debug)]
struct Watch {
    pool: Arc<Pool>,
    how: model::Eject,
    /// So many may be out.
    most: usize,
    /// By the backend's index.
    waits: Vec<stall::Wait>,
    window: outlier::Window,
    /// All that was asked up to the last look.
    asked: u64,
    due: Instant,
}

/// What was done to one backend. It is kept with what else is known of it, so that it outlives a reload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// While it is out.
    until: Option<Instant>,
    /// How often lately.
    times: u32,
    /// It has done well since; none: it was never out.
    well_since: Option<Instant>,
    /// What was counted when it was compared with the others last.
    before: Option<outlier::Before>,
}

impl Watch {
    fn new(pool: Arc<Pool>, how: model::Eject, now: Instant) -> Watch {
        let backends = pool.backends.len();
        Watch {
            most: backends * how.share as usize / 100,
            waits: pool.backends.iter().map(|backend| stall::Wait::anew(&backend.figures)).collect(),
            window: outlier::Window::resume(&pool, now),
            asked: 0,
            due: now,
            pool,
            how,
        }
    }

    /// One look at all.
    fn look(&mut self, now: Instant) {
        for index in 0..self.waits.len() {
            self.serve_time(index, now);
        }
        if let Some(most) = self.how.failures {
            self.look_for_failures(most, now);
        }
        if let Some(stall) = self.how.stall {
            self.look_for_stalls(stall, now);
        }
        if self.window.is_over(now) {
            let outliers = self.window.outliers(&self.pool, &self.how);
            outliers.into_iter().for_each(|(index, why)| self.eject(index, why, now));
            self.window = outlier::Window::new(&self.pool, now);
        }
        self.due = now + self.pause();
    }

    /// Brings back whose time is over, and forgets what was long ago.
    fn serve_time(&mut self, index: usize, now: Instant) {
        let backend = &self.pool.backends[index];
        let (mut record, is_ejected) = backend.with_condition(|condition| (condition.record, condition.is_ejected()));
        if let Some(until) = record.until {
            if until <= now || !is_ejected {
                // What it did before does not count twice.
                backend.figures.forgive();
                backend.figures.silence().ends();
                self.waits[index] = stall::Wait::anew(&backend.figures);
                self.pool.readmit(backend);
                record = Record { until: None, well_since: Some(now), ..record };
            }
        } else if record.times > 0 && record.well_since.is_none_or(|since| since + self.how.time <= now) {
            record = Record { times: record.times - 1, well_since: Some(now), ..record };
        }
        backend.with_condition(|condition| condition.record = record);
    }

    fn look_for_failures(&mut self, most: u32, now: Instant) {
        for index in 0..self.waits.len() {
            let lost = self.pool.backends[index].figures.lost_in_a_row();
            if lost >= most {
                self.eject(index, format!("{lost} requests in a row failed"), now);
            }
        }
    }

    fn look_for_stalls(&mut self, stall: Duration, now: Instant) {
        // This process did not run meanwhile: who is to blame for the silence is not known.
        let was_away = now > self.due + stall / 2;
        for (wait, backend) in self.waits.iter_mut().zip(&self.pool.backends) {
            wait.look(&backend.figures, stall, was_away, now);
        }
        for index in 0..self.waits.len() {
            let Some(count) = stall::stalled(&self.pool.backends, &self.waits, index) else { continue };
            // Whether or not it goes out: who waits for it may do better elsewhere.
            self.pool.backends[index].figures.silence().stalls();
            self.eject(
                index,
                format!("stalled: no byte for {stall:?} while {count} requests wait and others answer"),
                now,
            );
        }
    }

    /// Takes it out, if it is in and may go.
    fn eject(&mut self, index: usize, why: String, now: Instant) {
        let backend: &Arc<Backend> = &self.pool.backends[index];
        let record = backend.with_condition(|condition| condition.record);
        if record.until.is_some() || !backend.is_ready() {
            return;
        }
        let lasts = |times| self.how.time.saturating_mul(times).min(self.how.time_most);
        // Where it lasts no longer, it is not counted on, or forgetting would take as long.
        let times = if lasts(record.times) < self.how.time_most { record.times + 1 } else { record.times };
        let time = lasts(times);
        if self.pool.eject(backend, self.most, format!("{why}; out for {time:?}")) {
            let record = Record { until: Some(now + time), times, ..record };
            backend.with_condition(|condition| condition.record = record);
        }
    }

    /// Until the next look.
    fn pause(&mut self) -> Duration {
        let asked = self.pool.backends.iter().map(|backend| backend.figures.asked()).sum();
        let is_idle = std::mem::replace(&mut self.asked, asked) == asked && self.waits.iter().all(stall::Wait::is_none);
        let pause = self.how.stall.map_or(PAUSE.1, |stall| (stall / LOOKS_PER_STALL).clamp(PAUSE.0, PAUSE.1));
        if is_idle { pause.max(PAUSE_IDLE) } else { pause }
    }
}
