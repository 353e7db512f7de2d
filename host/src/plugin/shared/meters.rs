//! Numbers of a plugin's own, for the page of metrics. They are declared once; each is written without a lock.

use crate::figures::Durations;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// How many a plugin may have in a pool.
const METERS_MOST: usize = 32;
/// How long a name may be, and what it is for, in bytes.
const NAME_MOST: usize = 64;
const HELP_MOST: usize = 256;
/// What the page adds to names of its own: a name that ends so could be another one's.
const SUFFIXES: [&str; 6] = ["_total", "_sum", "_count", "_bucket", "_created", "_info"];
/// The buckets of a histogram, for whatever it counts; one more takes what is larger.
const BOUNDS: [f64; 20] =
    [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6];

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Many numbers by size.
    Histogram,
}

/// The metrics of one plugin in one pool, of all its generations.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Meters {
    all: [OnceLock<Meter>; METERS_MOST],
    /// Declarations so far.
    declared: AtomicU64,
}

#[derive(Debug)]
struct Meter {
    name: Box<str>,
    help: Box<str>,
    kind: MeterKind,
    /// The number of its latest declaration.
    declared: AtomicU64,
    /// A float's bits: the value, or the sum of a histogram.
    bits: AtomicU64,
    buckets: Option<Box<[AtomicU64; BOUNDS.len() + 1]>>,
}

/// How a metric stands.
#[derive(Clone, Debug)]
pub struct Reading {
    /// As declared.
    pub name: Box<str>,
    /// In words.
    pub help: Box<str>,
    /// What it is.
    pub kind: MeterKind,
    /// Its value, unless it is a histogram.
    pub value: f64,
    /// By size, if it is one.
    pub sizes: Durations,
}

impl Meters {
    /// The handle of the metric of this name and kind; an error says what is wrong with it.
    pub(in crate::plugin) fn declare(&self, name: &str, kind: MeterKind, help: &str) -> Result<u32, String> {
        let may_be = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(may_be);
        if !is_name || name.len() > NAME_MOST {
            return Err(format!("{name:?} is no metric's name: at most {NAME_MOST} of a-z, 0-9 and _, a letter first"));
        }
        if let Some(suffix) = SUFFIXES.into_iter().find(|suffix| name.ends_with(suffix)) {
            return Err(format!("{name:?} is no metric's name: the page itself adds {suffix:?} to names"));
        }
        if help.len() > HELP_MOST || help.contains(|c: char| c.is_control() || c == '\\' || c == '"') {
            return Err(format!("what a metric is for is a line of at most {HELP_MOST} bytes, without \\ and \""));
        }
        let is_it = |place: &OnceLock<Meter>| {
            let meter = place.get_or_init(|| Meter::new(name, kind, help));
            *meter.name == *name && meter.kind == kind
        };
        let place = self.all.iter().position(is_it).ok_or_else(|| format!("more than {METERS_MOST} metrics"))?;
        if let Some(meter) = self.all.get(place).and_then(OnceLock::get) {
            meter.declared.store(self.declared.fetch_add(1, Relaxed) + 1, Relaxed);
        }
        Ok(place as u32)
    }

    /// Writes; none: there is no such handle.
    pub(in crate::plugin) fn put(&self, handle: u32, value: f64) -> Option<()> {
        self.all.get(handle as usize)?.get().map(|meter| meter.put(value))
    }

    /// All of them; of a name that was declared as several kinds, the kind that was declared last.
    pub(in crate::plugin) fn read(&self) -> Vec<Reading> {
        let all = || self.all.iter().map_while(OnceLock::get);
        let is_latest = |meter: &&Meter| {
            let same = all().filter(|other| other.name == meter.name);
            same.map(|other| other.declared.load(Relaxed)).max() == Some(meter.declared.load(Relaxed))
        };
        all().filter(is_latest).map(Meter::read).collect()
    }
}

