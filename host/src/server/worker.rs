//! Worker threads: each has a runtime, sockets, connections and plugin instances of its own, so nothing on a request's
//! way is shared, locked, or handed to another thread.

use super::{
    Listener,
    gate::Gate,
    listener::{Porter, Reception},
    register::Register,
    socket::Bound,
};
use crate::{
    drain::Live,
    proxy::{Overload, Worker},
    rng::Rng,
    state::Cell,
};
use std::{
    io,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    task::spawn_local,
    time::{Instant, timeout_at},
};

/// How long a worker without traffic goes without a look for plugins that want to tick.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Listeners on their way to a worker; who opens one more waits.
const DOORS_MOST: usize = 16;
/// How long who opens a listener waits for the workers to say that they serve it.
const OPEN_MOST: Duration = Duration::from_secs(1);

/// A listener's socket on one worker.
struct Door {
    socket: Bound,
    porter: Arc<Porter>,
    /// Of the listener, also on the way.
    own: Live,
}

impl Door {
    fn new(socket: Bound, porter: &Arc<Porter>) -> Door {
        Door { socket, porter: porter.clone(), own: porter.enter() }
    }
}

/// One that is opened later, and who wants to know how that went.
type LateDoor = (Door, std::sync::mpsc::Sender<io::Result<()>>);

/// The threads that serve.
#[derive(Debug)]
pub struct Workers {
    opener: Opener,
    /// Dropping one stops its worker.
    stops: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Opens listeners while the workers serve.
#[derive(Clone, Debug)]
pub struct Opener {
    /// By worker.
    doors: Vec<mpsc::Sender<LateDoor>>,
}

impl Opener {
    /// Has the workers serve one more listener, bound for as many of them as there are. Blocking.
    ///
    /// # Errors
    /// One of the workers cannot, and the others do; or somebody took the address, and none does.
    pub fn open(&self, listener: Listener) -> io::Result<()> {
        let (tell, told) = std::sync::mpsc::channel();
        for (doors, socket) in self.doors.iter().zip(listener.sockets.into_workers()?) {
            // An error means that the worker ends, and takes no connection any more.
            let _ = doors.blocking_send((Door::new(socket, &listener.porter), tell.clone()));
        }
        drop(tell);
        let end = Instant::now() + OPEN_MOST;
        loop {
            match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(opened) => opened?,
                // All have said so, or one is so busy that it does it later.
                Err(_) => return Ok(()),
            }
        }
    }
}

/// What one worker is made of, before it is on its thread.
struct Plan {
    index: usize,
    sockets: Vec<Door>,
    doors: mpsc::Receiver<LateDoor>,
    cell: Arc<Cell>,
    overload: Option<Arc<Overload>>,
    epoch: Instant,
    live: Live,
}

impl Workers {
    /// Starts `count` workers, for which the listeners' sockets were bound. When this returns all of them accept. They
    /// hold on to `live` until they were told to drain and their last connection ended. An error means that the system
    /// gives no threads, files or memory.
    pub fn start(
        listeners: Vec<Listener>,
        count: usize,
        cell: &Arc<Cell>,
        overload: Option<Arc<Overload>>,
        epoch: Instant,
        live: &Live,
    ) -> io::Result<Workers> {
        let mut sockets: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for listener in listeners {
            for (of_worker, socket) in sockets.iter_mut().zip(listener.sockets.into_workers()?) {
                of_worker.push(Door::new(socket, &listener.porter));
            }
        }
        let opener = Opener { doors: Vec::new() };
        let mut workers = Workers { opener, stops: Vec::new(), threads: Vec::new() };
        let (ready, readies) = std::sync::mpsc::channel();
        for (index, sockets) in sockets.into_iter().enumerate() {
            let (opens, doors) = mpsc::channel(DOORS_MOST);
            workers.opener.doors.push(opens);
            let (cell, overload, live) = (cell.clone(), overload.clone(), live.clone());
            let plan = Plan { index, sockets, doors, cell, overload, epoch, live };
            let (stop, stopped) = oneshot::channel();
            let ready = ready.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            workers.threads.push(thread.spawn(move || plan.run(ready, stopped))?);
            workers.stops.push(stop);
        }
        drop(ready);
        readies.into_iter().collect::<io::Result<()>>()?;
        Ok(workers)
    }

    /// Opens listeners later.
    pub fn opener(&self) -> Opener {
        self.opener.clone()
    }

    /// Stops them as they are and waits until they have; connections that are left are closed. Blocking.
    pub fn stop(self) {
        drop(self.stops);
        for thread in self.threads {
            // A worker that panicked has stopped too, and said why.
            let _ = thread.join();
        }
    }
}

