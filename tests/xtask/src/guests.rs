//! Builds the guests of the tests.

use crate::cargo::{WASM, cargo, ensure_wasm, root, target};
use anyhow::Result;
use std::ffi::OsStr;

/// Brings `target/wasm32-wasip2/guest/*.wasm` up to date; beside the stock plugins, so that both share what they depend on.
pub(crate) fn build() -> Result<()> {
    ensure_wasm()?;
    let (manifest, target) = (root().join("tests/guests/Cargo.toml"), target()?);
    let fixed = ["build", "--quiet", "--profile", "guest", "--target", WASM, "--manifest-path"].map(OsStr::new);
    cargo(fixed.into_iter().chain([manifest.as_os_str(), OsStr::new("--target-dir"), target.as_os_str()]))
}
