//! Workers, listeners, connections: from a socket to requests. HTTP/1.1 is our own, HTTP/2 stands on a library of
//! frames.

mod arrival;
mod connection;
mod date;
mod gate;
mod h1;
mod h2;
mod holder;
mod listener;
mod pulse;
mod register;
mod service;
mod socket;
mod stream;
mod worker;

pub use h1::read_requests;
#[cfg(any(test, fuzzing))]
pub(crate) use h1::written;
pub use listener::{Entrance, Listener, Porter};
pub use socket::Sockets;
pub use worker::{Opener, Workers};
