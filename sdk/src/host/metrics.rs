//! Numbers of the plugin's own on the host's page of metrics, as `pointsman_custom_PLUGIN_NAME` with the labels `plugin` and
//! `pool`; all instances of a pool write to the same.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::metrics as import;

pub use crate::bindings::platform::pointsman::plugin::metrics::Kind;

/// One metric.
///
/// ```
/// # use pointsman_sdk::{host::metrics::Metric, testing};
/// let homeless = Metric::counter("homeless", "Requests whose backend has left");
/// homeless.put(1.0);
/// # homeless.put(2.0);
/// # testing::host(|host| assert_eq!(host.metrics["homeless"], [1.0, 2.0]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric(u32);

impl Metric {
    /// Only grows: [`put`](Self::put) adds. A name is letters in lower case, digits and underscores, a letter first, at most 64;
    /// `help` a line of at most 256 bytes. Declare once, in `new`; a plugin may have 32 in a pool.
    pub fn counter(name: &str, help: &str) -> Metric {
        Metric::declare(name, Kind::Counter, help)
    }

    /// Goes up and down: [`put`](Self::put) replaces.
    pub fn gauge(name: &str, help: &str) -> Metric {
        Metric::declare(name, Kind::Gauge, help)
    }

    /// Many numbers by size: [`put`](Self::put) adds one, to buckets from 0.001 to 3,000,000.
    pub fn histogram(name: &str, help: &str) -> Metric {
        Metric::declare(name, Kind::Histogram, help)
    }

    fn declare(name: &str, kind: Kind, help: &str) -> Metric {
        Metric(ask!(import::declare(name, kind, help), |host| {
            let _ = (kind, help);
            host.declare(name)
        }))
    }

    /// A number that is none, or less than none for a counter, is left out.
    pub fn put(&self, value: f64) {
        ask!(import::put(self.0, value), |host| host.put(self.0, value))
    }
}
