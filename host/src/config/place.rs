//! Where the admin API is found when nobody says otherwise.

use super::model::AdminAddress;
use std::{
    env, fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// What a socket's address holds on Linux, less the zero at its end.
pub(super) const SOCKET_PATH_MOST: usize = 107;

/// The socket that `run` and `try` take and the commands look for.
pub fn default_admin() -> AdminAddress {
    AdminAddress::Unix(runtime_directory().join("admin.sock"))
}

/// `$XDG_RUNTIME_DIR/pointsman`; where that is unset `/run/pointsman` for root, `pointsman-UID` in the temporary directory
/// for others.
pub fn runtime_directory() -> PathBuf {
    let given = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|directory| directory.is_absolute());
    let uid = rustix::process::getuid();
    match given {
        Some(directory) => directory.join("pointsman"),
        None if uid.is_root() => PathBuf::from("/run/pointsman"),
        None => env::temp_dir().join(format!("pointsman-{}", uid.as_raw())),
    }
}

/// The file whose content a changing call over TCP must show. Each port has its own: one user may run several.
pub fn token_file(address: SocketAddr) -> PathBuf {
    runtime_directory().join(format!("admin-{}.token", address.port()))
}

impl AdminAddress {
    /// `unix:PATH`, or `IP:PORT` or `localhost:PORT` of this machine's loopback. The error says what is expected.
    pub fn parse(text: &str) -> Result<AdminAddress, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = (1..=SOCKET_PATH_MOST).contains(&path.len()) && !path.contains('\0');
            let wrong = || format!("expected unix:PATH with a path of 1 to {SOCKET_PATH_MOST} bytes");
            return fits.then(|| AdminAddress::Unix(path.into())).ok_or_else(wrong);
        }
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok(),
            None => text.parse().ok(),
        };
        match address {
            Some(address) if address.ip().is_loopback() => Ok(AdminAddress::Tcp(address)),
            Some(_) => Err("the admin API listens on loopback addresses only, such as 127.0.0.1:9000".into()),
            None => Err("expected unix:PATH, or a loopback address such as 127.0.0.1:9000".into()),
        }
    }
}

/// As it is written behind `--admin`.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            AdminAddress::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_addresses_are_sockets_or_loopback_and_print_as_they_are_written() {
        for text in ["unix:/run/x.sock", "unix:relative.sock", "127.0.0.1:9000", "127.3.2.1:1", "[::1]:9000"] {
            assert_eq!(AdminAddress::parse(text).map(|address| address.to_string()), Ok(text.into()));
        }
        assert_eq!(AdminAddress::parse("localhost:9000"), AdminAddress::parse("127.0.0.1:9000"));
        let long = format!("unix:/{}", "x".repeat(SOCKET_PATH_MOST));
        for text in ["", "unix:", &long, "0.0.0.0:9000", "10.0.0.1:9000", "127.0.0.1", ":9000", "example.com:1"] {
            assert!(AdminAddress::parse(text).is_err(), "{text}");
        }
    }
}
