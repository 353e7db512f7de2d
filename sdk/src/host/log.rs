//! The plugin's log, shown by `pointsman plugin log` and the host's own log. Bounded in rate and length; what is dropped is
//! counted. What `println!` and `eprintln!` write goes there too.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::log as import;

pub use crate::bindings::platform::pointsman::plugin::log::Level;

/// A line at this level.
///
/// ```
/// # use pointsman_sdk::{host::log::{self, Level}, testing};
/// log::warn("no zone is configured: all backends count as near");
/// # testing::host(|host| assert_eq!(host.log[0].0, Level::Warn));
/// ```
pub fn write(level: Level, text: &str) {
    ask!(import::write(level, text), |host| host.log.push((level, text.to_owned())))
}

/// For whoever is looking for a mistake in the plugin.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// For the operator to know.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// For the operator to look into.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// For the operator to act on.
pub fn error(text: &str) {
    write(Level::Error, text);
}
