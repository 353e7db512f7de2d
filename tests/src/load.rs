//! Many clients. They send at a stated rate whether or not answers come (an open loop), or so many at once; they keep
//! connections alive, and never ask twice: what was refused, reset or broken off is counted as that.

use crate::{
    client::{self, Client, Heard, Hello, Raw},
    story::PATIENCE,
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

/// Requests under way at once. What is due beyond it waits, and its time counts from when it was due.
const UNDER_WAY_MOST: usize = 2000;

/// How fast they ask.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many requests a second, evenly, whatever comes back.
    PerSecond(u32),
    /// So many clients, each asking again as soon as it was answered.
    Parallel(usize),
}

/// Whom they ask, and for what: `GET /`, unless it says otherwise.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    way: Way,
    request: Request<Full<Bytes>>,
}

#[derive(Clone)]
enum Way {
    Plain,
    Tls(Hello),
    H2,
}

/// What they ask on; kept alive.
enum Connection {
    H1(Raw),
    H2(Client),
}

/// Load that goes on until [`Load::stop`].
pub struct Load {
    going: JoinHandle<()>,
    shared: Arc<Shared>,
    begun: Instant,
}

/// What became of it all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests begun.
    pub sent: u64,
    /// Whole answers, by status.
    pub answered: BTreeMap<u16, u64>,
    /// Whole answers with status 200, by body.
    pub bodies: BTreeMap<String, u64>,
    /// What else happened, by kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// From the first request to the stop.
    pub lasted: Duration,
    /// Of whole answers, from when the request was due, in order.
    pub latencies: Vec<Duration>,
}

struct Shared {
    target: Target,
    stopped: OnceLock<Instant>,
    under_way: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
    report: Mutex<Report>,
}

impl Target {
    /// Plain HTTP.
    pub fn plain(address: SocketAddr) -> Target {
        Target { address, way: Way::Plain, request: client::request(Method::GET, "/") }
    }

    /// TLS, whoever signed the certificate.
    pub fn insecure(address: SocketAddr) -> Target {
        Target { way: Way::Tls(Hello::insecure("localhost")), ..Target::plain(address) }
    }

    /// HTTP/2 over TLS, to `shop.test`.
    pub fn h2(address: SocketAddr) -> Target {
        Target { way: Way::H2, ..Target::plain(address) }
    }

    /// For this path.
    pub fn asking(mut self, path: &str) -> Target {
        *self.request.uri_mut() = path.parse().expect("a path");
        self
    }

    /// With this method, and a body of so many bytes.
    pub fn sending(mut self, method: Method, length: usize) -> Target {
        *self.request.method_mut() = method;
        *self.request.body_mut() = Full::new(vec![b'x'; length].into());
        self
    }
}

impl Load {
    /// Begins.
    pub fn start(target: Target, pace: Pace) -> Load {
        let shared = Arc::new(Shared {
            target,
            stopped: OnceLock::new(),
            under_way: AtomicUsize::new(0),
            idle: Mutex::default(),
            report: Mutex::default(),
        });
        let begun = Instant::now();
        let going = match pace {
            Pace::PerSecond(rate) => tokio::spawn(open_loop(shared.clone(), rate, begun)),
            Pace::Parallel(clients) => tokio::spawn(closed_loop(shared.clone(), clients)),
        };
        Load { going, shared, begun }
    }

    /// What became of it so far.
    pub fn so_far(&self) -> Report {
        self.shared.report.lock().unwrap().clone()
    }

    /// Begins no more requests than were due by now, waits for those under way, and tells what became of all.
    pub async fn stop(self) -> Report {
        let lasted = *self.shared.stopped.get_or_init(Instant::now) - self.begun;
        self.going.await.expect("load does not panic");
        let mut report = self.shared.report.lock().unwrap().clone();
        report.lasted = lasted;
        report.latencies.sort_unstable();
        report
    }
}

impl Report {
    /// Demands that each request was answered with 200, whole.
    ///
    /// # Panics
    /// When one was not, saying what became of it.
    pub fn assert_all_answered(&self) {
        let well = self.answered.get(&200).copied().unwrap_or(0);
        assert!(
            self.sent > 0 && self.sent == well && self.failed.is_empty(),
            "sent {}, answered {:?}, failed {:?}",
            self.sent,
            self.answered,
            self.failed
        );
    }

    /// Whole answers with status 200 since an earlier report, by body.
    pub fn bodies_since(&self, earlier: &Report) -> BTreeMap<String, u64> {
        let before = |body: &str| earlier.bodies.get(body).copied().unwrap_or(0);
        self.bodies.iter().map(|(body, count)| (body.clone(), count - before(body))).collect()
    }

