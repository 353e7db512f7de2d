//! The sockets of a listener: one for each worker, all on one address, so that the kernel spreads connections over the
//! workers and no worker has to hand one on. A socket file has one socket, from which all workers take.

use super::holder::{self, Holder};
use crate::{
    config::model::Listener,
    net::{Address, SocketFile},
    problem::{Code, Problem},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Weak},
};

/// Connections that wait in a socket's queue to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Sockets on one address.
#[derive(Debug)]
pub struct Sockets {
    address: Address,
    by_worker: Vec<Bound>,
}

/// A socket of one worker.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    /// The file goes with the last worker's.
    Unix(UnixListener, Arc<SocketFile>),
}

impl Sockets {
    /// Listens on the address of this listener. PM0201: it is taken, or is no address of this machine. PM0202: it is
    /// not allowed.
    pub fn bind(listener: &Listener, workers: usize) -> Result<Sockets, Problem> {
        Sockets::bind_on(listener, workers, Ground::Free)
    }

    /// The same, where a listener of ours that goes has some of the address still. Connections go on to that one until
    /// workers get these: this one may never come.
    pub fn bind_beside(listener: &Listener, workers: usize) -> Result<Sockets, Problem> {
        Sockets::bind_on(listener, workers, Ground::Ours)
    }

    fn bind_on(listener: &Listener, workers: usize, ground: Ground) -> Result<Sockets, Problem> {
        let bound = match &listener.address {
            Address::Tcp(address) => bind(*address, workers, ground).map_err(|error| {
                let holder = (error.kind() == ErrorKind::AddrInUse).then(|| holder::of(address.port()));
                problem(*address, &error, holder.flatten())
            }),
            Address::Unix(path) => {
                bind_file(path, listener.mode, workers).map_err(|error| file_problem(&listener.address, &error))
            }
        };
        bound.map_err(|problem| match &listener.spot {
            Some(spot) => problem.at(spot.clone(), "this listener"),
            None => problem,
        })
    }

    /// The socket file, if it is one.
    pub fn file(&self) -> Option<Weak<SocketFile>> {
        self.by_worker.iter().find_map(|bound| match bound {
            Bound::Tcp(_) => None,
            Bound::Unix(_, file) => Some(Arc::downgrade(file)),
        })
    }

    /// Where they listen: port 0 has become a real one.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// One for each worker, all of which listen.
    pub(super) fn into_workers(self) -> io::Result<Vec<Bound>> {
        for bound in &self.by_worker {
            match bound {
                Bound::Tcp(socket) => SockRef::from(socket).listen(BACKLOG)?,
                Bound::Unix(..) => {}
            }
        }
        Ok(self.by_worker)
    }
}

/// Who may be on an address already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// Nobody.
    Free,
    /// We ourselves.
    Ours,
}

