//! Those who come to sit on what others need: slow heads, slow bodies, half handshakes, connections that say nothing, answers
//! that are not taken. The program runs as a process of its own, so that its memory can be told. The numbers are those of the
//! acceptance list.

use pointsman::config::model::ByteRate;
use pointsman_tests::{
    certs::Certificate,
    cli::{Room, Running},
    client::{Client, Frames, Heard, Hello, PSEUDO, Raw, StreamEnd, handshake_with},
    edge::{self, Edge},
    memory,
    origin::{Origin, Reply},
    story::{PATIENCE, arrives, eventually},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Bytes.
const MIB: u64 = 1 << 20;
/// Connections that are opened side by side.
const AT_ONCE: usize = 64;

/// The program as users run it, with a plain listener and one with TLS.
struct Fort {
    running: Running,
    plain: SocketAddr,
    tls: SocketAddr,
    _room: Room,
}

impl Fort {
    async fn start(timeout: &str, origin: &Origin) -> Fort {
        let room = Room::new();
        let certificate = Certificate::new(&["shop.test"]);
        room.write("shop.pem", &certificate.chain);
        room.write("shop.key", &certificate.key);
        let configuration = format!(
            "[[listen]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\ntimeout = {timeout}\n\
             [[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\ntimeout = {timeout}\n\
             tls = {{ cert = \"shop.pem\", key = \"shop.key\" }}\n\
             [pool.shop]\nbackends = [\"{}\"]\ntimeout = {{ idle = \"2s\" }}\n\
             [server]\nworkers = 2\n",
            origin.address()
        );
        room.write("pointsman.toml", &configuration);
        let running = room.start(&["run"]);
        let status = room.answers("status").await;
        let address = |index: usize| status["listeners"][index]["address"].as_str().unwrap().parse().unwrap();
        let fort = Fort { running, plain: address(0), tls: address(1), _room: room };
        // What a first request builds is not the attackers'.
        fort.serves().await;
        fort
    }

    /// Others are served as if nothing were.
    async fn serves(&self) {
        assert_eq!(Client::plain(self.plain).await.get("/").await.text(), "a");
        assert_eq!(Client::tls(self.tls).await.get("/").await.text(), "a");
    }

    fn memory(&self) -> u64 {
        memory::resident(self.running.pid())
    }
}

/// Opens so many connections and says this on each.
async fn open(address: SocketAddr, count: usize, say: &'static [u8]) -> Vec<TcpStream> {
    many(count, move || async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(say).await.unwrap();
        stream
    })
    .await
}

/// Does something so many times, a few side by side.
async fn many<T, F>(count: usize, work: impl Fn() -> F + Clone + Send + 'static) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let (mut running, mut done) = (JoinSet::new(), Vec::with_capacity(count));
    for _ in 0..count {
        if running.len() == AT_ONCE {
            done.push(running.join_next().await.unwrap().unwrap());
        }
        let work = work.clone();
        running.spawn(async move { work().await });
    }
    done.extend(running.join_all().await);
    done
}

/// What came on each until the server closed.
async fn ends(streams: Vec<TcpStream>) -> Vec<Vec<u8>> {
    let mut waiting = JoinSet::new();
    for mut stream in streams {
        waiting.spawn(async move {
            let mut heard = Vec::new();
            // A reset is an end too.
            let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("it is ended");
            heard
        });
    }
    waiting.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn case_66_slow_heads_and_slow_bodies_are_ended_and_cost_little() {
    let origin = Origin::named("a");
    let fort = Fort::start("{ head = \"3s\" }", &origin).await;
    let before = fort.memory();
    let heads = open(fort.plain, 1000, b"GET / HTTP/1.1\r\nHost: shop.test\r\nX-Slow: ").await;
    let bodies =
        open(fort.plain, 1000, b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nfirst").await;
    let meanwhile = fort.memory();
    fort.serves().await;
    let grown = meanwhile.saturating_sub(before) / MIB;
    assert!(grown <= 150, "{grown} MiB for 2000 connections");
    for heard in ends(heads).await {
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&heard));
    }
    for heard in ends(bodies).await {
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&heard));
    }
    println!("2000 slow connections: {grown} MiB more");
}

