//! Answers of backends that misbehave. A client never takes a broken answer for a whole one, and never gets another's.
//! The numbers are those of the acceptance list.

use http::{Method, StatusCode};
use pointsman_tests::{
    certs,
    client::{self, Answer, Client, Heard, Raw},
    edge::{self, Edge},
    origin::{self, Origin, Reply},
    story::{PATIENCE, eventually, within},
};
use std::{io::ErrorKind, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

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

/// A client of each kind.
async fn clients(edge: &Edge) -> [Client; 2] {
    [Client::plain(edge.listener("plain")).await, Client::h2(edge.listener("tls")).await]
}

/// How each kind of client is answered.
async fn answers(edge: &Edge, target: &str) -> [Answer; 2] {
    let [mut h1, mut h2] = clients(edge).await;
    [h1.get(target).await, h2.get(target).await]
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
        "folded-header",
        "bare-line-feeds",
        "huge-header",
        "many-headers",
        "unasked-101",
        "both-lengths",
        "early-close",
        "cut-head",
    ] {
        for answer in answers(&edge, &format!("/{mode}")).await {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{mode} over {:?}", answer.version);
            assert!(!answer.text().contains("127.0.0.1"), "{mode}: the answer names a backend: {}", answer.text());
        }
        next_is_served_well(&edge).await;
    }
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
                assert!(client.ends(PATIENCE).await, "{mode}: the connection goes on behind it");
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

/// An HTTP/1.0 client takes the end of the connection for the end of a body without a length: only a reset tells it more.
#[tokio::test(flavor = "multi_thread")]
async fn case_49_an_old_client_is_told_by_a_reset() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for mode in ["truncate-chunked", "bad-chunk"] {
        let mut client = TcpStream::connect(edge.listener("plain")).await.unwrap();
        client.write_all(format!("GET /{mode} HTTP/1.0\r\nHost: shop.test\r\n\r\n").as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let end = within("an end", client.read_to_end(&mut heard)).await;
        let told = String::from_utf8_lossy(&heard);
        let reset = end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(reset || told.starts_with("HTTP/1.1 502 "), "{mode} ends as if it were whole: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_50_bytes_after_an_answer_reach_nobody() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for mode in ["extra-data", "extra-chunks", "extra-later"] {
        for _ in 0..5 {
            for mut client in clients(&edge).await {
                let answer = client.get(&format!("/{mode}")).await;
                assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"), "{mode}");
                // The bytes that come later come to a connection that nobody uses.
                eventually("all of it is sent", async || origin.open_requests() == 0).await;
                assert_eq!(client.get("/well").await.text(), "well", "{mode}");
            }
        }
    }
    let seen = origin.seen();
    for (at, spoilt) in seen.iter().enumerate().filter(|(_, seen)| seen.target.starts_with("/extra")) {
        let again = seen[at + 1..].iter().find(|later| later.connection == spoilt.connection);
        assert!(again.is_none(), "the spoilt connection was used again: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_51_what_has_no_body_gets_none() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for (method, mode, status) in [
        ("GET", "body-204", 204),
        ("GET", "chunks-204", 204),
        ("GET", "body-304", 304),
        // What belongs to a GET, to the last byte.
        ("HEAD", "extra-data", 200),
    ] {
        let mut client = Raw::plain(edge.listener("plain")).await;
        for _ in 0..2 {
            client.say(format!("{method} /{mode} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
            let answer = client.hear_head(PATIENCE).await.answer();
            assert_eq!((answer.status, answer.whole), (status, true), "{mode}");
        }
        client.say(b"GET /well HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        assert_eq!(client.hear(PATIENCE).await.answer().body, b"well", "{mode}: the next answer follows at once");
        let mut client = Client::h2(edge.listener("tls")).await;
        let answer = client.send(client::request(method.parse().unwrap(), &format!("/{mode}"))).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{mode}");
        assert_eq!(client.get("/well").await.text(), "well", "{mode} over h2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_52_interim_answers_are_bounded_and_the_answer_follows() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for answer in answers(&edge, "/103").await {
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok"), "over {:?}", answer.version);
    }
    // Five thousand of them: the answer after them, or an end to it; and a bound in any case.
    for answer in answers(&edge, "/flood-100").await {
        assert!(matches!(answer.status.as_u16(), 200 | 502), "{} over {:?}", answer.status, answer.version);
    }
    next_is_served_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_backend_that_hangs_is_given_up() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    let begun = Instant::now();
    let [mut h1, mut h2] = clients(&edge).await;
    let (over_h1, over_h2) = tokio::join!(h1.get("/hang"), h2.get("/hang"));
    assert_eq!([over_h1.status, over_h2.status], [StatusCode::GATEWAY_TIMEOUT; 2]);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was given its time: {:?}", begun.elapsed());
    next_is_served_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_slow_answer_holds_up_nobody_else() {
    let origin = origin::misbehaving();
    let edge = behind(&origin);
    for (mut slow, mut client) in clients(&edge).await.into_iter().zip(clients(&edge).await) {
        let mut answer = slow.open(client::request(Method::GET, "/trickle")).await.unwrap();
        let mut others = 0;
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
    for answer in answers(&edge, "/status-999").await {
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (999, "ok"), "over {:?}", answer.version);
    }
}
