//! WebSocket and whatever else a client and a backend agree on: bytes both ways, from the first to the last. The numbers are
//! those of the acceptance list.

use pointsman_tests::{
    certs,
    client::{CANCEL, Frames, Raw, RawAnswer, StreamEnd},
    edge::{self, Edge},
    guests,
    origin::{Origin, Reply, Step},
    plugins::Plugins,
    story::{PATIENCE, eventually},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches and says these bytes at once; then it says what it is told.
pub(super) fn echo(at_once: &str) -> Reply {
    Reply::bytes(format!("{SWITCHING}{at_once}")).then(Step::Echo)
}

/// A backend that switches whenever it is asked to, and answers 200 with its name otherwise.
fn willing() -> Origin {
    Origin::new(|seen| if seen.has("upgrade") { echo("") } else { Reply::named("a") })
}

pub(super) async fn opened(client: &mut Raw) -> RawAnswer {
    client.say(WEBSOCKET.as_bytes()).await;
    let answer = client.hear_interim(PATIENCE).await.answer();
    assert_eq!(answer.status, 101, "{}", answer.head);
    answer
}

pub(super) async fn echoes(client: &mut Raw, what: &[u8]) {
    client.say(what).await;
    assert_eq!(client.bytes(what.len(), PATIENCE).await, what);
}

fn in_flight(edge: &Edge) -> u32 {
    edge.pool("shop").backends[0].in_flight
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_becomes_a_tunnel() {
    let origin = willing();
    let edge = edge::plain().listen("tls", Some(certs::shop())).workers(1).pool("shop", &[&origin]).start();
    for mut client in [Raw::plain(edge.listener("plain")).await, Raw::tls(edge.listener("tls")).await] {
        let answer = opened(&mut client).await;
        let told = ["connection", "upgrade", "sec-websocket-accept"].map(|name| answer.header(name));
        assert_eq!(told, [Some("upgrade"), Some("websocket"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]);
        assert_eq!(answer.header("content-length"), None);
        for round in 0..20_u8 {
            echoes(&mut client, &[round; 1000]).await;
        }
        assert_eq!(in_flight(&edge), 1, "it counts as a request under way");
        client.say(b"the last").await;
        client.hang_up().await;
        assert_eq!(client.bytes(8, PATIENCE).await, b"the last", "one side has ended, the other goes on");
        assert!(client.ends(PATIENCE).await, "and ends in its turn");
        eventually("the backend is let go", async || in_flight(&edge) == 0).await;
    }
    for seen in origin.seen() {
        assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
        assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_protocol_that_both_agree_on_becomes_a_tunnel() {
    let origin = Origin::new(|_| {
        Reply::bytes("HTTP/1.1 101 Off we go\r\nConnection: upgrade\r\nUpgrade: IRC/6.9\r\n\r\n").then(Step::Echo)
    });
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: RTA/x11, IRC/6.9\r\n\r\n").await;
    let answer = client.hear_interim(PATIENCE).await.answer();
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("IRC/6.9")));
    echoes(&mut client, b"NICK pointsman").await;
    assert_eq!(origin.only().header("upgrade"), Some("RTA/x11, IRC/6.9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_either_side_says_early_is_not_lost() {
    let origin = Origin::new(|_| echo("hello from the backend "));
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(format!("{WEBSOCKET}hello from the client").as_bytes()).await;
    assert_eq!(client.hear_interim(PATIENCE).await.status(), Some(101));
    let heard = client.bytes(44, PATIENCE).await;
    assert_eq!(String::from_utf8_lossy(&heard), "hello from the backend hello from the client");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_streams_go_both_ways_whole() {
    let origin = willing();
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    opened(&mut client).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    // More than the sockets hold: it comes back only while it is read.
    for piece in large.chunks(100_000) {
        echoes(&mut client, piece).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_would_rather_not_is_asked_as_usual() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    for _ in 0..2 {
        client.say(WEBSOCKET.as_bytes()).await;
        let answer = client.hear(PATIENCE).await.answer();
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    assert_eq!(origin.requests(), 2, "both over one connection of the client's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_backend_costs_no_upgrade() {
    let (dead, origin) = (Origin::dead(|_| echo("")), willing());
    let edge = edge::plain().workers(1).pool("shop", &[&dead, &origin]).start();
    for _ in 0..4 {
        opened(&mut Raw::plain(edge.address()).await).await;
    }
    assert_eq!(origin.requests(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_34_and_35_http_2_and_keyless_websockets_open_no_tunnel() {
    let origin = willing();
    let edge = edge::plain().pool("shop", &[&origin]).start();
    for (upgrade, status) in [
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", 200),
        ("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", 200),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", 200),
        ("Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", 200),
        // Named, and not asked for.
        ("Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 200),
        ("Connection: Upgrade\r\n", 200),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 400),
        ("Connection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: short\r\n", 400),
    ] {
        let before = origin.requests();
        let mut client = Raw::plain(edge.address()).await;
        client.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n").as_bytes()).await;
        assert_eq!(client.hear(PATIENCE).await.status(), Some(status), "{upgrade}");
        assert_eq!(origin.requests() - before, u64::from(status == 200), "{upgrade}");
    }
    assert!(origin.seen().iter().all(|seen| !seen.has("upgrade") && !seen.has("http2-settings")));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_a_backend_that_switches_to_something_else_is_not_followed() {
    for answer in [
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.0 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let origin = Origin::new(move |_| Reply::bytes(answer));
        let edge = edge::plain().pool("shop", &[&origin]).start();
        let mut client = Raw::plain(edge.address()).await;
        client.say(WEBSOCKET.as_bytes()).await;
        assert_eq!(client.hear_interim(PATIENCE).await.status(), Some(502), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_on_which_nothing_moves_is_ended() {
    let origin = willing();
    let edge =
        edge::plain().pool("shop", &[&origin]).with(|pool| pool.timeout.tunnel = Duration::from_millis(300)).start();
    let mut client = Raw::plain(edge.address()).await;
    opened(&mut client).await;
    echoes(&mut client, b"something").await;
    assert!(client.ends(PATIENCE).await);
    eventually("the backend is let go", async || in_flight(&edge) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_61_tunnels_have_a_limit_of_their_own_at_a_drain() {
    let origin = willing();
    let edge = edge::plain().pool("shop", &[&origin]).drain(PATIENCE).tunnels(Duration::from_millis(500)).start();
    let address = edge.address();
    let mut client = Raw::plain(address).await;
    opened(&mut client).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(edge.stop());
    eventually("the listener is closed", async || Raw::try_plain(address).await.is_err()).await;
    assert!(client.ends(PATIENCE).await);
    assert!(begun.elapsed() >= Duration::from_millis(500), "it was given its time");
    let drained = tokio::time::timeout(PATIENCE, stopping).await.expect("it ends").unwrap();
    assert_eq!(drained.cut_off, 0, "that was its end, and no accident");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_57_a_tunnel_survives_swaps() {
    let origin = willing();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::stock("round-robin"));
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    let mut client = Raw::plain(edge.address()).await;
    opened(&mut client).await;
    for generation in 2..4 {
        plugins.put("ours", &guests::numbered(&guests::stock("round-robin"), generation));
        eventually("the new generation serves", async || edge.plugin("ours").generation == Some(generation)).await;
        echoes(&mut client, b"still there").await;
    }
}

/// An extended CONNECT of HTTP/2 (RFC 8441).
const CONNECT: &[(&str, &str)] = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "shop.test"),
    ("sec-websocket-version", "13"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http_2_becomes_a_tunnel_to_an_upgrade() {
    let origin = willing();
    let edge = edge::tls().workers(1).pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    for stream in [1, 3] {
        client.head(stream, CONNECT, false).await;
        assert_eq!(client.end_of(stream, PATIENCE).await, StreamEnd::Answered(200));
    }
    assert_eq!(in_flight(&edge), 2);
    let large: Vec<u8> = (0..50_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    for round in 0..20_usize {
        let stream = [1, 3][round % 2];
        for piece in large.chunks(10_000) {
            client.data(stream, piece, false).await;
        }
        assert!(client.pieces(stream, large.len(), PATIENCE).await == large, "round {round}");
    }
    client.data(1, b"the last", true).await;
    assert_eq!(client.pieces(1, usize::MAX, PATIENCE).await, b"the last", "and then it ends");
    client.reset(3, CANCEL).await;
    eventually("the backend is let go", async || in_flight(&edge) == 0).await;
    for seen in origin.seen() {
        assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/chat"));
        assert_eq!(seen.all("sec-websocket-key").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_to_a_websocket_over_http_2_is_no_tunnel() {
    let origin = Origin::new(|seen| if seen.target == "/no" { Reply::status(403, "no") } else { Reply::named("a") });
    let edge = edge::tls().workers(1).pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    let path = |path| [&CONNECT[..3], &[(":path", path)], &CONNECT[4..]].concat();
    for (stream, fields, status) in [
        (1, path("/yes"), 502),
        (3, path("/no"), 403),
        (5, [&[CONNECT[0], (":protocol", "h2c")], &CONNECT[2..]].concat(), 400),
    ] {
        client.head(stream, &fields, false).await;
        assert_eq!(client.end_of(stream, PATIENCE).await, StreamEnd::Answered(status), "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_61_tunnels_over_http_2_have_the_same_limit_at_a_drain() {
    let origin = willing();
    let edge = edge::tls().pool("shop", &[&origin]).drain(PATIENCE).tunnels(Duration::from_millis(300)).start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, CONNECT, false).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(200));
    let stopping = tokio::spawn(edge.stop());
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Gone(Some(0)), "it is told");
    let begun = Instant::now();
    client.data(1, b"still there", false).await;
    assert_eq!(client.pieces(1, 11, PATIENCE).await, b"still there");
    let (_, well) = client.goodbyes(PATIENCE).await;
    assert!(well.is_empty(), "it was cut");
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(tokio::time::timeout(PATIENCE, stopping).await.expect("it ends").unwrap().cut_off, 0);
}
