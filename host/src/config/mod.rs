//! Reads `pointsman.toml` into types that cannot express a wrong configuration, or tells all that is wrong with it.

pub mod model;
