//! Metrics: what is counted while it happens, under names that stay.

use http::StatusCode;
use pointsman_tests::{
    client::{Answer, Client, Hello, Raw, handshake_with},
    edge::{self, Edge},
    origin::{Origin, Reply, Step},
    sockets::Place,
    story::eventually,
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

async fn page(edge: &Edge) -> String {
    let answer = edge.admin().await.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    answer.text()
}

/// The value of a row, such as `pool_requests_total{pool="shop",class="2xx"}`.
fn value(page: &str, row: &str) -> Option<f64> {
    let row = format!("pointsman_{row} ");
    page.lines().find_map(|line| line.strip_prefix(&row)).map(|value| value.parse().expect("a number"))
}

/// Waits until so many were counted: that is done behind an answer.
async fn counted(edge: &Edge, row: &str, expected: f64) {
    eventually("it is counted", async || value(&page(edge).await, row) == Some(expected)).await;
}

/// A line for each family: its name, its kind, and the labels of its rows.
fn families(page: &str) -> String {
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = row.split_at(row.find(['{', ' ']).expect("a name"));
        let within = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(within, _)| within);
        // No value here holds a comma.
        labels.insert(name, within.split(',').filter_map(|pair| Some(pair.split_once('=')?.0)).collect());
    }
    let mut lines = String::new();
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').expect("a kind");
        let rows = [name.to_owned(), format!("{name}_total"), format!("{name}_count")];
        let labels =
            rows.iter().find_map(|row| labels.get(row.as_str())).unwrap_or_else(|| panic!("{name} has no row"));
        writeln!(lines, "{name} {kind} {{{}}}", labels.join(",")).unwrap();
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_labels_stay_and_the_manual_has_them_all() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    Client::tls(edge.address()).await.get("/").await;
    counted(&edge, r#"listener_requests_total{listener="tls",class="2xx"}"#, 1.0).await;
    let found = families(&page(&edge).await);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("golden/metrics.txt");
    if std::env::var_os("POINTSMAN_REWRITE_GOLDEN").is_some() {
        fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&golden).unwrap(), "POINTSMAN_REWRITE_GOLDEN=1 rewrites the golden file");
    let manual = fs::read_to_string(root.join("../host/manual/metrics.md")).unwrap();
    for line in found.lines() {
        let (name, labels) = line.split_once(' ').unwrap();
        let row = format!("| `{name}` | ");
        let row = manual.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or_else(|| panic!("{name}"));
        let documented: Vec<&str> = row.split('|').next().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(labels.ends_with(&format!("{{{}}}", documented.join(","))), "{line} is documented as {documented:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_listener_pool_and_class() {
    let (shop, nobody) = (Origin::named("shop"), Place::new());
    let edge = edge::plain().pool("shop", &[&shop]).pool("dead", &[&nobody.address()]);
    let edge = edge.route("/", "shop").route("/dead", "dead").start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
    }
    assert_eq!(client.get("/dead").await.status, StatusCode::SERVICE_UNAVAILABLE);
    counted(&edge, r#"listener_requests_total{listener="plain",class="5xx"}"#, 1.0).await;
    let page = page(&edge).await;
    for (row, expected) in [
        (r#"listener_requests_total{listener="plain",class="2xx"}"#, 3.0),
        (r#"listener_requests_total{listener="plain",class="5xx"}"#, 1.0),
        (r#"listener_connections_total{listener="plain"}"#, 1.0),
        (r#"listener_connections_open{listener="plain"}"#, 1.0),
        (r#"pool_requests_total{pool="shop",class="2xx"}"#, 3.0),
        (r#"pool_requests_total{pool="dead",class="5xx"}"#, 1.0),
        (r#"pool_request_seconds_count{pool="shop"}"#, 3.0),
        (r#"pool_request_seconds_bucket{le="+Inf",pool="shop"}"#, 3.0),
        (r#"plugin_calls_total{plugin="round-robin",generation="1"}"#, 3.0),
        (r#"plugin_call_seconds_count{plugin="round-robin",generation="1"}"#, 1.0),
    ] {
        assert_eq!(value(&page, row), Some(expected), "{row} in\n{page}");
    }
    let backend = format!(r#"{{pool="shop",backend="{}"}}"#, shop.address());
    assert_eq!(value(&page, &format!("backend_attempts_total{backend}")), Some(3.0));
    assert_eq!(value(&page, &format!("backend_in_flight{backend}")), Some(0.0));
    let standing = backend.replace('}', r#",standing="ready"}"#);
    assert_eq!(value(&page, &format!("backend_standing{standing}")), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_a_failure_and_a_client_that_left_are_counted() {
    let (rude, lives) = (Origin::new(|_| Reply::default().then(Step::Close)), Origin::named("lives"));
    let silent = Origin::new(|_| Reply::silence());
    let edge = edge::plain().pool("shop", &[&rude, &lives]).pool("slow", &[&silent]);
    let edge = edge.route("/", "shop").route("/slow", "slow").start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.text(), "lives");
    }
    let mut leaves = Raw::plain(edge.address()).await;
    leaves.say(b"GET /slow HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    eventually("it is asked", async || silent.requests() == 1).await;
    drop(leaves);
    counted(&edge, r#"listener_requests_total{listener="plain",class="left"}"#, 1.0).await;
    let page = page(&edge).await;
    let retries = value(&page, r#"pool_retries_total{pool="shop"}"#).unwrap();
    assert!(retries >= 1.0, "{page}");
    assert!(value(&page, r#"pool_failures_total{pool="shop",kind="closed"}"#).unwrap() >= retries, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_are_counted_by_how_they_went() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let hello = Hello::custom("shop.test", &["http/1.1"], &[&rustls::version::TLS12], None);
    for _ in 0..2 {
        handshake_with(edge.address(), &hello).await.unwrap();
    }
    Raw::plain(edge.address()).await.say(b"GET / HTTP/1.1\r\n\r\n").await;
    eventually("all three are counted", async || {
        let page = page(&edge).await;
        ["full", "resumed", "failed"].iter().all(|result| {
            let row = format!(r#"listener_handshakes_total{{listener="tls",result="{result}"}}"#);
            value(&page, &row) == Some(1.0)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_own_address_answers_nothing_else() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).metrics().start();
    let ask =
        async |target: &str| -> Answer { Client::plain(edge.metrics()).await.host("evil.example").get(target).await };
    let answer = ask("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().ends_with("# EOF\n"));
    for other in ["/", "/v1/status", "/v1/plugins", "/metrics/x"] {
        assert_eq!(ask(other).await.status, StatusCode::NOT_FOUND, "{other}");
    }
}
