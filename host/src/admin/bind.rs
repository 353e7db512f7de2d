//! The admin address, bound: a socket that only its user may open, or a loopback port.

use super::{access::Access, directory};
use crate::{
    config::model::AdminAddress,
    net::SocketFile,
    problem::{Code, Problem},
};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
};

/// Connections that wait to be taken.
const BACKLOG: i32 = 64;

/// A bound admin address.
#[derive(Debug)]
pub struct Bound {
    pub(super) address: AdminAddress,
    pub(super) socket: Socket,
    pub(super) access: Access,
    pub(super) metrics: Option<TcpListener>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener),
}

/// Binds the admin address, and that of the metrics. A dead socket file is replaced.
///
/// # Errors
/// PM0201 for each where somebody answers, or that cannot be bound.
pub fn bind(address: &AdminAddress, metrics: Option<SocketAddr>) -> Result<Bound, Vec<Problem>> {
    let metrics = metrics.map(open_metrics).transpose();
    let opened = open(address).and_then(|(socket, address)| Ok((socket, Access::new(&address)?, address)));
    match (opened, metrics) {
        (Ok((socket, access, address)), Ok(metrics)) => Ok(Bound { address, socket, access, metrics }),
        (opened, metrics) => Err(opened.err().into_iter().chain(metrics.err()).collect()),
    }
}

/// Whether [`bind`] could have the address; nobody is let in.
///
/// # Errors
/// As there.
pub fn try_bind(address: &AdminAddress) -> Result<(), Problem> {
    open(address).map(drop)
}

/// Whether [`bind`] could have this address for metrics.
///
/// # Errors
/// As there.
pub fn try_bind_metrics(address: SocketAddr) -> Result<(), Problem> {
    open_metrics(address).map(drop)
}

fn open_metrics(address: SocketAddr) -> Result<TcpListener, Problem> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        Problem::error(Code::ADDRESS_TAKEN, format!("cannot listen on {address} for metrics: {error}"))
            .note("choose another `metrics` under [admin]")
    })
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
    let (listener, file) = SocketFile::listen(path, 0o600, BACKLOG)?;
    Ok(Socket::Unix(listener, file))
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
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/admin.sock");
        let address = AdminAddress::Unix(path.clone());
        let first = bind(&address, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(bind(&address, None).unwrap_err()[0].headline.contains("address in use"));
        let Socket::Unix(listener, file) = first.socket else { panic!("a unix socket") };
        drop(listener);
        // Its process died without removing it.
        std::mem::forget(file);
        bind(&address, None).unwrap();
        assert!(!path.exists(), "removed when dropped");
    }

    #[test]
    fn who_ends_late_leaves_the_successors_socket_alone() {
        let directory = tempfile::tempdir().unwrap();
        let address = AdminAddress::Unix(directory.path().join("admin.sock"));
        let Socket::Unix(listener, file) = bind(&address, None).unwrap().socket else { panic!("a unix socket") };
        // It drains: nobody answers behind its socket any more.
        drop(listener);
        let successor = bind(&address, None).unwrap();
        drop(file);
        assert!(bind(&address, None).unwrap_err()[0].headline.contains("address in use"));
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
                bind(&address, None)
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
        assert!(bind(&AdminAddress::Unix(path.clone()), None).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }
}
