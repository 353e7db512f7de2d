//! Answers before the answer (1xx): hints of a backend reach the client while it makes the answer, over each pair of
//! protocols, and nobody gets those of a backend that does not answer it.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use pointsman::config::model::Protocol;
use pointsman_tests::{
    client::{self, Hello, Raw},
    edge::{self, Backend},
    h2_origin::{Act, H2Origin},
    origin::{Gate, Origin, Reply, Step},
    story::{PATIENCE, within},
};
use std::{future::poll_fn, time::Duration};
use tokio::time::Instant;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
                    Content-Length: 3\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";

/// A backend that says all this, answers once the gate is open, and has this many more hints together with the answer.
fn hinting(gate: &Gate, late: usize) -> Origin {
    let gate = gate.clone();
    Origin::new(move |_| {
        let before = format!("{CONTINUE}{HINT}{PROCESSING}");
        let answer = format!("{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", HINT.repeat(late));
        let wait = Step::Drip { piece: Bytes::new(), every: Duration::from_millis(20), until: gate.clone() };
        Reply::bytes(before).then(wait).then(Step::Write(answer.into()))
    })
}

/// The same over HTTP/2.
async fn hinting_h2(gate: &Gate) -> H2Origin {
    const LINES: &[(&str, &str)] = &[("link", "</a.css>; rel=preload")];
    let gate = gate.clone();
    H2Origin::new(100, move |_| Act::Hints(&[(100, &[]), (103, LINES), (102, &[])], gate.clone())).await
}

/// The hints, and the status and body of the answer.
type Asked = (Vec<(StatusCode, HeaderMap)>, StatusCode, Vec<u8>);

/// What an HTTP/2 client hears; the gate opens when two hints have come.
async fn ask_h2(edge: &edge::Edge, gate: &Gate) -> Asked {
    let (stream, _) = client::handshake_with(edge.address(), &Hello::new("shop.test", &["h2"])).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::get("https://shop.test/").body(()).unwrap();
    let (mut answer, _) = sender.ready().await.unwrap().send_request(request, true).unwrap();
    let mut hints = Vec::new();
    while hints.len() < 2 {
        let (parts, ()) =
            within("a hint", poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap().into_parts();
        hints.push((parts.status, parts.headers));
    }
    gate.open();
    let (head, mut body) = within("the answer", answer).await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        bytes.extend(piece.unwrap());
    }
    driving.abort();
    (hints, head.status, bytes)
}

/// What an HTTP/1.1 client hears; the gate opens when two hints have come.
async fn ask_h1(edge: &edge::Edge, gate: &Gate) -> Asked {
    let mut client = Raw::tls(edge.address()).await;
    client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let mut hints = Vec::new();
    for _ in 0..2 {
        let hint = client.hear_interim(PATIENCE).await.answer();
        let line =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        hints.push((StatusCode::from_u16(hint.status).unwrap(), hint.head.lines().skip(1).filter_map(line).collect()));
    }
    gate.open();
    let answer = client.hear_interim(PATIENCE).await.answer();
    (hints, StatusCode::from_u16(answer.status).unwrap(), answer.body)
}

fn check(pair: &str, (hints, status, body): Asked) {
    assert_eq!((status, body.as_slice()), (StatusCode::OK, &b"ok"[..]), "{pair}");
    let statuses: Vec<u16> = hints.iter().map(|(status, _)| status.as_u16()).collect();
    assert_eq!(statuses, [103, 102], "{pair}: in order, and 100 is not for the client");
    let (_, lines) = &hints[0];
    assert_eq!(lines["link"], "</a.css>; rel=preload", "{pair}");
    for gone in ["connection", "x-hop", "content-length"] {
        assert!(!lines.contains_key(gone), "{pair}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_52_hints_reach_clients_of_both_versions_before_the_answer_is_made() {
    for (of_backend, protocol) in [("h1", Protocol::Http1), ("h2", Protocol::Http2)] {
        let [first, second] = [Gate::default(), Gate::default()];
        for (of_client, gate) in [("h1", &first), ("h2", &second)] {
            let (over_h1, over_h2);
            let origin: &dyn Backend = match protocol {
                Protocol::Http2 => {
                    over_h2 = hinting_h2(gate).await;
                    &over_h2
                }
                _ => {
                    over_h1 = hinting(gate, 0);
                    &over_h1
                }
            };
            let edge = edge::tls().pool("shop", &[origin]).with(|pool| pool.protocol = protocol).start();
            let asked = if of_client == "h1" { ask_h1(&edge, gate).await } else { ask_h2(&edge, gate).await };
            check(&format!("{of_client} to {of_backend}"), asked);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_52_a_client_of_http_1_0_is_told_the_answer_alone() {
    let gate = Gate::default();
    gate.open();
    let origin = hinting(&gate, 1);
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
    let heard = String::from_utf8(client.drain(PATIENCE).await).unwrap();
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.ends_with("\r\n\r\nok"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_52_hints_without_end_are_an_answer_that_is_none() {
    let gate = Gate::default();
    gate.open();
    for (late, status) in [(10, 200), (20, 502)] {
        let origin = hinting(&gate, late);
        let edge = edge::plain().pool("shop", &[&origin]).start();
        let mut client = Raw::plain(edge.address()).await;
        client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
        let heard = String::from_utf8(client.drain(PATIENCE).await).unwrap();
        assert!(heard.contains(&format!("HTTP/1.1 {status} ")), "{heard}");
        let hints = heard.matches("HTTP/1.1 103 Early Hints\r\n").count();
        assert!((1..16).contains(&hints), "{hints} hints");
        assert_eq!(status == 502, !heard.ends_with("\r\n\r\nok"), "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_comes_before_a_body_that_is_waited_for() {
    let origin = Origin::new(|_| Reply::bytes(format!("{HINT}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Raw::tls(edge.address()).await;
    client.say(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.hear_interim(PATIENCE).await.status(), Some(100));
    client.say(b"body").await;
    let statuses = [client.hear_interim(PATIENCE).await.status(), client.hear_interim(PATIENCE).await.status()];
    assert_eq!(statuses, [Some(103), Some(200)]);
    assert_eq!(origin.only().body, b"body");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_two_backends_are_asked_neither_is_heard_before_its_answer() {
    let gate = Gate::default();
    let slow = hinting(&gate, 0);
    let other = Origin::new(|_| Reply::bytes(format!("{HINT}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")));
    let edge = edge::plain().workers(1).pool("shop", &[&slow, &other]).balancer("round-robin");
    let edge = edge.with(|pool| pool.hedge = Some(Duration::from_millis(100))).start();
    let mut client = Raw::plain(edge.address()).await;
    // Until the slow one was asked first, and said something in its time.
    let end = Instant::now() + PATIENCE;
    loop {
        client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        let mut hints = Vec::new();
        loop {
            let said = client.hear_interim(PATIENCE).await.answer();
            if said.status == 200 {
                assert_eq!(said.body, b"other");
                break;
            }
            hints.push(said.status);
        }
        assert!(hints.iter().filter(|&&status| status == 103).count() <= 1, "never those of both: {hints:?}");
        if hints == [103, 102] {
            return;
        }
        assert!(Instant::now() < end, "the slow one's hints never came");
    }
}
