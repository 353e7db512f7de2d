//! A network that is not well, between clients, Pointsman and backends: late, lossy, dead, cut at any byte.

use http::{Method, StatusCode};
use pointsman_tests::{
    certs,
    client::{self, Client, Heard, Raw},
    edge,
    load::{Load, Pace, Target},
    origin::{Origin, Reply},
    relay::{Cut, Relay, Way, Weather},
    story::{PATIENCE, eventually},
};
use std::time::Duration;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nx-a: b\r\n\r\nanswers";
const CHUNKED_ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\nanswers\r\n0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_whole_over_a_network_that_is_late_and_loses_pieces() {
    let sent: Vec<u8> = (0..200_000_u32).map(|n| (n * 13 % 251) as u8).collect();
    let origin = Origin::new(|seen| {
        Reply::bytes([b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n", seen.body.as_slice()].concat())
    });
    let inner = Relay::to(origin.address());
    let edge = edge::tls().pool("shop", &[&inner]).start();
    let outer = Relay::to(edge.address());
    for weather in [Weather::Late(Duration::from_millis(5)), Weather::Lossy(10, Duration::from_millis(50))] {
        inner.weather(weather);
        outer.weather(weather);
        for mut client in [Client::tls(outer.address()).await, Client::h2(outer.address()).await] {
            let answer = client.send(client::body("/", sent.clone())).await.unwrap();
            assert!(answer.body == sent, "{weather:?} over {:?}", answer.version);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_over_a_lossy_network_is_answered() {
    let origin = Origin::named("a");
    let inner = Relay::to(origin.address());
    let edge = edge::plain().pool("shop", &[&inner]).start();
    inner.weather(Weather::Lossy(10, Duration::from_millis(100)));
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(200));
    eventually("many are answered", async || origin.requests() > 500).await;
    load.stop().await.assert_all_answered();
}

/// At each byte of the answer, by a close and by a reset.
#[tokio::test(flavor = "multi_thread")]
async fn case_49_an_answer_cut_at_any_byte_is_never_whole() {
    for text in [ANSWER, CHUNKED_ANSWER] {
        let origin = Origin::new(move |_| Reply::bytes(text));
        let relay = Relay::to(origin.address());
        let listen = edge::plain().listen("tls", Some(certs::shop())).workers(1).pool("shop", &[&relay]);
        // No check of its health would pass.
        let edge = listen.with(|pool| pool.health.interval = Duration::from_secs(3600)).start();
        for cut in [Cut::Close, Cut::Reset] {
            for behind in 0..text.len() {
                relay.cut(Way::Back, behind as u64, cut);
                let mut client = Raw::plain(edge.listener("plain")).await;
                client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
                match client.hear(PATIENCE).await {
                    Heard::Answer(answer) => {
                        let whole = answer.whole && answer.status == 200;
                        assert!(!whole, "{cut:?} behind {behind} of {text:?}: {:?}", answer.body);
                    }
                    Heard::Closed => {}
                    Heard::Silence => panic!("{cut:?} behind {behind}: the client is left waiting"),
                }
                if behind % 8 == 0 {
                    let mut client = Client::h2(edge.listener("tls")).await;
                    if let Ok(answer) = client.send(client::request(Method::GET, "/")).await {
                        assert_ne!(answer.status, StatusCode::OK, "{cut:?} behind {behind} over h2");
                    }
                }
            }
        }
        relay.cut(Way::Back, u64::MAX, Cut::Close);
        assert_eq!(Client::plain(edge.listener("plain")).await.get("/").await.text(), "answers");
    }
}

/// At each byte of the request, by a close and by a reset.
#[tokio::test(flavor = "multi_thread")]
async fn case_39_a_request_cut_at_any_byte_is_never_whole() {
    let origin = Origin::named("a");
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).start();
    let relay = Relay::to(edge.address());
    let with_length: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nrequest";
    let chunked: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nrequest\r\n0\r\n\r\n";
    for bytes in [with_length, chunked] {
        for cut in [Cut::Close, Cut::Reset] {
            for behind in 0..bytes.len() {
                relay.cut(Way::There, behind as u64, cut);
                // It may be cut before the client has looked at it.
                let Ok(mut client) = Raw::try_plain(relay.address()).await else { continue };
                client.say(bytes).await;
                let heard = client.hear(PATIENCE).await;
                assert_ne!(heard.status(), Some(200), "{cut:?} behind {behind}");
            }
        }
    }
    eventually("the backend has done with them", async || origin.open_requests() == 0).await;
    assert!(origin.seen().iter().all(|seen| !seen.complete), "{:?}", origin.seen());
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_backend_behind_a_dead_network_is_given_up() {
    let origin = Origin::named("a");
    let relay = Relay::to(origin.address());
    let edge = edge::plain().workers(1).pool("shop", &[&relay]);
    let edge = edge.with(|pool| pool.timeout.head = Duration::from_millis(500)).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "a");
    relay.weather(Weather::Dead);
    assert_eq!(client.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    relay.weather(Weather::Fair);
    eventually("it is served again", async || client.get("/").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_without_a_word_is_let_go() {
    let origin = Origin::named("a");
    let edge = edge::plain().listener(|listener| {
        listener.timeout.head = Duration::from_millis(300);
        listener.timeout.idle = Duration::from_millis(300);
    });
    let edge = edge.pool("shop", &[&origin]).with(|pool| pool.timeout.idle = Duration::from_millis(300)).start();
    let relay = Relay::to(edge.address());
    let mut clients = Vec::new();
    for said in [&b""[..], b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"] {
        let mut client = Raw::plain(relay.address()).await;
        client.say(said).await;
        clients.push(client);
    }
    eventually("one body has begun", async || origin.open_requests() == 1).await;
    relay.weather(Weather::Dead);
    eventually("the backend is let go", async || origin.open_requests() == 0).await;
    assert!(origin.seen().iter().all(|seen| !seen.complete));
}
