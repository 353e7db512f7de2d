//! What the process tells while it runs: the log and the access log, which stop nobody, and the page of metrics.

pub mod access_log;
mod log;
pub mod metrics;

pub use log::{Log, Verbosity, lines_dropped, start};
