//! The admin address, bound: a socket that only its user may open, or a loopback port.

use super::{access::Access, directory};
use crate::{
    config::model::AdminAddress,
    problem::{Code, Problem},
};
use std::{
    fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
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

/// A socket file; removed when dropped, unless a successor has put its own there by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Device, inode, and when it last changed, for the number of an inode that is gone is used again.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }

    fn remove(&self) -> io::Result<()> {
        let _guard = directory::lock_for(&self.path)?;
        if identity(&self.path)? == self.identity { fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is there to be told; the next start replaces a dead socket.
        let _ = self.remove();
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino(), there.ctime(), there.ctime_nsec()))
}

/// Binds the admin address. A dead socket file is replaced.
///
/// # Errors
/// PM0201 when somebody answers there, or it cannot be bound.
pub fn bind(address: &AdminAddress) -> Result<Bound, Problem> {
    let (socket, address) = open(address)?;
    let access = Access::new(&address)?;
    Ok(Bound { address, socket, access })
}

/// Whether [`bind`] could have the address; nobody is let in.
///
/// # Errors
/// As there.
pub fn try_bind(address: &AdminAddress) -> Result<(), Problem> {
    open(address).map(drop)
}

fn open(address: &AdminAddress) -> Result<(Socket, AdminAddress), Problem> {
    match address {
        AdminAddress::Unix(path) => bind_unix(path).map(|socket| (socket, address.clone())),
        AdminAddress::Tcp(asked) => bind_tcp(*asked),
    }
    .map_err(|error| cannot_bind(address, &error))
}

fn bind_tcp(asked: SocketAddr) -> io::Result<(Socket, AdminAddress)> {
    let listener = TcpListener::bind(asked)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((Socket::Tcp(listener), AdminAddress::Tcp(bound)))
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    directory::make_for(path)?;
    // Two starts at once must not each take the other's new socket for a dead one.
    let _guard = directory::lock_for(path)?;
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) if is_live(path)? => return Err(ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // Before it listens: nobody gets in while the mode is still the default one.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let file = SocketFile::at(path)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Unix(socket.into(), file))
}

/// Whether somebody listens behind a socket file; one who is too busy to take a call does.
fn is_live(path: &Path) -> io::Result<bool> {
    let caller = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    caller.set_nonblocking(true)?;
    Ok(match caller.connect(&socket2::SockAddr::unix(path)?) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    })
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
    fn who_ends_late_leaves_the_successors_socket_alone() {
        let directory = tempfile::tempdir().unwrap();
        let address = AdminAddress::Unix(directory.path().join("admin.sock"));
        let Socket::Unix(listener, file) = bind(&address).unwrap().socket else { panic!("a unix socket") };
        // It drains: nobody answers behind its socket any more.
        drop(listener);
        let successor = bind(&address).unwrap();
        drop(file);
        assert!(bind(&address).unwrap_err().headline.contains("address in use"));
        drop(successor);
        assert!(!directory.path().join("admin.sock").exists());
    }

    #[test]
    fn of_many_starts_at_once_one_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let address = AdminAddress::Unix(path.clone());
        for _ in 0..20 {
            // A dead one, which each of them would replace.
            let dead = UnixListener::bind(&path).unwrap();
            drop(dead);
            let all_begin = std::sync::Barrier::new(4);
            let start = || {
                all_begin.wait();
                bind(&address)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let starts = [(); 4].map(|()| scope.spawn(start));
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{bound:?}");
        }
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
