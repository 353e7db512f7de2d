//! Harness of the stories in `suites/`: the real program, backends and clients around it, all over real sockets on
//! loopback, on ports that the system chooses.
//!
//! | room | who it plays |
//! |---|---|
//! | [`origin`] | a backend that does what a script says, and remembers what it was asked |
//! | [`process`] | a backend that can be killed and frozen |
//! | [`nginx`] | a backend that somebody else wrote |
//! | [`h2_origin`] | one that speaks HTTP/2 |
//! | [`tls_front`] | TLS in front of such a backend |
//! | [`edge`] | Pointsman in this process, on threads of its own |
//! | [`cli`] | Pointsman as a process of its own: the binary that users run |
//! | [`client`] | somebody who speaks HTTP/1.1, HTTP/2, or bytes that are neither |
//! | [`dns`] | a name server that knows what it is told |
//! | [`load`] | many of them, at a stated rate; they never ask twice |
//! | [`plugins`] | a plugin directory, and whoever writes files into it |
//! | [`guests`] | components to put there: the stock ones, and those that misbehave |
//! | [`relay`] | the network between two of them, when it is not well |
//! | [`certs`] | an authority that the clients trust |
//! | [`judges`] | programs that somebody else wrote, to hold ours against |
//! | [`memory`] | what the system says a process holds |
//! | [`alone`] | a process for a story that looks at its whole process |
//! | [`story`] | patience: waiting for something, with an end |

// A test ends with a panic, and says what it expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod alone;
pub mod certs;
pub mod cli;
pub mod client;
pub mod dns;
pub mod edge;
pub mod guests;
pub mod h2_origin;
pub mod judges;
pub mod load;
pub mod memory;
pub mod nginx;
pub mod origin;
pub mod plugins;
pub mod process;
pub mod relay;
pub mod sockets;
pub mod story;
pub mod tls_front;
