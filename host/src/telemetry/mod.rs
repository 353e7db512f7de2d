//! What the process tells while it runs: the log.

mod log;

pub use log::{Log, Verbosity, start};
