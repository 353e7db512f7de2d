//! Answers of backends that misbehave. A client never takes a broken answer for a whole one, and never gets another's.
//! The numbers are those of the acceptance list.

use http::{Method, StatusCode};
use pointsman_tests::{
    certs,
    client::{self, Client, Heard, Raw},
    edge::{self, Edge},
    origin::{self, Origin, Reply},
    story::{PATIENCE, eventually, within},
};
use std::time::Duration;
use tokio::time::Instant;

/// One worker, so that a connection that was spoilt would be used again.
fn behind(origin: &Origin) -> Edge {
    let edge = edge::plain().listen("tls", Some(certs::shop())).workers(1).pool("shop", &[origin]);
    edge.with(|pool| pool.timeout.head = Duration::from_secs(2)).start()
}

/// The next client is served well: nothing of the last answer is left over.
async fn next_is_served_well(edge: &Edge) {
    for _ in 0..3 {
        let answer = Client::plain(edge.listener("plain")).await.get("/well").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_47_and_48_what_is_no_answer_becomes_502() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for mode in [
        "garbage",
        "bad-status",
        "http-2.0-line",
        "two-lengths",
        "negative-length",
        "nul-in-header",
        "space-before-colon",
        "huge-header",
        "unasked-101",
        "both-lengths",
        "early-close",
    ] {
        let target = format!("/{mode}");
        let answer = Client::plain(edge.listener("plain")).await.get(&target).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{mode}");
        assert!(!answer.text().contains("127.0.0.1"), "{mode}: the answer names a backend: {}", answer.text());
        let answer = Client::h2(edge.listener("tls")).await.get(&target).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{mode} over h2");
        next_is_served_well(&edge).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_47_very_many_headers_are_bounded() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    let answer = Client::plain(edge.listener("plain")).await.get("/many-headers").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    next_is_served_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_49_a_broken_answer_is_never_taken_for_a_whole_one() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for mode in ["truncate", "truncate-chunked", "bad-chunk", "reset", "half-close"] {
        let mut client = Raw::plain(edge.listener("plain")).await;
        client.say(format!("GET /{mode} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
        match client.hear(PATIENCE).await {
            Heard::Answer(answer) => {
                assert!(!answer.whole || answer.status == 502, "{mode}: {} with {:?}", answer.status, answer.body);
            }
            Heard::Closed => {}
            Heard::Silence => panic!("{mode}: the client is left waiting"),
        }
        let mut client = Client::h2(edge.listener("tls")).await;
        // A reset stream, or an answer of our own; the head of the broken one may have come before or not.
        if let Ok(answer) = client.send(client::request(Method::GET, &format!("/{mode}"))).await {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{mode} over h2 ends as if it were whole");
        }
        // Only that stream was ended.
        assert_eq!(client.get("/well").await.text(), "well", "{mode} over h2");
        next_is_served_well(&edge).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_50_bytes_after_an_answer_reach_nobody() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for _ in 0..20 {
        let mut client = Client::plain(edge.listener("plain")).await;
        let answer = client.get("/extra-data").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"));
        assert_eq!(client.get("/well").await.text(), "well");
    }
    let seen = origin.seen();
    for (at, spoilt) in seen.iter().enumerate().filter(|(_, seen)| seen.target == "/extra-data") {
        let again = seen[at + 1..].iter().find(|later| later.connection == spoilt.connection);
        assert!(again.is_none(), "the spoilt connection was used again: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_51_what_has_no_body_gets_none() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for (mode, status) in [("body-204", 204), ("body-304", 304)] {
        let mut client = Raw::plain(edge.listener("plain")).await;
        for _ in 0..2 {
            client.say(format!("GET /{mode} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
            let answer = client.hear(PATIENCE).await.answer();
            assert_eq!((answer.status, answer.whole), (status, true), "{mode}");
        }
        client.say(b"GET /well HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        assert_eq!(client.hear(PATIENCE).await.answer().body, b"well", "{mode}: the next answer follows at once");
        let answer = Client::h2(edge.listener("tls")).await.get(&format!("/{mode}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_52_interim_answers_are_passed_over() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    let answer = Client::plain(edge.listener("plain")).await.get("/103").await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"));
    // Five thousand of them: the answer after them, or an end to it; and a bound in any case.
    let answer = Client::plain(edge.listener("plain")).await.get("/flood-100").await;
    assert!(matches!(answer.status.as_u16(), 200 | 502), "{}", answer.status);
    next_is_served_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_backend_that_hangs_is_given_up() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    let begun = Instant::now();
    let answer = Client::plain(edge.listener("plain")).await.get("/hang").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was given its time: {:?}", begun.elapsed());
    next_is_served_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_slow_answer_holds_up_nobody_else() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    let mut slow = Client::plain(edge.listener("plain")).await;
    let mut answer = slow.open(client::request(Method::GET, "/trickle")).await.unwrap();
    let mut others = 0;
    let mut client = Client::plain(edge.listener("plain")).await;
    // Thirty bytes, a tenth of a second apart, on the one worker that serves the others too.
    within("a trickle", async {
        while answer.piece().await.expect("it trickles on").is_some() {
            assert_eq!(client.get("/well").await.text(), "well");
            others += 1;
        }
    })
    .await;
    assert!(others >= 10, "{others} others were served meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_given_up() {
    let origin = Origin::new(|_| {
        Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").then(Reply::silence().0.remove(0))
    });
    let edge = edge::plain().workers(1).pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.timeout.idle = Duration::from_millis(300)).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let answer = client.hear(PATIENCE).await.answer();
    assert_eq!((answer.whole, answer.body.as_slice()), (false, &b"first"[..]));
    eventually("the backend is let go", async || origin.open_requests() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_odd_but_right_answers_pass() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for mode in ["until-close", "http-1.0"] {
        for _ in 0..3 {
            let answer = Client::plain(edge.listener("plain")).await.get(&format!("/{mode}")).await;
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"), "{mode}");
        }
        let answer = Client::h2(edge.listener("tls")).await.get(&format!("/{mode}")).await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"), "{mode} over h2");
    }
}
