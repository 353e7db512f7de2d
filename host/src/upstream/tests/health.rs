//! Backends that go and come back.

use super::*;
use crate::{drain::Drain, figures::Standing, upstream::health};
use std::{
    io::{self, Write},
    sync::{Mutex, OnceLock},
};
use tokio::{net::TcpSocket, sync::Semaphore};

/// A port that nobody else gets, where somebody listens or does not.
struct Place {
    /// Bound, and never listening.
    held: TcpSocket,
}

impl Place {
    fn new() -> Place {
        Place { held: Place::bound("127.0.0.1:0".parse().unwrap()) }
    }

    fn address(&self) -> SocketAddr {
        self.held.local_addr().unwrap()
    }

    /// Listens until dropped; the system accepts.
    fn open(&self) -> TcpListener {
        Place::bound(self.address()).listen(16).unwrap()
    }

    fn bound(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }
}

fn fast() -> model::Health {
    model::Health { interval: Duration::from_millis(20), ..model::Health::default() }
}

fn stands(pool: &Pool) -> Vec<Standing> {
    pool.backends.iter().map(|b| b.standing()).collect()
}

#[tokio::test]
async fn the_first_round_tells_who_is_ready() {
    let (here, gone) = (Place::new(), Place::new());
    let _listener = here.open();
    let pool = pool("shop", &[here.address(), gone.address()], fast(), Default::default());
    assert_eq!(stands(&pool), [Standing::Warming, Standing::Warming]);
    let version = pool.version();
    within(health::first_round(std::slice::from_ref(&pool), PATIENCE)).await;
    assert_eq!(stands(&pool), [Standing::Ready, Standing::Unhealthy]);
    assert!(pool.backends[0].account().last_check.starts_with("connect "), "{}", pool.backends[0].account().last_check);
    assert_eq!(pool.backends[1].account().last_check, "connection refused");
    assert!(pool.version() > version);
}

