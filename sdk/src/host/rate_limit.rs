//! How often something may happen, over all workers.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::rate_limit as import;

/// Whether it may happen once more under this key: `burst` times at once, and then `per_second` times a second. What was
/// asked for and not allowed does not count. Some 65,000 keys are remembered; of more, those that were not asked for longest
/// begin anew.
///
/// ```
/// # use pointsman_sdk::host::rate_limit;
/// assert!((0..3).all(|_| rate_limit::take(7, 10, 3)));
/// assert!(!rate_limit::take(7, 10, 3));
/// ```
pub fn take(key: u64, per_second: u32, burst: u32) -> bool {
    ask!(import::take(key, per_second, burst), |host| host.take(key, per_second, burst))
}
