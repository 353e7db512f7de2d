//! How long something took, in buckets that one thread writes.

use super::Count;
use std::time::Duration;

/// Upper bounds in nanoseconds, ascending; what is longer falls into one bucket more.
type Bounds = [u64; BOUNDS];

const BOUNDS: usize = 16;

/// From what a cache answers to what nobody waits for: 250 µs to 30 s.
const REQUEST: Bounds = {
    const MS: u64 = 1_000_000;
    [
        MS / 4,
        MS / 2,
        MS,
        5 * MS / 2,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1000 * MS,
        2500 * MS,
        5000 * MS,
        10_000 * MS,
        30_000 * MS,
    ]
};

/// From a pick that looks at nothing to the largest deadline: 100 ns to 1 s.
const PICK: Bounds = {
    const US: u64 = 1_000;
    [
        US / 10,
        US / 4,
        US / 2,
        US,
        5 * US / 2,
        5 * US,
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        1000 * US,
        5000 * US,
        50_000 * US,
        1_000_000 * US,
    ]
};

/// Durations by size.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    counts: [Count; BOUNDS + 1],
    sum_ns: Count,
}

/// The durations of several histograms together.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    /// Upper bound in seconds, the last one infinite, and how many fell between it and the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Of all durations, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// For requests.
    pub fn of_requests() -> Histogram {
        Histogram::new(&REQUEST)
    }

    /// For calls of plugins.
    pub fn of_picks() -> Histogram {
        Histogram::new(&PICK)
    }

    fn new(bounds: &'static Bounds) -> Histogram {
        Histogram { bounds, counts: Default::default(), sum_ns: Count::default() }
    }

    /// One more that took so long.
    pub fn took(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < ns);
        if let Some(count) = self.counts.get(bucket) {
            count.up();
        }
        self.sum_ns.add(ns);
    }

    /// All of these together; they have the same bounds.
    pub fn together<'a>(all: impl Iterator<Item = &'a Histogram>) -> Durations {
        let mut durations = Durations { buckets: Vec::new(), sum: 0.0 };
        for histogram in all {
            if durations.buckets.is_empty() {
                let bounds = histogram.bounds.iter().map(|&ns| ns as f64 / 1e9).chain([f64::INFINITY]);
                durations.buckets = bounds.map(|bound| (bound, 0)).collect();
            }
            for ((_, sum), count) in durations.buckets.iter_mut().zip(&histogram.counts) {
                *sum += count.get();
            }
            durations.sum += histogram.sum_ns.get() as f64 / 1e9;
        }
        durations
    }
}

impl Durations {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Below this are so many of a thousand, in seconds, as near as the buckets tell; none where there are no durations.
    pub fn quantile(&self, permille: u64) -> Option<f64> {
        let mut left = self.count() as f64 * permille as f64 / 1e3;
        let mut lower = 0.0;
        for (upper, count) in &self.buckets {
            let count = *count as f64;
            if count > 0.0 && count >= left {
                let reaches = if upper.is_finite() { *upper } else { lower };
                return Some(lower + (reaches - lower) * left / count);
            }
            left -= count;
            lower = *upper;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_one_bucket() {
        let (one, other) = (Histogram::of_requests(), Histogram::of_requests());
        one.took(Duration::from_micros(250)); // the bound itself is below it
        one.took(Duration::from_micros(251));
        other.took(Duration::from_secs(31));
        let both = Histogram::together([&one, &other].into_iter());
        assert_eq!(both.count(), 3);
        assert_eq!((both.buckets[0], both.buckets[1]), ((0.00025, 1), (0.0005, 1)));
        assert_eq!(both.buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!((both.sum - 31.000_501).abs() < 1e-6, "{}", both.sum);
    }

    #[test]
    fn bounds_ascend() {
        assert!(REQUEST.is_sorted() && PICK.is_sorted());
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::of_picks();
        assert_eq!(Histogram::together([&histogram].into_iter()).quantile(500), None);
        (0..98).for_each(|_| histogram.took(Duration::from_nanos(200)));
        (0..2).for_each(|_| histogram.took(Duration::from_micros(40)));
        let durations = Histogram::together([&histogram].into_iter());
        let (median, p99) = (durations.quantile(500).unwrap(), durations.quantile(990).unwrap());
        assert!((100e-9..=250e-9).contains(&median) && (25e-6..=50e-6).contains(&p99), "{median} {p99}");
    }
}