impl Meter {
    fn new(name: &str, kind: MeterKind, help: &str) -> Meter {
        let buckets = (kind == MeterKind::Histogram).then(Box::default);
        let zero = AtomicU64::default;
        Meter { name: name.into(), help: help.into(), kind, declared: zero(), bits: zero(), buckets }
    }

    fn put(&self, value: f64) {
        if !value.is_finite() || (self.kind == MeterKind::Counter && value < 0.0) {
            return;
        }
        if self.kind == MeterKind::Gauge {
            return self.bits.store(value.to_bits(), Relaxed);
        }
        let more = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // It never says no.
        let _ = self.bits.fetch_update(Relaxed, Relaxed, more);
        if let Some(buckets) = &self.buckets {
            buckets[BOUNDS.partition_point(|&bound| bound < value)].fetch_add(1, Relaxed);
        }
    }

    fn read(&self) -> Reading {
        let value = f64::from_bits(self.bits.load(Relaxed));
        let counts = self.buckets.iter().flat_map(|buckets| buckets.iter()).map(|bucket| bucket.load(Relaxed));
        let bounds = BOUNDS.iter().copied().chain([f64::MAX]);
        let sizes = Durations { sum: value, buckets: bounds.zip(counts).collect() };
        Reading { name: self.name.clone(), help: self.help.clone(), kind: self.kind, value, sizes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_keeps_what_it_is_for() {
        let meters = Meters::default();
        let kinds = [MeterKind::Counter, MeterKind::Gauge, MeterKind::Histogram];
        let handles = kinds.map(|kind| meters.declare(&format!("{kind:?}").to_lowercase(), kind, "help").unwrap());
        for value in [2.0, 0.5, f64::NAN, f64::INFINITY] {
            handles.iter().for_each(|&handle| meters.put(handle, value).unwrap());
        }
        meters.put(handles[0], -9.0).unwrap();
        let read = meters.read();
        assert_eq!(read.iter().map(|reading| reading.value).collect::<Vec<_>>(), [2.5, 0.5, 2.5]);
        let filled: Vec<_> = read[2].sizes.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(1.0, 1), &(3.0, 1)]);
        assert_eq!(meters.put(7, 1.0), None);
    }

    #[test]
    fn a_generation_may_make_another_kind_of_it() {
        let meters = Meters::default();
        let kinds = [MeterKind::Gauge, MeterKind::Counter];
        let [before, after] = kinds.map(|kind| meters.declare("hits", kind, "h").unwrap());
        assert_ne!(before, after);
        meters.put(before, 7.0).unwrap();
        meters.put(after, 1.0).unwrap();
        let read =
            |meters: &Meters| meters.read().iter().map(|reading| (reading.kind, reading.value)).collect::<Vec<_>>();
        assert_eq!(read(&meters), [(MeterKind::Counter, 1.0)]);
        assert_eq!(meters.declare("hits", MeterKind::Gauge, "h"), Ok(before), "an operator goes back");
        assert_eq!(read(&meters), [(MeterKind::Gauge, 7.0)]);
    }

    #[test]
    fn names_are_legal_and_bounded() {
        let meters = Meters::default();
        assert_eq!(meters.declare("hits", MeterKind::Counter, "h"), Ok(0));
        assert_eq!(meters.declare("hits", MeterKind::Counter, "other words"), Ok(0));
        for name in ["", "Hits", "1st", "_x", "a-b", "a\n", "hits_total", "took_sum", &"a".repeat(65)] {
            assert!(meters.declare(name, MeterKind::Counter, "h").unwrap_err().contains("no metric's name"), "{name}");
        }
        for help in ["two\nlines", "a \"quoted\" word", "a \\"] {
            assert!(meters.declare("x", MeterKind::Gauge, help).is_err());
        }
        (1..METERS_MOST).for_each(|n| _ = meters.declare(&format!("m{n}"), MeterKind::Gauge, "").unwrap());
        assert_eq!(meters.declare("more", MeterKind::Gauge, ""), Err("more than 32 metrics".into()));
    }
}