fn bind(address: SocketAddr, workers: usize, ground: Ground) -> io::Result<Sockets> {
    // The first socket binds alone, for SO_REUSEPORT would hide that the port is taken by someone who has it set too.
    // Once bound it lets the others in, so the port is never free in between.
    let first = open(address)?;
    first.set_reuse_port(ground == Ground::Ours)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..workers {
        let next = open(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        sockets.push(next);
    }
    // Two that only have an address do not keep each other from it; among ours that is known already.
    if ground == Ground::Free {
        sockets.iter().try_for_each(|socket| socket.listen(BACKLOG))?;
    }
    let by_worker = sockets.into_iter().map(|socket| Bound::Tcp(socket.into())).collect();
    Ok(Sockets { address: address.into(), by_worker })
}

fn bind_file(path: &Arc<Path>, mode: u32, workers: usize) -> io::Result<Sockets> {
    let (listener, file) = SocketFile::listen(path, mode, BACKLOG)?;
    let file = Arc::new(file);
    let another = |_| Ok(Bound::Unix(listener.try_clone()?, file.clone()));
    Ok(Sockets {
        address: Address::Unix(path.clone()),
        by_worker: (0..workers).map(another).collect::<io::Result<_>>()?,
    })
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that linger in TIME_WAIT do not count as taken.
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it, which saves a system call each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn problem(address: SocketAddr, error: &io::Error, holder: Option<Holder>) -> Problem {
    let because = |code, why: &str| Problem::error(code, format!("cannot listen on {address}: {why}"));
    match error.kind() {
        ErrorKind::AddrInUse => {
            let why = match holder {
                Some(holder) => format!("address in use by {holder}"),
                None => "address in use".to_owned(),
            };
            because(Code::ADDRESS_TAKEN, &why).note("stop it, or choose another `address`")
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            because(Code::ADDRESS_DENIED, "ports below 1024 need CAP_NET_BIND_SERVICE").note(
                "systemd socket activation, `setcap cap_net_bind_service=+ep $(which pointsman)`, or use a port from 1024 on",
            )
        }
        ErrorKind::PermissionDenied => because(Code::ADDRESS_DENIED, "permission denied"),
        ErrorKind::AddrNotAvailable => because(Code::ADDRESS_TAKEN, "no interface of this machine has that address"),
        _ => because(Code::ADDRESS_TAKEN, &error.to_string()),
    }
    .detail(error)
}

fn file_problem(address: &Address, error: &io::Error) -> Problem {
    let because = |code, why: &str| Problem::error(code, format!("cannot listen on {address}: {why}"));
    match error.kind() {
        ErrorKind::AddrInUse => {
            because(Code::ADDRESS_TAKEN, "somebody answers there").note("stop it, or choose another `address`")
        }
        ErrorKind::NotFound => because(Code::ADDRESS_TAKEN, "its directory does not exist"),
        ErrorKind::PermissionDenied => because(Code::ADDRESS_DENIED, "permission denied"),
        _ => because(Code::ADDRESS_TAKEN, &error.to_string()),
    }
    .detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, net::TcpStream};

    fn listener(address: SocketAddr) -> Listener {
        Listener::new(address.to_string(), address)
    }

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn all_workers_listen_on_one_port_and_share_the_connections() {
        let sockets = Sockets::bind(&listener(any_port()), 3).unwrap();
        let address = sockets.address().tcp().unwrap();
        assert_ne!(address.port(), 0);
        let clients: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut accepted = HashSet::new();
        for socket in sockets.into_workers().unwrap() {
            let before = accepted.len();
            let Bound::Tcp(socket) = socket else { panic!("a socket of the network") };
            while let Ok((_, peer)) = socket.accept() {
                accepted.insert(peer);
            }
            assert!(accepted.len() > before, "a worker got no connection");
        }
        assert_eq!(accepted.len(), clients.len());
    }

    #[test]
    fn case_73_a_taken_port_is_told_with_who_has_it() {
        // The holder shares its port, as a second instance of this program would find it.
        let first = Sockets::bind(&listener(any_port()), 2).unwrap();
        let problem = Sockets::bind(&listener(first.address().tcp().unwrap()), 2).unwrap_err();
        assert_eq!(problem.code, Code::ADDRESS_TAKEN);
        let start = format!("cannot listen on {}: address in use by ", first.address());
        assert!(problem.headline.starts_with(&start), "{}", problem.headline);
        drop(first);
    }

    #[test]
    fn where_one_of_ours_goes_another_may_come_already() {
        for (one, other) in [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")] {
            let before = Sockets::bind(&listener(format!("{one}:0").parse().unwrap()), 2).unwrap();
            let port = before.address().tcp().unwrap().port();
            let next = listener(format!("{other}:{port}").parse().unwrap());
            assert_eq!(Sockets::bind(&next, 2).unwrap_err().code, Code::ADDRESS_TAKEN, "it is not to go");
            let bound = Sockets::bind_beside(&next, 2).unwrap();
            assert_eq!(bound.address(), &next.address);
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            drop(bound);
            let accepted = before.by_worker.iter().filter_map(|bound| match bound {
                Bound::Tcp(socket) => socket.accept().ok(),
                Bound::Unix(..) => None,
            });
            let peers: Vec<_> = accepted.map(|(_, peer)| peer).collect();
            assert_eq!(peers, [client.local_addr().unwrap()], "it is the other's until it is let go");
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        let address = "192.0.2.1:443".parse().unwrap();
        let foreign = Sockets::bind(&listener(address), 1).unwrap_err();
        assert_eq!(
            (foreign.code, foreign.headline.as_str()),
            (Code::ADDRESS_TAKEN, "cannot listen on 192.0.2.1:443: no interface of this machine has that address")
        );
        let denied = problem(address, &ErrorKind::PermissionDenied.into(), None);
        assert_eq!(
            (denied.code, denied.headline.as_str()),
            (Code::ADDRESS_DENIED, "cannot listen on 192.0.2.1:443: ports below 1024 need CAP_NET_BIND_SERVICE")
        );
    }
}
