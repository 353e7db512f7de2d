//! A backend that does what a script says. It speaks HTTP/1.1 byte by byte, so that it can also speak it wrongly, and
//! remembers what it was asked.

mod misbehave;
mod reply;
mod wire;

pub use misbehave::misbehaving;
pub(crate) use misbehave::reply;
pub use reply::{Gate, Reply, Step};
pub use wire::Seen;

use crate::sockets::Place;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// Requests that are kept; more are only counted.
const KEPT_REQUESTS: usize = 20_000;

/// What a backend answers to a request.
type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A backend. It lives in the runtime of the story that started it, and dies with this value.
pub struct Origin {
    place: Place,
    script: Script,
    record: Arc<Record>,
    serving: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    requests: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
    under_way: AtomicU64,
}

impl Origin {
    /// Answers as the script says.
    pub fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
        let origin = Origin::dead(script);
        origin.revive();
        origin
    }

    /// As [`Origin::new`], where another process of ours holds the [`Place`].
    pub fn at(address: SocketAddr, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
        let mut origin = Origin::dead(script);
        origin.place = Place::at(address);
        origin.revive();
        origin
    }

    /// As [`Origin::new`], but nobody listens yet: see [`Origin::revive`].
    pub fn dead(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
        let record = Arc::new(Record::default());
        Origin { place: Place::new(), script: Arc::new(script), record, serving: Mutex::new(None) }
    }

    /// Answers 200 with its name, at once.
    pub fn named(name: &str) -> Origin {
        Origin::slow(name, Duration::ZERO)
    }

    /// Answers 200 with its name, after this long.
    pub fn slow(name: &str, after: Duration) -> Origin {
        let name = name.to_owned();
        Origin::new(move |_| Reply::named(&name).after(after))
    }

    /// Where it listens when it does.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// Stops listening and drops every connection where it is, as a killed process does.
    pub fn kill(&self) {
        if let Some(serving) = self.serving.lock().unwrap().take() {
            serving.abort();
        }
    }

    /// Listens again, at the same address.
    pub fn revive(&self) {
        let listener = self.place.listen();
        let serving = tokio::spawn(serve(listener, self.script.clone(), self.record.clone()));
        if let Some(old) = self.serving.lock().unwrap().replace(serving.abort_handle()) {
            old.abort();
        }
    }

    /// Requests whose head arrived.
    pub fn requests(&self) -> u64 {
        self.record.requests.load(Relaxed)
    }

    /// Connections accepted, health checks among them.
    pub fn connections(&self) -> u64 {
        self.record.connections.load(Relaxed)
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> u64 {
        self.record.open.load(Relaxed)
    }

    /// Requests whose head arrived, and whose answer is not sent yet.
    pub fn open_requests(&self) -> u64 {
        self.record.under_way.load(Relaxed)
    }

    /// What it was asked, oldest first, as much of it as has arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().unwrap().clone()
    }

    /// The only request it was asked.
    ///
    /// # Panics
    /// When it was asked another number of times.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request expected: {seen:#?}");
        seen.into_iter().next().unwrap()
    }

    /// Forgets what it was asked, so that the next part of a story counts from nought.
    pub fn forget(&self) {
        self.record.seen.lock().unwrap().clear();
        self.record.requests.store(0, Relaxed);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How many requests each had, by position.
pub fn spread(origins: &[&Origin]) -> Vec<u64> {
    origins.iter().map(|origin| origin.requests()).collect()
}

/// Three named `a`, `b` and `c` that answer at once.
pub fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

async fn serve(listener: TcpListener, script: Script, record: Arc<Record>) {
    // Dropped with this future: then every connection ends where it is.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = record.connections.fetch_add(1, Relaxed);
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(stream, number, script.clone(), record.clone()));
    }
}

/// One connection, until either side has enough.
async fn converse(stream: TcpStream, number: u64, script: Script, record: Arc<Record>) {
    let _ = stream.set_nodelay(true);
    let _open = Counted::new(&record.open);
    let mut stream = BufReader::new(stream);
    while let Some(mut seen) = wire::read_head(&mut stream, number).await {
        record.requests.fetch_add(1, Relaxed);
        let _under_way = Counted::new(&record.under_way);
        let kept = record.keep(&seen);
        // What arrives of the body is visible at once: stories watch it stream.
        let whole = wire::read_body(&mut stream, &mut seen, |seen| record.update(kept, seen)).await;
        if !whole || !reply::send(&script(&seen), &mut stream).await {
            return;
        }
    }
}

impl Record {
    fn keep(&self, seen: &Seen) -> Option<usize> {
        let mut all = self.seen.lock().unwrap();
        (all.len() < KEPT_REQUESTS).then(|| {
            all.push(seen.clone());
            all.len() - 1
        })
    }

    fn update(&self, kept: Option<usize>, seen: &Seen) {
        let mut all = self.seen.lock().unwrap();
        // Missing after `forget`.
        if let Some(slot) = kept.and_then(|kept| all.get_mut(kept)) {
            slot.clone_from(seen);
        }
    }
}

/// Counts as one until it is dropped.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// How often each body was answered, for counting which backend answered.
pub fn tally(bodies: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for body in bodies {
        *tally.entry(body).or_default() += 1;
    }
    tally
}
