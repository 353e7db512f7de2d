//! The harness against itself: what it counts as a failure is one, and its backends do what their scripts say.

use http::{Method, StatusCode};
use pointsman_tests::{
    client::{self, Client, Heard, Raw},
    guests,
    load::{Load, Pace, Target},
    memory,
    nginx::Nginx,
    origin::{self, Gate, Origin, Reply},
    story::{PATIENCE, eventually},
};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_refuses_until_it_is_back() {
    let origin = Origin::named("a");
    let mut kept = Client::plain(origin.address()).await;
    assert_eq!(kept.get("/").await.text(), "a");
    origin.kill();
    // Its tasks end soon, not at once.
    eventually("what it kept breaks", async || kept.send(client::request(Method::GET, "/")).await.is_err()).await;
    let before = origin.requests();
    assert!(Raw::try_plain(origin.address()).await.is_err());
    origin.revive();
    assert_eq!(Client::plain(origin.address()).await.get("/").await.text(), "a");
    assert_eq!(origin.requests(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_tells_well_from_ill() {
    let origin = Origin::named("a");
    let load = Load::start(Target::plain(origin.address()), Pace::PerSecond(200));
    eventually("some requests were answered", async || origin.requests() > 40).await;
    let well = load.so_far();
    origin.kill();
    eventually("some were refused", async || load.so_far().failed.get("connect refused").is_some_and(|&n| n > 5)).await;
    let all = load.stop().await;
    assert!(well.failed.is_empty(), "{:?}", well.failed);
    let failed: u64 = all.failed.values().sum();
    assert_eq!(all.sent, all.answered[&200] + failed);
    assert!(std::panic::catch_unwind(|| all.assert_all_answered()).is_err());
    assert!((100.0..300.0).contains(&all.rate()), "{}", all.rate());
}

#[tokio::test(flavor = "multi_thread")]
async fn misbehaviour_is_seen_as_such() {
    let origin = origin::misbehaving();
    for (mode, whole, body) in [
        ("well", true, "well"),
        ("truncate", false, "short"),
        ("truncate-chunked", false, "hello"),
        ("bad-chunk", false, "hello"),
        ("half-close", false, "half"),
        ("until-close", false, "ok"),
        ("103", true, "ok"),
        ("flood-100", true, "ok"),
        ("body-204", true, ""),
        ("trickle", true, ".............................."),
    ] {
        let mut client = Raw::plain(origin.address()).await;
        client.say(format!("GET /{mode} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        let answer = client.hear(PATIENCE).await.answer();
        assert_eq!((answer.whole, String::from_utf8_lossy(&answer.body).as_ref()), (whole, body), "{mode}");
    }
    let mut client = Raw::plain(origin.address()).await;
    client.say(b"GET /early-close HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.hear(PATIENCE).await, Heard::Closed);
    let mut client = Raw::plain(origin.address()).await;
    client.say(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.hear(Duration::from_millis(100)).await, Heard::Silence);
    let mut client = Raw::plain(origin.address()).await;
    client.say(b"GET /reset HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reset = client.hear(PATIENCE).await.answer();
    assert!(!reset.whole && reset.body.len() == 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_saw_is_what_was_sent() {
    let origin = Origin::named("a");
    let mut client = Raw::plain(origin.address()).await;
    let chunked = "POST /x?y HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.say(format!("{chunked}3\r\nabc\r\n0\r\nAfter: all\r\n\r\n").as_bytes()).await;
    assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    let seen = origin.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.complete), ("POST", "/x?y", true));
    assert_eq!((seen.all("x-a"), seen.body.as_slice()), (vec!["1", "2"], &b"abc"[..]));
    assert_eq!(seen.trailers, [("After".to_owned(), "all".to_owned())]);

    origin.forget();
    client.say(b"POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    client.hang_up().await;
    eventually("the broken request is over", async || origin.requests() == 1 && origin.open_requests() == 0).await;
    let seen = origin.only();
    assert!(!seen.complete && seen.body == b"abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_stays_open_until_its_gate_opens() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |_| Reply::open_until(&open, Duration::from_millis(5)));
    let mut client = Client::plain(origin.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    for expected in [&b"first"[..], b".", b"."] {
        assert_eq!(answer.piece().await.unwrap().as_deref(), Some(expected));
    }
    gate.open();
    assert!(answer.rest().await.unwrap().text().ends_with("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_answers_by_itself() {
    let nginx = Nginx::start("it", &[("f", b"contents")]).await;
    let mut client = Client::plain(nginx.address()).await;
    assert_eq!(client.get("/name").await.text(), "it");
    assert_eq!(client.get("/files/f").await.text(), "contents");
    assert_eq!(client.get("/other").await.status, StatusCode::NOT_FOUND);
}

#[test]
fn numbered_components_differ_and_memory_is_read() {
    let (one, two) = (guests::numbered(&guests::empty_component(), 1), guests::numbered(&guests::empty_component(), 2));
    assert!(one != two && one.len() == two.len());
    assert!(memory::resident(std::process::id()) > 1 << 20);
}
