//! HTTP/1.1 in, HTTP/1.1 out: whole answers, streams both ways, connections kept and ended.

use http::{Method, StatusCode};
use pointsman_tests::{
    client::{self, Client, Heard, Raw},
    edge,
    nginx::Nginx,
    origin::{self, Gate, Origin, Reply, Step},
    story::{PATIENCE, eventually},
};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_as_the_backend_gave_it() {
    let origin = Origin::new(|_| Reply::status(201, "made").with("x-shop", "yes").with("set-cookie", "a=1"));
    let edge = edge::plain().listen("tls", Some(pointsman_tests::certs::shop())).pool("shop", &[&origin]).start();
    let clients = [Client::plain(edge.listener("plain")).await, Client::tls(edge.listener("tls")).await];
    for mut client in clients {
        let answer = client.get("/things?one=1").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::CREATED, "made"));
        assert_eq!((answer.header("x-shop"), answer.header("set-cookie")), (Some("yes"), Some("a=1")));
    }
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/things?one=1", "/things?one=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let origin = Origin::named("a");
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "a");
    }
    assert!(!client.is_closed());
    let used: Vec<_> = origin.seen().into_iter().map(|seen| seen.connection).collect();
    assert!(used.iter().all(|&connection| connection == used[0]), "one connection to the backend: {used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_streams_to_the_backend() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"POST /up HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nfirst").await;
    eventually("half of the body is at the backend", async || origin.seen().iter().any(|s| s.body == b"first")).await;
    client.say(b"-last").await;
    assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    assert_eq!(origin.only().body, b"first-last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_body_streams_and_stays_chunked() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"POST /up HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    eventually("a chunk is at the backend", async || origin.seen().iter().any(|s| s.body == b"first")).await;
    client.say(b"5\r\n-last\r\n0\r\n\r\n").await;
    assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    let seen = origin.only();
    assert_eq!((seen.body.as_slice(), seen.header("transfer-encoding")), (&b"first-last"[..], Some("chunked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_body_streams_to_the_client() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |_| Reply::open_until(&open, Duration::from_millis(20)));
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Client::plain(edge.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    assert_eq!(answer.piece().await.unwrap().as_deref(), Some(&b"first"[..]));
    assert_eq!(answer.piece().await.unwrap().as_deref(), Some(&b"."[..]));
    gate.open();
    let rest = answer.rest().await.expect("it ends well").text();
    assert_eq!(rest.trim_start_matches('.'), "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_both_ways_whole() {
    let file: Vec<u8> = (0..5_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let nginx = Nginx::start("nginx", &[("large", &file)]).await;
    let origin = Origin::named("a");
    let edge =
        edge::plain().pool("nginx", &[&nginx]).pool("own", &[&origin]).route("/files", "nginx").route("/", "own");
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    let down = client.get("/files/large").await;
    assert!(down.status == StatusCode::OK && down.body == file, "{} with {} bytes", down.status, down.body.len());
    let up = client.send(client::body("/up", file.clone())).await.unwrap();
    assert_eq!(up.text(), "a");
    assert!(origin.only().body == file);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_serves_behind_it() {
    let first = Nginx::start("first", &[]).await;
    let second = Nginx::start("second", &[]).await;
    let edge = edge::tls().pool("shop", &[&first, &second]).start();
    let mut client = Client::tls(edge.address()).await;
    let mut bodies = Vec::new();
    for _ in 0..20 {
        bodies.push(client.get("/name").await.text());
    }
    assert_eq!(origin::tally(bodies), [("first".into(), 10), ("second".into(), 10)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body_and_keeps_its_length() {
    let origin = Origin::new(|_| Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"));
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..2 {
        let answer = client.send(client::request(Method::HEAD, "/")).await.unwrap();
        assert_eq!((answer.header("content-length"), answer.body.len()), (Some("1234"), 0));
    }
    assert_eq!(origin.requests(), 2, "the connections stay in step");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"POST / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert_eq!(client.hear_interim(PATIENCE).await.status(), Some(100));
    client.say(b"body").await;
    assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    assert_eq!(origin.only().body, b"body");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_is_answered_and_let_go() {
    let origin = origin::misbehaving();
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET /until-close HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
    let answer = client.hear(PATIENCE).await.answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(answer.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
    assert!(client.ends(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_lets_the_backend_go() {
    let origin = Origin::new(|_| Reply::open_until(&Gate::default(), Duration::from_millis(10)));
    let edge =
        edge::plain().pool("shop", &[&origin]).with(|pool| pool.health.interval = Duration::from_secs(60)).start();
    let mut client = Client::plain(edge.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    assert!(answer.piece().await.unwrap().is_some());
    assert_eq!(origin.open_connections(), 1);
    drop((answer, client));
    eventually("the backend's connection ends", async || origin.open_connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_not_waited_for() {
    let origin = Origin::named("a");
    let edge = edge::plain().listener(|l| l.timeout.head = Duration::from_millis(200)).pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET / HTTP/1.1\r\nHost: shop.te").await;
    match client.hear(PATIENCE).await {
        Heard::Answer(answer) => assert_eq!(answer.status, 408),
        heard => assert_eq!(heard, Heard::Closed),
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_is_not_waited_for() {
    let origin = Origin::named("a");
    let edge =
        edge::plain().pool("shop", &[&origin]).with(|pool| pool.timeout.idle = Duration::from_millis(300)).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nfirst").await;
    let heard = client.hear(PATIENCE).await;
    assert!(heard == Heard::Closed || heard.status() == Some(408), "{heard:?}");
    eventually("the backend's request is aborted", async || origin.open_requests() == 0).await;
    assert!(!origin.only().complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed() {
    let origin = Origin::named("a");
    let edge = edge::plain().listener(|l| l.timeout.idle = Duration::from_millis(200)).pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    assert!(client.ends(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_closes_kept_connections_costs_no_request() {
    // Each answer is whole and keeps the connection alive by what it says; then the backend closes it anyway.
    let origin = Origin::new(|_| Reply::named("a").then(Step::Close));
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
    }
}