/// A client's body of unknown length, a byte at a time, for so long or until it is answered; the answer's status.
async fn trickled(edge: &Edge, fields: &[(&str, &str)], most: Duration) -> u16 {
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, &[PSEUDO, fields].concat(), false).await;
    let end = Instant::now() + most;
    while Instant::now() < end {
        client.data(1, b"x", false).await;
        match timeout(Duration::from_millis(20), client.end_of(1, PATIENCE)).await {
            Ok(StreamEnd::Answered(status)) => return status,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    client.data(1, b"x", true).await;
    match client.end_of(1, PATIENCE).await {
        StreamEnd::Answered(status) => status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_66_a_body_that_comes_a_byte_at_a_time_is_ended() {
    let origin = Origin::named("a");
    let idle = Duration::from_secs(2);
    let start = |rate: Option<u32>| {
        let edge = edge::tls().listener(|listener| listener.timeout.least_rate = ByteRate(rate));
        edge.pool("shop", &[&origin]).with(|pool| pool.timeout.idle = idle).start()
    };
    let (edge, lenient) = (start(Some(100_000)), start(None));
    // What it says it is changes nothing there.
    let over_h1 = async {
        let mut client = Raw::tls(edge.address()).await;
        client.say(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/grpc\r\n").await;
        client.say(b"Content-Length: 100000\r\n\r\n").await;
        let end = Instant::now() + PATIENCE;
        loop {
            client.say(b"x").await;
            match client.hear_interim(Duration::from_millis(20)).await {
                Heard::Answer(answer) => return answer.status,
                Heard::Silence => assert!(Instant::now() < end, "it goes on for ever"),
                Heard::Closed => panic!("closed without a word"),
            }
        }
    };
    // By their nature streams of gRPC and of Connect say little for long.
    let [grpc, connect] = ["application/grpc", "application/connect+proto"].map(|kind| [("content-type", kind)]);
    let statuses = tokio::join!(
        over_h1,
        trickled(&edge, &[], PATIENCE),
        trickled(&edge, &grpc, 2 * idle),
        trickled(&edge, &connect, 2 * idle),
        trickled(&lenient, &[], 2 * idle)
    );
    assert_eq!(statuses, (408, 408, 200, 200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_67_half_handshakes_are_closed_in_time() {
    let origin = Origin::named("a");
    let fort = Fort::start("{ handshake = \"3s\" }", &origin).await;
    let before = fort.memory();
    // A record's head, and the first bytes of a hello.
    let mut halves = open(fort.tls, 1000, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
    halves.extend(open(fort.tls, 1000, b"").await);
    fort.serves().await;
    let grown = fort.memory().saturating_sub(before) / MIB;
    for heard in ends(halves).await {
        // Nothing, or an alert.
        assert!(heard.is_empty() || heard[0] == 0x15, "{heard:?}");
    }
    assert!(grown <= 150, "{grown} MiB for 2000 half handshakes");
    println!("2000 half handshakes: {grown} MiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_68_thousands_of_idle_connections_cost_little() {
    let origin = Origin::named("a");
    let fort = Fort::start("{ idle = \"60s\" }", &origin).await;
    let count = memory::connections_within_the_file_limit(8000);
    let before = fort.memory();
    // A client that comes back: a full handshake for each would be a test of patience.
    let hello = Arc::new(Hello::custom(
        "shop.test",
        &["http/1.1"],
        &[&rustls::version::TLS13],
        Some(rustls::crypto::aws_lc_rs::kx_group::X25519),
    ));
    let address = fort.tls;
    let begun = Instant::now();
    let idle = many(count, move || {
        let hello = hello.clone();
        async move { handshake_with(address, &hello).await.unwrap().0 }
    })
    .await;
    let grown = fort.memory().saturating_sub(before);
    fort.serves().await;
    let each = grown / count as u64 / 1024;
    println!("{count} idle TLS connections: {} MiB more, {each} KiB each, {:?} to open", grown / MIB, begun.elapsed());
    assert!(grown <= 500 * MIB * count as u64 / 8000, "{} MiB for {count} idle connections", grown / MIB);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_broken_off() {
    const BODY: usize = 64 << 20;
    let origin = Origin::new(|seen| match seen.target.as_str() {
        "/large" => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
            Reply::bytes([head.into_bytes(), vec![b'x'; BODY]].concat())
        }
        _ => Reply::named("a"),
    });
    let fort = Fort::start("{ idle = \"2s\" }", &origin).await;
    let before = fort.memory();
    let stuck = open(fort.plain, 20, b"GET /large HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    eventually("all are asked", async || origin.requests() >= 22).await;
    fort.serves().await;
    let most = arrives("all are given up", async || {
        let grown = fort.memory().saturating_sub(before);
        assert!(grown < 100 * MIB, "{} MiB for 20 answers that nobody takes", grown / MIB);
        (origin.open_requests() == 0).then_some(grown)
    })
    .await;
    println!("20 answers that nobody takes: {} MiB more", most / MIB);
    // What was on its way arrives, and never the whole.
    for heard in ends(stuck).await {
        assert!(heard.len() < BODY, "{}", heard.len());
    }
    let mut next = Raw::plain(fort.plain).await;
    next.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert!(matches!(next.hear(PATIENCE).await, Heard::Answer(answer) if answer.status == 200));
}
