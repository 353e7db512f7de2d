//! The access log: a line for each request, whatever became of it.

use http::{Request, StatusCode};
use http_body_util::Full;
use pointsman::config::model::Network;
use pointsman_tests::{
    client::{Client, Heard, Raw},
    edge,
    origin::{Gate, Origin, Reply, Step},
    story::{PATIENCE, arrives, eventually},
};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc, time::Duration};

/// The log's lines, once there are so many.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    arrives(&format!("{count} lines are written"), async || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (shop, nobody) = (Origin::named("shop"), pointsman_tests::sockets::Place::new());
    let edge = edge::tls().pool("shop", &[&shop]).pool("dead", &[&nobody.address()]);
    let edge = edge.route("/", "shop").route("/dead", "dead").access_log(&path).start();
    let mut client = Client::tls(edge.address()).await;
    assert_eq!(client.get("/cart?secret=1").await.text(), "shop");
    let refused = client.get("/dead").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let mut bad = Raw::tls(edge.address()).await;
    bad.say(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_eq!(bad.hear(PATIENCE).await.status(), Some(400));

    let lines = lines(&path, 3).await;
    // A line is written behind the answer, so those of two connections may come in either order.
    let of = |status: u16| lines.iter().find(|line| line["status"] == status).expect("it has a line");
    let served = of(200);
    for (key, expected) in [
        ("listener", json!("tls")),
        ("client", json!("127.0.0.1")),
        ("protocol", json!("HTTP/1.1")),
        ("method", json!("GET")),
        ("host", json!("shop.test")),
        ("path", json!("/cart")),
        ("status", json!(200)),
        ("bytes", json!(4)),
        ("pool", json!("shop")),
        ("backend", json!(shop.address().to_string())),
        ("attempts", json!(1)),
        ("plugin", json!("round-robin")),
        ("generation", json!(1)),
        ("error", Value::Null),
        ("ended", json!("whole")),
    ] {
        assert_eq!(served[key], expected, "{key} of {served}");
    }
    assert!(served["duration_ms"].as_f64() >= served["upstream_ms"].as_f64() && served["upstream_ms"].is_number());
    let dead = of(503);
    assert_eq!((&dead["pool"], &dead["error"]), (&json!("dead"), &json!("no backend available")));
    // What the client was told is what the log calls it.
    assert!(refused.text().contains(dead["id"].as_str().unwrap()), "{} for {dead}", refused.text());
    assert_eq!(of(400)["ended"], "whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_ended_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let gate = Arc::new(Gate::default());
    let script = gate.clone();
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/silent" => Reply::silence(),
        "/endless" => Reply::open_until(&script, Duration::from_millis(20)),
        _ => Reply::default().with("content-length", "10").then(Step::Close),
    });
    let edge = edge::plain().pool("shop", &[&origin]).access_log(&path).start();
    let ask = async |target: &str| {
        let mut client = Raw::plain(edge.address()).await;
        client.say(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
        client
    };
    let leaves = ask("/silent").await;
    eventually("it is asked", async || origin.requests() == 1).await;
    drop(leaves);
    let line = lines(&path, 1).await.pop().unwrap();
    assert_eq!((&line["status"], &line["ended"], &line["attempts"]), (&Value::Null, &json!("client-left"), &json!(1)));

    let mut leaves = ask("/endless").await;
    let short = Duration::from_millis(200);
    eventually("its head is there", async || matches!(leaves.hear(short).await, Heard::Answer(_))).await;
    drop(leaves);
    let line = lines(&path, 2).await.pop().unwrap();
    assert_eq!((&line["status"], &line["ended"]), (&json!(200), &json!("client-left")));
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_taken_from_trusted_proxies_and_given_to_backends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let origin = Origin::named("a");
    let trusted = Network::new([127, 0, 0, 1].into(), 32).unwrap();
    let edge = edge::plain()
        .listener(|listener| listener.request_id = true)
        .listen("behind", None)
        .listener(|listener| {
            listener.request_id = true;
            listener.trusted_proxies = vec![trusted];
        })
        .pool("shop", &[&origin])
        .access_log(&path)
        .start();
    for (count, (listener, is_believed)) in [("plain", false), ("behind", true)].into_iter().enumerate() {
        let asks = Request::get("/").header("x-request-id", "from-outside").body(Full::default()).unwrap();
        Client::plain(edge.listener(listener)).await.send(asks).await.unwrap();
        let logged = lines(&path, count + 1).await.pop().unwrap()["id"].clone();
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.all("x-request-id"), [logged.as_str().unwrap()], "{listener}");
        assert_eq!(logged == "from-outside", is_believed, "{listener}: {logged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_has_its_line_as_it_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let origin = Origin::new(move |_| Reply::bytes(switching).then(Step::Echo));
    let edge = edge::plain().pool("shop", &[&origin]).access_log(&path).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET /chat HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    assert_eq!(client.hear_interim(PATIENCE).await.status(), Some(101));
    client.say(b"hello").await;
    assert_eq!(client.bytes(5, PATIENCE).await, b"hello");
    let line = lines(&path, 1).await.pop().unwrap();
    assert_eq!((&line["status"], &line["ended"]), (&json!(101), &json!("whole")));
}

#[tokio::test(flavor = "multi_thread")]
async fn logrotate_needs_no_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).access_log(&path).start();
    let mut client = Client::plain(edge.address()).await;
    client.get("/one").await;
    lines(&path, 1).await;
    let old = directory.path().join("access.log.1");
    fs::rename(&path, &old).unwrap();
    client.get("/two").await;
    assert_eq!(lines(&path, 1).await[0]["path"], "/two");
    assert_eq!(lines(&old, 1).await.len(), 1);
    client.get("/three").await;
    edge.stop().await;
    assert_eq!(lines(&path, 2).await[1]["path"], "/three", "the last line is written before the end");
}
