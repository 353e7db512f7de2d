//! The stories: the whole program over real sockets. One module for each theme; the harness tells who plays in them.

// A test ends with a panic, and says what it expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// As the binary's, for one story looks at this process's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod access_log;
mod admin;
mod admission;
mod answers;
mod attacks;
mod availability;
mod balance;
mod chains;
mod chaos;
mod cli;
mod client_certificates;
mod codecs;
mod config;
mod directory;
mod docs;
mod drain;
mod examples;
mod explain;
mod feedback;
mod filters;
mod floods;
mod framing;
mod grpc;
mod guest_limits;
mod guests_see;
mod hand_over;
mod harness;
mod headers;
mod health;
mod hotswap;
mod http1;
mod http2;
mod interims;
mod judged;
mod limits;
mod metrics;
mod names;
mod network;
mod prequal;
mod probes;
mod proxy_protocol;
mod reload;
mod reported;
mod retries;
mod rollback;
mod routes;
mod rules;
mod shared;
mod shares;
mod sources;
mod splits;
mod sticky;
mod stock_plugins;
mod tls;
mod unix;
mod upgrades;
mod upstream_h2;
mod upstream_tls;
mod walls;
