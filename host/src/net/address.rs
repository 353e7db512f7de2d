//! Where somebody listens: an address of the network, or a socket file.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// The peer of a connection over a socket file: it has no address, and this is nobody's.
pub const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Where somebody listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IP and port.
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(Arc<Path>),
}

impl Address {
    /// The address of the network; none when it is a file.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// What is behind it, in a form that a `host` header and a certificate can have.
    pub fn host(&self) -> String {
        match self {
            Address::Tcp(address) => address.ip().to_string(),
            Address::Unix(_) => "localhost".into(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Address {
        Address::Tcp(address.into())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.into())
    }
}

/// As it is written in the configuration.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
