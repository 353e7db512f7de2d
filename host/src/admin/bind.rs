//! The admin address, bound: a socket that only its user may open, or a loopback port.

use super::access::Access;
use crate::{
    config::model::AdminAddress,
    problem::{Code, Problem},
};
use std::{
    fs,
    io::{self, ErrorKind},
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Connections that wait to be taken.
const BACKLOG: i32 = 64;

/// A bound admin address.
#[derive(Debug)]
pub struct Bound {
    pub(super) address: AdminAddress,
    pub(super) socket: Socket,
    pub(super) access: Access,
}

#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

/// A socket file; removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is there to be told; the next start replaces a dead socket.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds the admin address. A dead socket file is replaced.
///
/// # Errors
/// PM0201 when somebody answers there, or it cannot be bound.
pub fn bind(address: &AdminAddress) -> Result<Bound, Problem> {
    let (socket, bound) = match address {
        AdminAddress::Unix(path) => bind_unix(path).map(|socket| (socket, address.clone())),
        AdminAddress::Tcp(asked) => bind_tcp(*asked),
    }
    .map_err(|error| cannot_bind(address, &error))?;
    let access = Access::new(&bound)?;
    Ok(Bound { address: bound, socket, access })
}

fn bind_tcp(asked: std::net::SocketAddr) -> io::Result<(Socket, AdminAddress)> {
    let listener = TcpListener::bind(asked)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((Socket::Tcp(listener), AdminAddress::Tcp(bound)))
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    if let Some(directory) = path.parent() {
        private_directory(directory)?;
    }
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Before it listens: nobody gets in while the mode is still the default one.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Unix(socket.into(), file))
}

fn cannot_bind(address: &AdminAddress, error: &io::Error) -> Problem {
    let (why, remedy) = match error.kind() {
        ErrorKind::AddrInUse => {
            ("address in use".into(), "another Pointsman answers there: stop it, or choose another")
        }
        _ => (error.to_string(), "choose another"),
    };
    Problem::error(Code::ADDRESS_TAKEN, format!("cannot listen on admin address {address}: {why}"))
        .note(format!("{remedy} `address` under [admin]"))
}

/// Makes a directory that only its user may enter, unless there is one.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/admin.sock");
        let address = AdminAddress::Unix(path.clone());
        let first = bind(&address).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind(&address).unwrap_err().headline.contains("address in use"));
        let Socket::Unix(listener, file) = first.socket else { panic!("a unix socket") };
        drop(listener);
        // Its process died without removing it.
        std::mem::forget(file);
        bind(&address).unwrap();
        assert!(!path.exists(), "removed when dropped");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(bind(&AdminAddress::Unix(path.clone())).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }
}
