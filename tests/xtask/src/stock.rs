//! Builds `plugins/*` and puts the components, and what they say of themselves, where the host embeds them.

use crate::cargo::{WASM, cargo, ensure_wasm, root, target};
use anyhow::{Context, Result};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Brings `host/stock/` up to date.
pub(crate) fn build() -> Result<()> {
    ensure_wasm()?;
    let names = names()?;
    let packages = names.iter().flat_map(|name| ["--package", name]);
    cargo(["build", "--quiet", "--profile", "guest", "--target", WASM].into_iter().chain(packages))?;

    let built = target()?.join(WASM).join("guest");
    let stock = root().join("host/stock");
    fs::create_dir_all(&stock)?;
    for name in &names {
        place(&built.join(name.replace('-', "_")).with_extension("wasm"), &stock.join(name).with_extension("wasm"))?;
        place(&root().join("plugins").join(name).join("plugin.toml"), &stock.join(name).with_extension("toml"))?;
    }
    remove_others(&stock, &names)
}

/// Every folder of `plugins` is a plugin.
fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("plugins"))? {
        let path = entry?.path();
        if path.join("plugin.toml").is_file() {
            names.extend(path.file_name().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// Only when the bytes differ, so that the host is not built anew for nothing; and by renaming, so that nobody reads half
/// of it.
fn place(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let half: PathBuf = to.with_extension("half");
    fs::write(&half, bytes)?;
    fs::rename(&half, to).with_context(|| format!("cannot write {}", to.display()))
}

/// A plugin that left the repository leaves the host too.
fn remove_others(stock: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(stock)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        if !names.iter().any(|known| known == name) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
