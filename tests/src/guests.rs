//! Components to put into a plugin directory, as bytes.

use crate::cli::target;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A guest of `tests/guests`, by the name of its folder.
///
/// # Panics
/// When it was not built.
pub fn guest(name: &str) -> Vec<u8> {
    let file = format!("../wasm32-wasip2/guest/{}.wasm", name.replace('-', "_"));
    read(&target().join(file))
}

/// The names of all guests.
pub fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let entries = fs::read_dir(folder).expect("tests/guests").map(|entry| entry.unwrap().path());
    let crates = entries.filter(|path| path.join("Cargo.toml").exists());
    let mut names: Vec<_> = crates.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A stock plugin, as its file.
///
/// # Panics
/// When there is none of that name.
pub fn stock(name: &str) -> Vec<u8> {
    pointsman::plugin::stock::bytes(name).unwrap_or_else(|| panic!("no stock plugin {name}")).to_vec()
}

/// A plugin's folder in `plugins/`, with `cases.toml` and the like.
pub fn folders() -> Vec<PathBuf> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let entries = fs::read_dir(plugins).expect("plugins/").map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("Cargo.toml").exists()).collect()
}

/// The same component with other bytes: a custom section at its end that holds a number, and means nothing.
pub fn numbered(component: &[u8], number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"counter";
    let number = number.to_le_bytes();
    let mut bytes = component.to_vec();
    let length = 1 + NAME.len() + number.len();
    // Section 0, its length, the length of its name: all below 128, so each is one byte of LEB128.
    bytes.extend([0, length as u8, NAME.len() as u8]);
    bytes.extend_from_slice(NAME);
    bytes.extend_from_slice(&number);
    bytes
}

/// A core module: WebAssembly, and no component.
pub fn core_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

/// A component that exports nothing.
pub fn empty_component() -> Vec<u8> {
    b"\0asm\x0d\0\x01\0".to_vec()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` builds it", path.display()))
}
