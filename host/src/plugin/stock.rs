//! The plugins that this binary carries, so that it serves with nothing beside it.

// `NAMES: &[&str]` and `BYTES: &[&[u8]]`, in the order of the names; made by build.rs from `stock/*.wasm`.
include!(concat!(env!("OUT_DIR"), "/stock.rs"));

/// The component of this name.
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    NAMES.iter().position(|known| *known == name).map(|place| BYTES[place])
}

/// The names of all, in order.
pub fn names() -> &'static [&'static str] {
    NAMES
}
