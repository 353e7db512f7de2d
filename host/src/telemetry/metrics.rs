//! The page of metrics, as OpenMetrics text. The numbers live where they are counted and are read when somebody asks.

use crate::figures::Durations;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use std::fmt;

/// What the page is called on the wire.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In front of every name.
const PREFIX: &str = "pointsman";

/// Who knows the numbers.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Tells all families, each once.
    ///
    /// # Errors
    /// When the page takes no more text.
    fn tell(&self, families: &mut Families<'_>) -> fmt::Result;
}

/// The page.
#[derive(Debug)]
pub struct Page(Registry);

impl Page {
    /// Of these numbers.
    pub fn new(source: impl Source) -> Page {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Told(source)));
        Page(registry)
    }

    /// As the numbers stand now.
    pub fn text(&self) -> String {
        let mut page = String::new();
        // Memory takes all text there is.
        let _ = text::encode(&mut page, &self.0);
        page
    }
}

#[derive(Debug)]
struct Told<S>(S);

impl<S: Source> Collector for Told<S> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.tell(&mut Families(encoder))
    }
}

/// Where families are told, in the order of the page. Help is a sentence without its full stop.
#[derive(Debug)]
pub struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// Numbers that only grow; the page adds `_total` to the name.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn counter(&mut self, name: &str, help: &str, rows: impl FnOnce(&mut Rows<'_>) -> fmt::Result) -> fmt::Result {
        rows(&mut Rows(self.0.encode_descriptor(name, help, None, MetricType::Counter)?))
    }

    /// Numbers that go up and down.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn gauge(&mut self, name: &str, help: &str, rows: impl FnOnce(&mut Rows<'_>) -> fmt::Result) -> fmt::Result {
        rows(&mut Rows(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?))
    }

    /// Durations by size, in seconds.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        rows: impl FnOnce(&mut Rows<'_>) -> fmt::Result,
    ) -> fmt::Result {
        rows(&mut Rows(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?))
    }
}

/// The rows of one family. Each has the same labels; what they can say is bounded by the configuration.
#[derive(Debug)]
pub struct Rows<'a>(MetricEncoder<'a>);

/// Names and values of a row.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Rows<'_> {
    /// A row of a counter.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn count(&mut self, labels: Labels<'_>, count: u64) -> fmt::Result {
        ConstCounter::new(count).encode(self.0.encode_family(&labels)?)
    }

    /// A row of a counter that is no whole number.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn sum(&mut self, labels: Labels<'_>, sum: f64) -> fmt::Result {
        ConstCounter::new(sum).encode(self.0.encode_family(&labels)?)
    }

    /// A row of a gauge.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn level(&mut self, labels: Labels<'_>, level: f64) -> fmt::Result {
        ConstGauge::new(level).encode(self.0.encode_family(&labels)?)
    }

    /// A row of a histogram.
    ///
    /// # Errors
    /// When the page takes no more text.
    pub fn durations(&mut self, labels: Labels<'_>, durations: &Durations) -> fmt::Result {
        let mut row = self.0.encode_family(&labels)?;
        row.encode_histogram::<NoLabelSet>(durations.sum, durations.count(), &durations.buckets, None)
    }
}
