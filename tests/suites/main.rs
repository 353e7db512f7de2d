//! The stories: the whole program over real sockets. One module for each theme; see the harness for who plays in them.

// A test ends with a panic, and says what it expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod examples;
mod harness;
mod stock_plugins;
mod walls;
