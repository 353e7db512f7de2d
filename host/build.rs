//! Embeds the stock plugins, so that the program serves with nothing beside it. `cargo xtask stock` builds them; `cargo
//! xtask try` and `cargo xtask test` do that first.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// What `stock/` holds after `cargo xtask stock`.
const NAMES: &[&str] = &[
    "adaptive-weights",
    "bounded-load",
    "by-metadata",
    "failover",
    "first-available",
    "jump-hash",
    "least-request",
    "least-time",
    "llm-queue",
    "maglev",
    "peak-ewma",
    "power-of-two",
    "prequal",
    "random",
    "rendezvous",
    "reported-weights",
    "require-token",
    "ring-hash",
    "round-robin",
    "sticky-cookie",
    "subset",
    "zone-aware",
];

fn main() -> Result<(), Box<dyn Error>> {
    let stock = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("stock");
    println!("cargo::rerun-if-changed={}", stock.display());
    let each =
        |kind: &str| -> Vec<PathBuf> { NAMES.iter().map(|name| stock.join(name).with_extension(kind)).collect() };
    let (files, manifests) = (each("wasm"), each("toml"));
    if let Some(missing) = files.iter().chain(&manifests).find(|file| !file.is_file()) {
        let missing = missing.display();
        println!("cargo::error={missing} is missing: build the stock plugins first, with `cargo xtask stock`");
        return Ok(());
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("stock.rs"), text(&files, &manifests))?;
    Ok(())
}

fn text(files: &[PathBuf], manifests: &[PathBuf]) -> String {
    let bytes: String = files.iter().map(|file| format!("include_bytes!({file:?}), ")).collect();
    let texts: String = manifests.iter().map(|file| format!("include_str!({file:?}), ")).collect();
    format!(
        "const NAMES: &[&str] = &{NAMES:?};\nconst BYTES: &[&[u8]] = &[{bytes}];\nconst MANIFESTS: &[&str] = &[{texts}];\n"
    )
}