    /// Requests begun each second.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.lasted.as_secs_f64()
    }

    /// Requests that were not answered with 200, whole.
    pub fn failures(&self) -> u64 {
        self.sent - self.answered.get(&200).copied().unwrap_or(0)
    }

    /// The latency that this share of answers did not exceed, such as 0.99.
    ///
    /// # Panics
    /// When nothing was answered.
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().checked_sub(1).expect("some answers");
        self.latencies[(last as f64 * share).round() as usize]
    }
}

async fn open_loop(shared: Arc<Shared>, rate: u32, begun: Instant) {
    let due_at = |number: u32| begun + Duration::from_secs(1) * number / rate;
    let mut requests = JoinSet::new();
    let mut sent = 0_u32;
    loop {
        while requests.try_join_next().is_some() {}
        // On a busy machine some are sent late, and none is left out.
        let end = shared.stopped.get().copied();
        let until = end.unwrap_or_else(Instant::now);
        while due_at(sent) <= until && shared.under_way.load(Relaxed) < UNDER_WAY_MOST {
            shared.under_way.fetch_add(1, Relaxed);
            requests.spawn(ask(shared.clone(), due_at(sent)));
            sent += 1;
        }
        if end.is_some_and(|end| due_at(sent) > end) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    requests.join_all().await;
}

async fn closed_loop(shared: Arc<Shared>, clients: usize) {
    let mut all = JoinSet::new();
    for _ in 0..clients {
        let shared = shared.clone();
        all.spawn(async move {
            while shared.stopped.get().is_none() {
                shared.under_way.fetch_add(1, Relaxed);
                ask(shared.clone(), Instant::now()).await;
            }
        });
    }
    all.join_all().await;
}

/// One request, asked once.
async fn ask(shared: Arc<Shared>, due: Instant) {
    shared.report.lock().unwrap().sent += 1;
    let idle = shared.idle.lock().unwrap().pop();
    let outcome = match idle {
        Some(connection) => exchange(connection, &shared).await,
        None => match connect(&shared.target).await {
            Ok(connection) => exchange(connection, &shared).await,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err("connect refused"),
            Err(_) => Err("connect failed"),
        },
    };
    shared.under_way.fetch_sub(1, Relaxed);
    let mut report = shared.report.lock().unwrap();
    match outcome {
        Ok((status, body)) => {
            *report.answered.entry(status).or_default() += 1;
            if status == 200 {
                *report.bodies.entry(body).or_default() += 1;
            }
            report.latencies.push(due.elapsed());
        }
        Err(kind) => *report.failed.entry(kind).or_default() += 1,
    }
}

async fn connect(target: &Target) -> io::Result<Connection> {
    Ok(match &target.way {
        Way::Plain => Connection::H1(Raw::try_plain(target.address).await?),
        Way::Tls(hello) => Connection::H1(Raw::try_tls_with(target.address, hello).await?),
        Way::H2 => Connection::H2(Client::h2(target.address).await),
    })
}

async fn exchange(connection: Connection, shared: &Shared) -> Result<(u16, String), &'static str> {
    let request = &shared.target.request;
    let (status, body, connection) = match connection {
        Connection::H1(mut raw) => {
            raw.say(&on_the_wire(request).await).await;
            match raw.hear(PATIENCE).await {
                Heard::Answer(answer) if answer.whole => {
                    let goes_on = answer.header("connection").is_none_or(|value| value != "close");
                    (answer.status, answer.body, goes_on.then_some(Connection::H1(raw)))
                }
                Heard::Answer(_) => return Err("broken off"),
                Heard::Closed => return Err("closed or reset"),
                Heard::Silence => return Err("no answer in time"),
            }
        }
        Connection::H2(mut client) => match client.send(request.clone()).await {
            Ok(answer) => {
                let goes_on = !client.is_closed();
                (answer.status.as_u16(), answer.body.to_vec(), goes_on.then_some(Connection::H2(client)))
            }
            Err(failure) if failure.status.is_some() => return Err("broken off"),
            Err(_) => return Err("reset"),
        },
    };
    shared.idle.lock().unwrap().extend(connection);
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The request as HTTP/1.1 writes it.
async fn on_the_wire(request: &Request<Full<Bytes>>) -> Vec<u8> {
    let body = request.body().clone().collect().await.expect("a body in memory").to_bytes();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{} {} HTTP/1.1\r\nHost: shop.test\r\n{length}\r\n", request.method(), request.uri());
    [head.as_bytes(), &body].concat()
}
