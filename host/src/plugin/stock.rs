//! The plugins that this binary carries, so that it serves with nothing beside it.

// `NAMES: &[&str]`, `BYTES: &[&[u8]]` and `MANIFESTS: &[&str]`, in the order of the names; made by build.rs from what
// `stock/` holds.
include!(concat!(env!("OUT_DIR"), "/stock.rs"));

/// The component of this name.
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    NAMES.iter().position(|known| *known == name).map(|place| BYTES[place])
}

/// The `plugin.toml` of this name.
pub fn manifest(name: &str) -> Option<&'static str> {
    NAMES.iter().position(|known| *known == name).map(|place| MANIFESTS[place])
}

/// The names of all, in order.
pub fn names() -> &'static [&'static str] {
    NAMES
}
