//! HTTP/2 to backends: one connection for many requests, the backend's limits kept, its goodbyes understood, and nothing
//! that breaks off looks whole.

use crate::upgrades;
use bytes::Bytes;
use h2::Reason;
use http::{Method, Request};
use pointsman::config::model::{BackendTls, HealthCheck, Protocol, Roots};
use pointsman_tests::{
    certs::{self, Certificate},
    client::{self, Client, Raw},
    edge::{self, Builder},
    h2_origin::{Act, H2Origin},
    origin::{Origin, Reply},
    relay::{Relay, Weather},
    story::{PATIENCE, eventually, within},
    tls_front::{Shows, TlsFront},
};
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// One worker, so that what is shared shows.
fn to(backends: &[&dyn edge::Backend]) -> Builder {
    edge::tls().workers(1).pool("shop", backends).with(|pool| pool.protocol = Protocol::Http2)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection() {
    let origin = H2Origin::new(100, |head| Act::says(head.uri.path())).await;
    let edge = to(&[&origin]).start();
    for mut client in [Client::h2(edge.address()).await, Client::tls(edge.address()).await] {
        for number in 0..20 {
            assert_eq!(client.get(&format!("/{number}")).await.text(), format!("/{number}"));
        }
        assert_eq!(client.send(client::request(Method::HEAD, "/")).await.unwrap().text(), "");
    }
    assert_eq!(origin.used_connections(), 1);
    let head = origin.asked()[0].head.clone();
    assert_eq!(head.uri.to_string(), "http://shop.test/0");
    for absent in ["host", "connection", "transfer-encoding"] {
        assert!(!head.headers.contains_key(absent), "{absent}: {head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_both_ways_whole_and_lengths_are_told() {
    let origin = H2Origin::new(100, |_| Act::Echo).await;
    let edge = to(&[&origin]).start();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 13 % 251) as u8).collect();
    for mut client in [Client::h2(edge.address()).await, Client::tls(edge.address()).await] {
        let answer = client.send(client::body("/up", sent.clone())).await.unwrap();
        assert!(answer.body == sent);
    }
    for asked in origin.asked() {
        assert!(asked.whole && asked.body == sent);
        assert_eq!(asked.head.headers["content-length"], "3000000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_decides_and_what_was_demanded_is_held_to() {
    let (one, two) = (Origin::named("h1"), H2Origin::new(100, |_| Act::says("h2")).await);
    let certificate = Certificate::new(&["127.0.0.1"]);
    let front = async |behind, protocols| {
        TlsFront::of(behind, Shows { certificate: &certificate, protocols, asks: false }).await
    };
    let h1 = front(one.address(), &["http/1.1"]).await;
    let h2 = front(two.address(), &["h2", "http/1.1"]).await;
    let mute = front(one.address(), &[]).await;
    for (front, protocol, expected) in [
        (&h1, Protocol::Auto, Some("h1")),
        (&h2, Protocol::Auto, Some("h2")),
        (&mute, Protocol::Auto, Some("h1")),
        (&h2, Protocol::Http2, Some("h2")),
        (&mute, Protocol::Http2, None),
        (&h1, Protocol::Http2, None),
        (&mute, Protocol::Http1, Some("h1")),
    ] {
        let edge = to(&[front])
            .with(|pool| {
                pool.tls = Some(believing());
                pool.protocol = protocol;
            })
            .start();
        let mut client = Client::h2(edge.address()).await;
        for _ in 0..3 {
            let answer = client.get("/").await;
            match expected {
                Some(expected) => assert_eq!(answer.text(), expected, "{protocol:?}"),
                None => assert!(matches!(answer.status.as_u16(), 502 | 503), "{protocol:?}: {}", answer.status),
            }
        }
    }
    assert!(h1.handshakes() > 0 && two.asked()[0].head.uri.scheme_str() == Some("https"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backends_stream_limit_is_kept_and_the_others_wait() {
    let slow = || Act::Answer("ok".into(), &[], Duration::from_millis(30));
    let origin = H2Origin::new(2, move |_| slow()).await;
    let edge = to(&[&origin]).with(|pool| pool.timeout.connect = PATIENCE).start();
    let client = Client::h2(edge.address()).await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..40 {
        let mut client = client.another();
        requests.spawn(async move { client.get(&format!("/{number}")).await.status });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(origin.asked().len(), 40);
    assert!(origin.used_connections() <= 4 && origin.most_open() <= 8, "{} open", origin.most_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_in_time_is_told_so() {
    let origin = H2Origin::new(1, |_| Act::Silence).await;
    let edge = to(&[&origin]).with(|pool| pool.timeout.connect = Duration::from_millis(200)).start();
    let client = Client::h2(edge.address()).await;
    // All places on all connections.
    let mut hanging = tokio::task::JoinSet::new();
    for open in 1..=4 {
        let mut client = client.another();
        hanging.spawn(async move { client.open(client::request(Method::GET, "/")).await.is_ok() });
        eventually("it hangs", async || origin.open() == open).await;
    }
    let refused = client.another().get("/").await;
    assert_eq!((refused.status.as_u16(), refused.header("pointsman-error")), (503, Some("PM0502")));
    // Who leaves makes room.
    hanging.abort_all();
    eventually("they are reset", async || origin.open() == 0).await;
    let mut client = client.another();
    let again = tokio::spawn(async move { client.open(client::request(Method::GET, "/")).await.is_ok() });
    eventually("it came through", async || origin.open() == 1).await;
    again.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_away_again_and_again_loses_no_request() {
    let origin = H2Origin::new(100, |_| Act::Answer("ok".into(), &[], Duration::from_millis(2))).await;
    let edge = to(&[&origin]).start();
    let client = Client::h2(edge.address()).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = client.another();
        // A request with a body that is no more than a head.
        requests.spawn(async move {
            let mut failed = Vec::new();
            for _ in 0..100 {
                let answer = client.send(client::request(Method::POST, "/")).await.unwrap();
                failed.extend((answer.status != 200).then(|| answer.text()));
            }
            failed
        });
    }
    while origin.asked().len() < 390 {
        origin.goes_away();
        tokio::task::yield_now().await;
        let before = origin.asked().len();
        eventually("more were answered", async || origin.asked().len() > before + 4 || origin.asked().len() >= 390)
            .await;
    }
    while let Some(failed) = requests.join_next().await {
        assert_eq!(failed.unwrap(), Vec::<String>::new());
    }
    assert_eq!(origin.asked().len(), 400, "none came twice");
    assert!(origin.used_connections() > 5, "{}", origin.used_connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_goodbye_the_next_in_the_line_connects() {
    let origin = H2Origin::new(1, |head| if head.uri.path() == "/hang" { Act::Silence } else { Act::says("ok") }).await;
    let edge = to(&[&origin]).with(|pool| pool.timeout.connect = PATIENCE).start();
    let client = Client::h2(edge.address()).await;
    let mut hanging = tokio::task::JoinSet::new();
    for open in 1..=4 {
        let mut client = client.another();
        hanging.spawn(async move { client.open(client::request(Method::GET, "/hang")).await.is_ok() });
        eventually("it hangs", async || origin.open() == open).await;
    }
    let mut next = client.another();
    let next = tokio::spawn(async move { next.get("/").await });
    eventually("it is in the line", async || edge.pool("shop").backends[0].in_flight == 5).await;
    origin.goes_away();
    assert_eq!(next.await.unwrap().text(), "ok");
    assert_eq!(origin.open(), 4, "nobody left");
}

/// Downloads at a time from the backend below.
const DOWNLOADS: usize = 100;
/// How often so many are given up.
const ROUNDS: usize = 4;

/// A backend in plain frames. A request without a body is a download, of which a few pieces come after it was given up, as
/// those do that are on their way; one with a body is answered when all downloads were given up.
#[derive(Clone, Default)]
struct Downloads {
    connections: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

impl Downloads {
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let downloads = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let downloads = downloads.clone();
                tokio::spawn(async move { downloads.serve(stream).await });
            }
        });
        address
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.read_exact(&mut [0; 24]).await?;
        self.connections.fetch_add(1, Relaxed);
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await?;
        let (mut waiting, mut begun) = (Vec::new(), HashSet::new());
        loop {
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).await?;
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await?;
            let (flags, id) = (frame[4], [frame[5], frame[6], frame[7], frame[8]]);
            match frame[3] {
                1 if flags & 1 == 0 => {
                    waiting.push(id);
                    self.waiting.fetch_add(1, Relaxed);
                }
                1 => {
                    begun.insert(id);
                    stream.write_all(&[b"\0\0\x01\x01\x04", &id[..], b"\x88"].concat()).await?;
                }
                3 if begun.remove(&id) => {
                    stream.write_all(&[b"\0\0\x01\0\0", &id[..], b"x"].concat().repeat(12)).await?;
                    self.given_up.fetch_add(1, Relaxed);
                }
                4 if flags == 0 => stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").await?,
                _ => {}
            }
            if self.given_up.load(Relaxed) == ROUNDS * DOWNLOADS {
                for id in waiting.drain(..) {
                    stream.write_all(&[b"\0\0\x01\x01\x05", &id[..], b"\x89"].concat()).await?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_their_downloads_up_end_nobody_elses_request() {
    let backend = Downloads::default();
    let address = backend.listen().await;
    let edge = to(&[&address]).start();
    let bystanders = Client::h2(edge.address()).await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 1..=6 {
        let mut client = bystanders.another();
        waiting.spawn(async move { client.send(client::body("/", "asked")).await.unwrap().status.as_u16() });
        eventually("it waits", async || backend.waiting.load(Relaxed) == number).await;
    }
    for round in 1..=ROUNDS {
        let client = Client::h2(edge.address()).await;
        let mut downloads = tokio::task::JoinSet::new();
        for _ in 0..DOWNLOADS {
            let mut client = client.another();
            downloads.spawn(async move { client.open(client::request(Method::GET, "/")).await.unwrap() });
        }
        let begun = downloads.join_all().await;
        assert!(begun.iter().all(|download| download.status() == 200));
        drop((client, begun));
        let given_up = || backend.given_up.load(Relaxed);
        eventually("all are given up, or the connection has ended", async || {
            given_up() == round * DOWNLOADS || waiting.try_join_next().is_some()
        })
        .await;
    }
    assert_eq!(waiting.join_all().await, [204; 6]);
    assert_eq!((backend.connections.load(Relaxed), edge.pool("shop").backends[0].failures), (1, 0));
}

/// A backend in plain frames. Of the first two requests on its first connection it takes one, and says so; later ones it
/// answers at once. Its answers are 204.
async fn takes_one_of_two() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let spoken = Arc::new(AtomicUsize::new(0));
    let connections = spoken.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(frames(stream, connections.clone()));
        }
    });
    (address, spoken)
}

async fn frames(mut stream: TcpStream, connections: Arc<AtomicUsize>) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    let is_first = connections.fetch_add(1, Relaxed) == 0;
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await?;
    let mut streams = Vec::new();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await?;
        match frame[3] {
            1 => streams.push(frame[8]),
            4 if frame[4] == 0 => stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").await?,
            _ => {}
        }
        if frame[3] == 1 && is_first && streams.len() == 2 {
            stream.write_all(&[b"\0\0\x08\x07\0\0\0\0\0\0\0\0", &streams[..1], b"\0\0\0\0"].concat()).await?;
            streams.truncate(1);
        }
        if !streams.is_empty() && (!is_first || frame[3] == 1 && frame[8] > streams[0]) {
            let last = streams.pop().unwrap_or_default();
            stream.write_all(&[b"\0\0\x01\x01\x05\0\0\0", &[last][..], b"\x89"].concat()).await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_goodbye_does_not_cover_is_sent_again_whatever_it_is() {
    let (address, spoken) = takes_one_of_two().await;
    let other = H2Origin::new(100, |_| Act::says("other")).await;
    let edge = to(&[&address, &other]).start();
    let client = Client::h2(edge.address()).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = client.another();
        requests.spawn(async move { client.send(client::request(Method::POST, "/")).await.unwrap().status.as_u16() });
    }
    let mut statuses = Vec::new();
    while let Some(status) = requests.join_next().await {
        statuses.push(status.unwrap());
    }
    statuses.sort_unstable();
    // Two came to the first: one it took, the other it took on a new connection.
    assert_eq!(statuses, [200, 200, 204, 204]);
    assert_eq!((other.asked().len(), spoken.load(Relaxed)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_goes_elsewhere_and_a_reset_one_only_when_it_may_be_repeated() {
    for (reason, method, expected) in [
        (Reason::REFUSED_STREAM, Method::POST, [200, 200]),
        (Reason::INTERNAL_ERROR, Method::GET, [200, 200]),
        (Reason::INTERNAL_ERROR, Method::POST, [200, 502]),
    ] {
        let bad = H2Origin::new(100, move |_| Act::Reset(reason)).await;
        let good = H2Origin::new(100, |_| Act::says("good")).await;
        let edge = to(&[&bad, &good]).start();
        let mut client = Client::h2(edge.address()).await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(client.send(client::request(method.clone(), "/")).await.unwrap().status.as_u16());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, expected, "{reason:?} {method}");
        let failures = edge.pool("shop").backends[0].failures;
        assert_eq!(failures > 0, reason != Reason::REFUSED_STREAM, "who has no room has not failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_one_backend_a_stream_that_it_refused_is_offered_again() {
    let asked = AtomicUsize::new(0);
    let moody = H2Origin::new(100, move |_| match asked.fetch_add(1, Relaxed) {
        1 => Act::says("well"),
        _ => Act::Reset(Reason::REFUSED_STREAM),
    })
    .await;
    let edge = to(&[&moody]).start();
    let mut client = Client::h2(edge.address()).await;
    assert_eq!(client.send(client::request(Method::POST, "/")).await.unwrap().text(), "well");
    assert!(client.send(client::request(Method::POST, "/")).await.unwrap().status.is_server_error());
    assert_eq!((moody.asked().len(), edge.pool("shop").retries), (4, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_49_an_http2_answer_that_breaks_off_never_looks_whole() {
    for act in [
        Act::BreakOff("part", Reason::INTERNAL_ERROR),
        Act::BreakOff("part", Reason::CANCEL),
        Act::BreakOff("part", Reason::NO_ERROR),
        Act::Short(100, "short"),
        Act::Short(2, "longer"),
    ] {
        let told = format!("{act:?}");
        let origin = H2Origin::new(100, move |_| act.clone()).await;
        let edge = to(&[&origin]).start();
        for mut client in [Client::h2(edge.address()).await, Client::tls(edge.address()).await] {
            let answer = client.send(client::request(Method::GET, "/")).await;
            assert!(answer.is_err() || answer.as_ref().unwrap().status == 502, "{told}: {:?}", answer.unwrap().text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_whole_before_the_request_is_one_though_a_reset_follows() {
    let origin = H2Origin::new(100, |_| Act::Hasty("enough")).await;
    let edge = to(&[&origin]).start();
    let client = Client::h2(edge.address()).await;
    // More than the backend's window takes.
    for _ in 0..20 {
        let answer = client.another().send(client::body("/up", vec![b'x'; 3_000_000])).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "enough"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_39_a_client_that_breaks_off_ends_its_stream_to_the_backend_and_no_other() {
    let origin = H2Origin::new(100, |head| if head.uri.path() == "/up" { Act::Echo } else { Act::says("ok") }).await;
    let edge = to(&[&origin]).start();
    let mut client = Client::h2(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "ok");
    let mut raw = client::Raw::tls(edge.address()).await;
    raw.say(b"POST /up HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nhalf").await;
    eventually("it began", async || origin.open() == 1).await;
    drop(raw);
    eventually("it was reset", async || origin.open() == 0).await;
    assert_eq!(client.get("/").await.text(), "ok");
    let asked = origin.asked();
    assert!(!asked[1].whole && asked[2].whole);
    assert_eq!(origin.used_connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_speaks_http1_where_http2_is_known_is_a_502() {
    let origin = Origin::new(|_| Reply::status(400, "what?"));
    let edge = to(&[&origin]).start();
    let answer = Client::h2(edge.address()).await.send(Request::post("/").body(Default::default()).unwrap()).await;
    assert!(matches!(answer.unwrap().status.as_u16(), 502..=504));
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_asked_in_http2_too() {
    let origin = H2Origin::new(100, |head| match head.uri.path() {
        "/healthz" => Act::Head(204, &[]),
        _ => Act::Answer(Bytes::from("ok"), &[], Duration::ZERO),
    })
    .await;
    let edge = to(&[&origin]).with(|pool| pool.health.check = HealthCheck::get("/healthz")).start();
    assert!(edge.pool("shop").backends[0].last_check.starts_with("GET /healthz: 204"));
    assert_eq!(Client::h2(edge.address()).await.get("/").await.text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_request_with_a_body_has_a_time_for_its_answer_too() {
    let origin = H2Origin::new(100, |_| Act::Silence).await;
    let edge = to(&[&origin]).with(|pool| pool.timeout.head = Duration::from_millis(300)).start();
    let mut client = Client::h2(edge.address()).await;
    let asking = client.send(client::body("/", "asked"));
    let answer = within("it is given up", asking).await.unwrap();
    assert_eq!(answer.status, 504);
    eventually("it was reset, and asked once", async || origin.asked().len() == 1 && origin.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_on_in_http1_is_asked_over_what_is_kept() {
    let origin = Origin::named("h1");
    let certificate = Certificate::new(&["127.0.0.1"]);
    let shows = Shows { certificate: &certificate, protocols: &["http/1.1"], asks: false };
    let front = TlsFront::of(origin.address(), shows).await;
    let edge = to(&[&front])
        .with(|pool| {
            pool.tls = Some(believing());
            pool.protocol = Protocol::Auto;
            pool.health.interval = PATIENCE * 100;
        })
        .start();
    let mut client = Client::h2(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "h1");
    let before = front.handshakes();
    // For as long as it takes a worker to look through its connections more than once.
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        assert_eq!(client.get("/").await.text(), "h1");
    }
    assert_eq!(front.handshakes(), before);
}

fn believing() -> BackendTls {
    BackendTls { roots: Roots::Memory(certs::authority_pem()), ..BackendTls::default() }
}

/// Whoever begins as HTTP/2 does comes to the one, everybody else to the other.
async fn by_first_words(http2: SocketAddr, http1: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0; 3];
                // A health check says nothing.
                if near.peek(&mut first).await.is_ok_and(|n| n > 0) {
                    let mut far = TcpStream::connect(if first == *b"PRI" { http2 } else { http1 }).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_over_http1_to_a_backend_that_prefers_http2() {
    let http2 = H2Origin::new(100, |_| Act::says("h2")).await;
    let http1 = Origin::new(|seen| if seen.has("upgrade") { upgrades::echo("") } else { Reply::named("h1") });
    let behind = by_first_words(http2.address(), http1.address()).await;
    let certificate = Certificate::new(&["127.0.0.1"]);
    let front = |protocols| TlsFront::of(behind, Shows { certificate: &certificate, protocols, asks: false });
    let (both, alone) = (front(&["h2", "http/1.1"]).await, front(&["h2"]).await);
    let start = |front: &TlsFront, tls: Option<BackendTls>, protocol| {
        let edge = edge::plain().workers(1).pool("shop", &[front]).with(|pool| {
            pool.protocol = protocol;
            pool.tls = tls;
        });
        edge.start()
    };
    let edge = start(&both, Some(believing()), Protocol::Auto);
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "h2");
        let mut websocket = Raw::plain(edge.address()).await;
        upgrades::opened(&mut websocket).await;
        upgrades::echoes(&mut websocket, b"over a connection of its own").await;
    }
    assert!(http1.seen().iter().all(|seen| seen.all("upgrade") == ["websocket"]) && http2.used_connections() == 1);
    // A backend without HTTP/1.1 is told of, and not to blame.
    for (front, tls, protocol) in
        [(&alone, Some(believing()), Protocol::Auto), (&alone, Some(believing()), Protocol::Http2)]
    {
        let edge = start(front, tls, protocol);
        let mut websocket = Raw::plain(edge.address()).await;
        websocket.say(upgrades::WEBSOCKET.as_bytes()).await;
        let answer = websocket.hear(PATIENCE).await.answer();
        assert_eq!(answer.status, 502, "{protocol:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("the backend speaks HTTP/2 alone"), "{protocol:?}");
        assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "h2");
        assert_eq!(edge.pool("shop").backends[0].failures, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_with_all_its_requests_ejects_nobody() {
    let origin =
        H2Origin::new(100, |head| if head.uri.path() == "/hang" { Act::Silence } else { Act::says("ok") }).await;
    let (relay, other) = (Relay::to(origin.address()), H2Origin::new(100, |_| Act::says("ok")).await);
    let edge = to(&[&relay, &other]).with(|pool| pool.eject.as_mut().unwrap().stall = None).start();
    let client = Client::h2(edge.address()).await;
    while origin.asked().is_empty() {
        assert_eq!(client.another().get("/").await.text(), "ok");
    }
    let mut hanging = tokio::task::JoinSet::new();
    while origin.open() < 8 {
        let before = origin.open() + other.asked().len() as u64;
        let mut client = client.another();
        hanging
            .spawn(async move { client.send(client::request(Method::POST, "/hang")).await.unwrap().status.as_u16() });
        eventually("it came", async || origin.open() + other.asked().len() as u64 > before).await;
    }
    drop(relay);
    let mut lost = 0;
    while let Some(status) = hanging.join_next().await {
        lost += usize::from(status.unwrap() == 502);
    }
    assert_eq!((lost, edge.pool("shop").backends[0].failures), (8, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_gone_without_a_word_is_found_out_by_a_ping() {
    let origin =
        H2Origin::new(100, |head| if head.uri.path() == "/hang" { Act::Silence } else { Act::says("ok") }).await;
    let relay = Relay::to(origin.address());
    let edge = to(&[&relay])
        .with(|pool| {
            pool.timeout.ping = Some(Duration::from_millis(100));
            pool.timeout.head = PATIENCE * 100;
            pool.health.interval = PATIENCE * 100;
        })
        .start();
    let client = Client::h2(edge.address()).await;
    assert_eq!(client.another().get("/").await.text(), "ok");
    let mut hanging = client.another();
    let hanging = tokio::spawn(async move { hanging.send(client::request(Method::POST, "/hang")).await });
    eventually("it hangs", async || origin.open() == 1).await;
    relay.weather(Weather::Dead);
    assert_eq!(within("it is given up", hanging).await.unwrap().unwrap().status, 502);
    relay.weather(Weather::Fair);
    assert_eq!(client.another().get("/").await.text(), "ok");
    assert_eq!(origin.asked().last().unwrap().connection, origin.asked()[0].connection + 1);
}
