//! Bytes by name, for what is not on the hot path. One store for the instances of this plugin in this pool, and one for all
//! of the plugin's; both outlive instances and swaps. Each has room for 4096 keys of at most 256 bytes, values of at most
//! 64 KiB, and 4 MiB together.
//!
//! ```
//! # use pointsman_sdk::host::kv::{self, Scope};
//! kv::set(Scope::Pool, "leader", b"b1", 5_000)?;
//! assert_eq!(kv::get(Scope::Pool, "leader").as_deref(), Some(&b"b1"[..]));
//! assert!(!kv::replace(Scope::Pool, "leader", None, b"b2", 5_000)?, "somebody leads");
//! assert_eq!(kv::increment(Scope::Plugin, "elections", 1, 0)?, 1);
//! # Ok::<(), String>(())
//! ```

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::kv as import;

pub use crate::bindings::platform::pointsman::plugin::kv::Scope;

/// What stands there; none when nothing does, or its time is over.
pub fn get(scope: Scope, key: &str) -> Option<Vec<u8>> {
    ask!(import::get(scope, key), |host| host.kv.get(host.now_us, scope, key))
}

/// Writes, for so long; `ttl_ms` 0: no end.
///
/// # Errors
/// Which limit is in the way.
pub fn set(scope: Scope, key: &str, value: &[u8], ttl_ms: u32) -> Result<(), String> {
    ask!(import::set(scope, key, value, ttl_ms), |host| host.kv.set(host.now_us, scope, key, value, ttl_ms))
}

/// Writes `new` if exactly `old` stands there, none: if nothing does; whether it did.
///
/// # Errors
/// Which limit is in the way.
pub fn replace(scope: Scope, key: &str, old: Option<&[u8]>, new: &[u8], ttl_ms: u32) -> Result<bool, String> {
    ask!(import::replace(scope, key, old, new, ttl_ms), |host| {
        if host.kv.get(host.now_us, scope, key).as_deref() != old {
            return Ok(false);
        }
        host.kv.set(host.now_us, scope, key, new, ttl_ms).map(|()| true)
    })
}

/// Adds to the decimal number that stands there, 0 where nothing does; the sum. Its time begins with the first one, and a
/// later `ttl_ms` says nothing.
///
/// # Errors
/// Something else than a number stands there, the sum is too large, or a limit is in the way.
pub fn increment(scope: Scope, key: &str, delta: i64, ttl_ms: u32) -> Result<i64, String> {
    ask!(import::increment(scope, key, delta, ttl_ms), |host| {
        host.kv.increment(host.now_us, scope, key, delta, ttl_ms)
    })
}