#[tokio::test]
async fn a_path_must_be_answered_with_a_good_status() {
    for (status, well, said) in [
        ("200 OK", true, "GET /healthz: 200 in "),
        ("302 Found", true, "GET /healthz: 302 in "),
        ("404 Not Found", false, "GET /healthz: 404"),
        ("503 Service Unavailable", false, "GET /healthz: 503"),
        ("2x0 What", false, "GET /healthz: bad answer: its status is not a number from 100 to 999"),
    ] {
        let (told, mut requests) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::new(move |mut stream, _| {
            let told = told.clone();
            async move {
                told.send(read_request(&mut stream).await.unwrap()).unwrap();
                let answer = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let health = model::Health { check: model::HealthCheck::get("/healthz"), ..fast() };
        let pool = pool("shop", &[origin.address], health, Default::default());
        within(health::first_round(std::slice::from_ref(&pool), PATIENCE)).await;
        let backend = &pool.backends[0];
        assert_eq!(backend.is_ready(), well, "{status}");
        assert!(backend.account().last_check.starts_with(said), "{status}: {}", backend.account().last_check);
        let request = requests.recv().await.unwrap();
        assert!(request.starts_with(&format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n", origin.address)), "{request}");
    }
}

/// All lines logged on this thread while the guard lives.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn captured() -> (tracing::subscriber::DefaultGuard, Lines) {
        let lines = Lines::default();
        let writer = lines.clone();
        // With one subscriber alone, whether a line is of interest is asked once and of the thread that happens to be first.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing_subscriber::fmt().with_writer(io::sink).into());
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        (tracing::subscriber::set_default(subscriber), lines)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As many as the only pool has.
fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(health::share(1)))
}

#[tokio::test]
async fn a_backend_goes_out_and_comes_back_and_is_logged_once() {
    let (_guard, lines) = Lines::captured();
    let (one, two) = (Place::new(), Origin::answering("", Last::Stay).await);
    let listener = one.open();
    let pool = pool("cart", &[one.address(), two.address], fast(), Default::default());
    let (drain, live) = Drain::new();
    let run = health::run(pool.clone(), turns(), health::probe_connections(), live);
    let story = async {
        eventually("both ready", || stands(&pool) == [Standing::Ready, Standing::Ready]).await;
        drop(listener);
        eventually("one out", || stands(&pool) == [Standing::Unhealthy, Standing::Ready]).await;
        // Ten more rounds say nothing new.
        let (said, checks) = (pool.version(), two.accepted());
        eventually("ten rounds", || two.accepted() >= checks + 10).await;
        assert_eq!(pool.version(), said);
        let _listener = one.open();
        eventually("back", || stands(&pool) == [Standing::Ready, Standing::Ready]).await;
        drain.start();
    };
    within(async { tokio::join!(run, story) }).await;
    let lines = lines.text();
    assert_eq!(lines.matches("of pool cart is out: connection refused").count(), 1, "{lines}");
    assert_eq!(lines.matches("of pool cart is back: connect ").count(), 1, "{lines}");
    assert!(!lines.contains("PM0501"), "{lines}");
}

#[tokio::test]
async fn case_56_a_pool_without_a_ready_backend_is_told_once_and_its_recovery_too() {
    let (_guard, lines) = Lines::captured();
    let places = [Place::new(), Place::new()];
    let addresses = [places[0].address(), places[1].address()];
    let pool = pool("cart", &addresses, fast(), Default::default());
    within(health::first_round(std::slice::from_ref(&pool), PATIENCE)).await;
    let (drain, live) = Drain::new();
    let run = health::run(pool.clone(), turns(), health::probe_connections(), live);
    let story = async {
        eventually("told", || lines.text().contains("PM0501")).await;
        let _listener = places[1].open();
        eventually("back", || stands(&pool) == [Standing::Unhealthy, Standing::Ready]).await;
        drain.start();
    };
    within(async { tokio::join!(run, story) }).await;
    let lines = lines.text();
    let told = "pool cart: 0 of 2 backends ready (2 refused; longest down 0 s)";
    assert_eq!(lines.matches(told).count(), 1, "{lines}");
    assert_eq!(lines.matches("pool cart: 1 of 2 backends ready again").count(), 1, "{lines}");
}

#[tokio::test]
async fn checks_do_not_run_all_at_once() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (open.clone(), most.clone());
    let origin = Origin::new(move |mut stream, _| {
        let (open, most) = counts.clone();
        async move {
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            // Never answers; the check closes when its time is up.
            while stream.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {}
            open.fetch_sub(1, SeqCst);
        }
    })
    .await;
    let health = model::Health { check: model::HealthCheck::get("/"), ..fast() };
    let pool = pool("shop", &[origin.address; 600], health, Default::default());
    within(health::first_round(std::slice::from_ref(&pool), PATIENCE)).await;
    assert_eq!(stands(&pool), [Standing::Unhealthy; 600]);
    // What was closed here may not have been seen closed there yet.
    assert!(most.load(SeqCst) < 200, "{most:?}");
}

#[tokio::test]
async fn a_pool_of_backends_that_never_answer_holds_up_no_other() {
    let silent =
        Origin::new(|mut stream, _| async move { while stream.read(&mut [0; 256]).await.is_ok_and(|n| n > 0) {} })
            .await;
    let place = Place::new();
    let _listener = place.open();
    let asked = model::Health { check: model::HealthCheck::get("/"), ..fast() };
    let lost = pool("lost", &[silent.address; 600], asked, Default::default());
    let well = pool("well", &[place.address()], fast(), Default::default());
    let pools = [lost.clone(), well.clone()];
    let round = tokio::spawn(async move { health::first_round(&pools, PATIENCE).await });
    eventually("the other pool is checked", || stands(&well) == [Standing::Ready]).await;
    assert_eq!(stands(&lost), [Standing::Warming; 600], "before the first of these ran out of time");
    round.abort();
}
