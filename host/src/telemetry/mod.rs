//! What the process tells while it runs: the log, which stops nobody, and the page of metrics.

mod log;
pub mod metrics;

pub use log::{Log, Verbosity, lines_dropped, start};