impl Plan {
    /// The life of a worker thread.
    fn run(self, ready: std::sync::mpsc::Sender<io::Result<()>>, stopped: oneshot::Receiver<()>) {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async move {
            let begun = self.begin();
            let has_begun = begun.is_ok();
            // Who started the workers waits until each of them has said this, or is gone.
            drop(ready.send(begun));
            drop(ready);
            if has_begun {
                // An error is the sender's end, which is the other way to say stop.
                let _ = stopped.await;
            }
        });
    }

    /// Spawns what a worker does; each part ends by itself at a drain, or with the runtime.
    fn begin(self) -> io::Result<()> {
        let worker = Worker::new(self.index, self.cell, self.overload, self.epoch, Rng::from_entropy());
        let register = Rc::new(Register::default());
        let (of_all, live) = (worker.clone(), self.live.clone());
        let receive = move |Door { socket, porter, own }: Door| -> io::Result<()> {
            let gate = Gate::open(socket)?;
            let (worker, register, live) = (of_all.clone(), register.clone(), live.clone());
            spawn_local(Reception { porter, own, worker, register, live }.run(gate));
            Ok(())
        };
        self.sockets.into_iter().try_for_each(&receive)?;
        spawn_local(open_doors(self.doors, self.live.clone(), receive));
        spawn_local(worker.connections().clone().run(self.live));
        spawn_local(keep_current(worker));
        Ok(())
    }
}

/// Takes in listeners that are opened later, until the process drains.
async fn open_doors(mut doors: mpsc::Receiver<LateDoor>, mut live: Live, receive: impl Fn(Door) -> io::Result<()>) {
    loop {
        let door = tokio::select! {
            () = live.draining() => return,
            door = doors.recv() => door,
        };
        let Some((door, tell)) = door else { return };
        // Nobody listens any more where this took long.
        let _ = tell.send(receive(door));
    }
}

/// Takes every new snapshot also when no request comes, so that the old one can retire, lets plugins tick, and tells them
/// what became of their decisions.
async fn keep_current(worker: Rc<Worker>) {
    let mut changes = worker.cell().changes();
    loop {
        let now = Instant::now();
        // Looking at the view takes the snapshot in force.
        let look = now + LOOK_INTERVAL;
        // An instance that is built aside may tick sooner than those that live.
        let next = worker.view().tick(now).map_or(look, |tick| tick.min(look));
        let sooner = async {
            tokio::select! {
                changed = changes.changed() => changed,
                () = worker.bell().notified() => Ok(()),
            }
        };
        if let Ok(Err(_)) = timeout_at(next, sooner).await {
            // The cell is gone: nothing changes any more.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::model,
        drain::Drain,
        route::Table,
        server::{Entrance, Sockets},
        state::Snapshot,
    };
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpStream},
    };

    /// Two workers, two listeners, and no route at all.
    fn start(live: &Live) -> (Workers, Vec<SocketAddr>) {
        let config = model::Listener::new("test", SocketAddr::from(([127, 0, 0, 1], 0)));
        let listeners: Vec<Listener> = (0..2)
            .map(|_| Listener {
                sockets: Sockets::bind(&config, 2).unwrap(),
                porter: Porter::new(Entrance {
                    number: 0,
                    tls: None,
                    timeout: config.timeout,
                    limit: config.head,
                    proxy_protocol: false,
                    policy: Arc::default(),
                }),
            })
            .collect();
        let addresses = listeners.iter().map(|listener| listener.sockets.address().tcp().unwrap()).collect();
        let snapshot = Snapshot {
            revision: 1,
            table: Arc::new(Table::default()),
            routes: [].into(),
            pools: vec![],
            filters: vec![],
            policies: [].into(),
            closing: vec![],
        };
        let workers = Workers::start(listeners, 2, &Cell::new(snapshot), None, Instant::now(), live).unwrap();
        (workers, addresses)
    }

    fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut text = String::new();
        while !text.contains("\r\n\r\nno such route\n") {
            let mut bytes = [0; 1024];
            let read = client.read(&mut bytes).unwrap();
            assert!(read > 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        text
    }

    #[test]
    fn all_workers_serve_all_listeners_and_a_drain_leaves_nothing() {
        let (drain, live) = Drain::new();
        let (workers, addresses) = start(&live);
        drop(live);
        let mut clients: Vec<TcpStream> =
            addresses.iter().cycle().take(40).map(|address| TcpStream::connect(address).unwrap()).collect();
        for client in &mut clients {
            assert!(ask(client).starts_with("HTTP/1.1 404 "));
        }
        assert!(drain.live() >= clients.len());
        drain.start();
        for client in &mut clients {
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "an idle connection is closed");
        }
        drop(clients);
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(runtime.block_on(drain.wait(Duration::from_secs(10))), 0);
        for address in addresses {
            assert!(TcpStream::connect(address).is_err(), "the listener is closed");
        }
        workers.stop();
    }

    #[test]
    fn stopping_closes_what_is_left() {
        let (drain, live) = Drain::new();
        let (workers, addresses) = start(&live);
        drop(live);
        let mut client = TcpStream::connect(addresses[0]).unwrap();
        ask(&mut client);
        workers.stop();
        assert_eq!(drain.live(), 0);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
}
