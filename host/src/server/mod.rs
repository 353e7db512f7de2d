//! Workers, listeners, connections: from a socket to requests. HTTP/1.1 is our own, HTTP/2 hyper's.

mod connection;
mod gate;
mod h1;
mod holder;
mod listener;
mod pulse;
mod register;
mod service;
mod socket;
mod stream;
mod worker;

pub use listener::Listener;
pub use socket::Sockets;
pub use worker::Workers;
