//! Workers, listeners, connections: from a socket to requests. The only room on a request's way that names hyper.

mod connection;
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
