//! The plugin's own numbers, and its own limits.

use super::bindings::pointsman::plugin::{metrics, rate_limit};
use crate::plugin::{MeterKind, sandbox::Data};
use wasmtime::{Error, Result, format_err};

impl metrics::Host for Data {
    fn declare(&mut self, name: String, kind: metrics::Kind, help: String) -> Result<u32> {
        let kind = match kind {
            metrics::Kind::Counter => MeterKind::Counter,
            metrics::Kind::Gauge => MeterKind::Gauge,
            metrics::Kind::Histogram => MeterKind::Histogram,
        };
        self.commons.meters.declare(&name, kind, &help).map_err(Error::msg)
    }

    fn put(&mut self, metric: u32, value: f64) -> Result<()> {
        self.commons.meters.put(metric, value).ok_or_else(|| format_err!("no metric has the handle {metric}"))
    }
}

impl rate_limit::Host for Data {
    fn take(&mut self, key: u64, per_second: u32, burst: u32) -> Result<bool> {
        Ok(self.commons.rates.take(key, per_second, burst))
    }
}
