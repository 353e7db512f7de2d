//! What backends report about their own load: numbers with names. The names that somebody asks for are found out once, and
//! are those of a pool; a number that is reported under another name is not kept.

use super::{BackendFigures, micros};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many names may be asked for in a pool, over all of its plugins' lives.
pub const REPORTED_MOST: usize = 32;
/// How long such a name may be, in bytes.
const REPORTED_NAME_MOST: usize = 256;

/// The names that are asked for in a pool, and how long a number holds.
#[derive(Debug, Default)]
pub struct Reports {
    names: [OnceLock<Box<str>>; REPORTED_MOST],
    fresh_us: AtomicU64,
}

/// The numbers of one backend, by the place of their names.
#[derive(Debug, Default)]
pub(super) struct Reported([Number; REPORTED_MOST]);

#[derive(Debug, Default)]
struct Number {
    bits: AtomicU64,
    /// Micros of the backend's age, and one; 0: never.
    at_us: AtomicU64,
}

impl Reports {
    /// The place of this name; none when there are too many, or it is too long.
    pub fn place(&self, name: &str) -> Option<u32> {
        let is_it = |place: &OnceLock<Box<str>>| **place.get_or_init(|| name.into()) == *name;
        let place = (name.len() <= REPORTED_NAME_MOST).then(|| self.names.iter().position(is_it))??;
        u32::try_from(place).ok()
    }

    /// The place of `group.name`, or of `name` where the group is empty, if somebody asked for it.
    pub fn known(&self, group: &str, name: &str) -> Option<u32> {
        let is_it = |known: &str| match group {
            "" => known == name,
            _ => known.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')) == Some(name),
        };
        let mut known = self.names.iter().map_while(OnceLock::get);
        u32::try_from(known.position(|known| is_it(known))?).ok()
    }

    /// From now on a number holds for so long.
    pub fn hold_for(&self, fresh: Duration) {
        self.fresh_us.store(micros(fresh), Relaxed);
    }
}

impl BackendFigures {
    /// It says this about itself, under the name at this place.
    pub fn reports(&self, place: u32, number: f64, now: Instant) {
        let reported = self.reported.get_or_init(Box::default);
        if let Some(Number { bits, at_us }) = reported.0.get(place as usize) {
            bits.store(number.to_bits(), Relaxed);
            at_us.store(micros(self.age(now)).saturating_add(1), Relaxed);
        }
    }

    /// What it said last, unless that is too old; else NaN.
    pub fn reported(&self, place: u32, reports: &Reports, now: Instant) -> f64 {
        let number = self.reported.get().and_then(|reported| reported.0.get(place as usize));
        let Some(Number { bits, at_us }) = number else { return f64::NAN };
        let at_us = at_us.load(Relaxed);
        let is_fresh = at_us > 0 && micros(self.age(now)).saturating_sub(at_us) < reports.fresh_us.load(Relaxed);
        if is_fresh { f64::from_bits(bits.load(Relaxed)) } else { f64::NAN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_bounded() {
        let reports = Reports::default();
        assert_eq!((reports.place("queue"), reports.place("named_metrics.kv")), (Some(0), Some(1)));
        assert_eq!((reports.place("queue"), reports.known("", "queue")), (Some(0), Some(0)));
        assert_eq!((reports.known("named_metrics", "kv"), reports.known("", "kv")), (Some(1), None));
        assert_eq!(reports.known("named", "metrics.kv"), None);
        (2..REPORTED_MOST).for_each(|n| assert!(reports.place(&format!("n{n}")).is_some()));
        assert_eq!((reports.place("one more"), reports.place("queue")), (None, Some(0)));
        assert_eq!(Reports::default().place(&"x".repeat(REPORTED_NAME_MOST + 1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_holds_for_a_while() {
        let (figures, reports) = (BackendFigures::default(), Reports::default());
        reports.hold_for(Duration::from_secs(10));
        assert!(figures.reported(0, &reports, Instant::now()).is_nan());
        figures.reports(0, 0.5, Instant::now());
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(figures.reported(0, &reports, Instant::now()), 0.5);
        assert!(figures.reported(1, &reports, Instant::now()).is_nan());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(figures.reported(0, &reports, Instant::now()).is_nan());
        assert!(figures.reported(u32::MAX, &reports, Instant::now()).is_nan());
    }
}
