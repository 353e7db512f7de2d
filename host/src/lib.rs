//! Pointsman: a load balancer whose algorithms are sandboxed WebAssembly components.
//!
//! The rooms, in the order in which a request or a plugin file meets them. Which may use which is drawn in
//! `ARCHITECTURE.md` and guarded by a test.
//!
//! | room | what it does |
//! |---|---|
//! | [`cli`] | commands, and what they print |
//! | [`app`] | wires the rooms from a configuration; start and shutdown |
//! | [`config`] | reads `pointsman.toml` into checked types, or tells all that is wrong with it |
//! | [`server`] | workers, listeners, connections |
//! | [`tls`] | certificates, SNI, handshakes |
//! | [`proxy`] | one request's way, readable as a list |
//! | [`route`] | listener, host and path → route |
//! | [`filter`] | a route's filters, in order |
//! | [`balance`] | a pool's balancer on one worker: the plugin, its checks, the fallback below it |
//! | [`upstream`] | pools, backends, health, connections, the HTTP/1.1 codec |
//! | [`plugin`] | the Wasm runtime: from a file's bytes to an instance that picks |
//! | [`state`] | the snapshot that a request sees, and its only writer |
//! | [`admin`] | the JSON API that the commands talk to |
//! | [`figures`] | live figures of backends, and what is counted, process-wide |
//! | [`sources`] | what each source has open and asks for, process-wide |
//! | [`telemetry`] | the log, the access log and the page of metrics, which stop nobody |
//! | [`problem`] | what is told to a person: code, place, cause, remedy |
//! | `properties` | what must hold for any bytes: for fuzzers and tests alone |
//! | [`net`], [`drain`], [`rng`], [`watch`] | bodies and heads, live work counted, chance, wake-ups from the file system |

pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod config;
pub mod drain;
pub mod figures;
pub mod filter;
pub mod net;
pub mod plugin;
pub mod problem;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod proxy;
pub mod rng;
pub mod route;
pub mod server;
pub mod sources;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod watch;
