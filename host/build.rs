//! Embeds the stock plugins that `cargo xtask stock` built.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let stock = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("stock");
    println!("cargo::rerun-if-changed={}", stock.display());
    let mut files: Vec<_> = match fs::read_dir(&stock) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?,
        Err(_) => Vec::new(),
    };
    files.retain(|file| file.extension().is_some_and(|e| e == "wasm"));
    files.sort();
    let name = |file: &PathBuf| file.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
    let names: Vec<_> =
        files.iter().map(|file| name(file).ok_or("a plugin's name is not UTF-8")).collect::<Result<_, _>>()?;
    let bytes: String = files.iter().map(|file| format!("include_bytes!({file:?}), ")).collect();
    let text = format!("const NAMES: &[&str] = &{names:?};\nconst BYTES: &[&[u8]] = &[{bytes}];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("stock.rs"), text)?;
    Ok(())
}
