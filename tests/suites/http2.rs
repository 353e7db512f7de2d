//! HTTP/2 in, HTTP/1.1 out: many streams on one connection, each for itself. The numbers are those of the acceptance list.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use pointsman::config::model::OnFault;
use pointsman_tests::{
    certs,
    client::{self, Client, Frames, PROTOCOL_ERROR, PSEUDO, Raw, StreamEnd},
    edge, guests,
    origin::{Gate, Origin, Reply},
    plugins::Plugins,
    story::{PATIENCE, eventually},
};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_share_a_connection_and_none_waits_for_another() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/slow" => Reply::open_until(&open, Duration::from_millis(20)),
        target => Reply::named(target),
    });
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Client::h2(edge.address()).await;
    let mut slow = client.open(client::request(Method::GET, "/slow")).await.unwrap();
    for number in 0..50 {
        let target = format!("/{number}");
        assert_eq!(client.get(&target).await.text(), target);
    }
    assert!(slow.piece().await.unwrap().is_some());
    gate.open();
    assert!(slow.rest().await.unwrap().text().ends_with("last"));
    assert!(!client.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_both_ways_whole() {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 13 % 251) as u8).collect();
    let origin = Origin::new(|seen| {
        Reply::bytes([b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", seen.body.as_slice()].concat())
    });
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Client::h2(edge.address()).await;
    let answer = client.send(client::body("/up", sent.clone())).await.unwrap();
    assert!(answer.body == sent && origin.only().body == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_given_up_lets_the_backend_go() {
    let origin = Origin::new(|_| Reply::open_until(&Gate::default(), Duration::from_millis(10)));
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Client::h2(edge.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    assert!(answer.piece().await.unwrap().is_some());
    drop(answer);
    eventually("the backend's request ends", async || origin.open_requests() == 0).await;
    assert!(!client.is_closed(), "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_were_split_arrive_as_one() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let request = Request::get("/").header("cookie", "a=1").header("cookie", "b=2").body(Full::default()).unwrap();
    Client::h2(edge.address()).await.send(request).await.unwrap();
    assert_eq!(origin.only().header("cookie"), Some("a=1; b=2"), "RFC 9113, 8.2.3");
}

/// Heads that are none, each with the number of its case.
pub(super) fn malformed_heads() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let with = |field: (&'static str, &'static str)| [PSEUDO, &[field]].concat();
    let (method, scheme, path, authority) = (PSEUDO[0], PSEUDO[1], PSEUDO[2], PSEUDO[3]);
    vec![
        ("42 transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("42 connection", with(("connection", "keep-alive"))),
        ("42 te", with(("te", "gzip"))),
        ("42 upgrade", with(("upgrade", "h2c"))),
        ("43 CR LF in a value", with(("x-a", "a\r\nsmuggled: 1"))),
        ("43 NUL in a value", with(("x-a", "a\0b"))),
        ("43 line feed in a name", with(("x-a\nb", "a"))),
        ("43 upper case in a name", with(("X-A", "a"))),
        ("43 CR LF in the path", vec![method, scheme, (":path", "/a\r\nsmuggled: 1"), authority]),
        ("43 space in the path", vec![method, scheme, (":path", "/a HTTP/1.1"), authority]),
        ("43 CR LF in the authority", vec![method, scheme, path, (":authority", "a\r\nsmuggled: 1")]),
        ("45 two paths", vec![method, scheme, path, path, authority]),
        ("45 an unknown one", [&[(":unknown", "1")], PSEUDO].concat()),
        ("45 one of an answer", [&[(":status", "200")], PSEUDO].concat()),
        ("45 a late one", vec![method, scheme, path, ("x-a", "1"), authority]),
        ("45 no path", vec![method, scheme, authority]),
        ("45 no method", vec![scheme, path, authority]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_42_43_and_45_malformed_heads_are_reset() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    for (name, fields) in malformed_heads() {
        let mut client = Frames::connect(edge.address()).await;
        client.head(1, &fields, true).await;
        let end = client.end_of(1, PATIENCE).await;
        // What cannot be unpacked ends more than its stream.
        let is_refused = matches!(end, StreamEnd::Reset(PROTOCOL_ERROR) | StreamEnd::Gone(Some(PROTOCOL_ERROR)));
        assert!(is_refused, "case {name}: {end:?}");
        assert_eq!(origin.requests(), 0, "case {name} reached the backend");
    }
    assert_eq!(Client::h2(edge.address()).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_44_a_length_unlike_the_data_is_reset_and_never_whole() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    for (name, pieces) in [("less", &["abc"][..]), ("more", &["abcdef", "ghijkl"])] {
        let mut client = Frames::connect(edge.address()).await;
        client.head(1, &[PSEUDO, &[("content-length", "10")]].concat(), false).await;
        for (number, piece) in pieces.iter().enumerate() {
            client.data(1, piece.as_bytes(), number + 1 == pieces.len()).await;
        }
        let end = client.end_of(1, PATIENCE).await;
        assert!(matches!(end, StreamEnd::Reset(PROTOCOL_ERROR) | StreamEnd::Answered(400)), "{name}: {end:?}");
        eventually("the backend has done with it", async || origin.open_requests() == 0).await;
        assert!(origin.seen().iter().all(|seen| !seen.complete), "{name}: {:?}", origin.seen());
    }
}

/// Whatever the code: a stream that is reset has not ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_stream_is_reset_is_never_whole() {
    const NO_ERROR: u32 = 0;
    const CANCEL: u32 = 8;
    for code in [NO_ERROR, CANCEL] {
        let origin = Origin::named("a");
        let edge = edge::tls().pool("shop", &[&origin]).start();
        let mut client = Frames::connect(edge.address()).await;
        client.head(1, &[&[(":method", "POST")], &PSEUDO[1..]].concat(), false).await;
        client.data(1, b"abc", false).await;
        eventually("the backend has begun to read it", async || origin.open_requests() == 1).await;
        client.reset(1, code).await;
        eventually("the backend has done with it", async || origin.open_requests() == 0).await;
        assert!(origin.seen().iter().all(|seen| !seen.complete), "{code}: {:?}", origin.seen());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_46_authority_and_host_must_agree() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, &[PSEUDO, &[("host", "other.test")]].concat(), true).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(400));
    assert_eq!(origin.requests(), 0);
    client.head(3, &[PSEUDO, &[("host", "shop.test")]].concat(), true).await;
    assert_eq!(client.end_of(3, PATIENCE).await, StreamEnd::Answered(200));
    assert_eq!(origin.only().all("host"), ["shop.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_made_here_ends_with_its_head_where_it_has_no_body() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    plugins.put("edits", &guests::guest("edits"));
    let answers = |status| format!(r#"{{"do":[["only-if","x-now"],["respond","{status}","a body"]]}}"#);
    let edge = edge::tls().pool("shop", &[&origin]).plugins(&plugins);
    let edge = ["200", "204", "304"].iter().fold(edge, |edge, status| {
        edge.route(&format!("/{status}"), "shop").filter("edits", &answers(status), OnFault::Reject)
    });
    let edge = edge.start();
    let mut client = Client::h2(edge.address()).await;
    for (method, target, status, length) in [
        (Method::HEAD, "/unknown", 404, true),
        (Method::HEAD, "/200", 200, true),
        (Method::GET, "/204", 204, false),
        (Method::HEAD, "/204", 204, false),
        (Method::GET, "/304", 304, false),
    ] {
        let request =
            Request::builder().method(&method).uri(target).header("x-now", "1").body(Full::default()).unwrap();
        let answer = client.send(request).await.unwrap_or_else(|failure| panic!("{method} {target}: {failure}"));
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{method} {target}");
        assert_eq!(answer.headers.contains_key("content-length"), length, "{method} {target}: {:?}", answer.headers);
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_is_not_served() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, &[(":method", "CONNECT"), (":authority", "shop.test:443")], true).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(405));
    assert_eq!(origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_http_1_only_is_not_told_to_an_h2_client() {
    let origin = Origin::new(|_| Reply::named("a").with("connection", "keep-alive").with("keep-alive", "timeout=5"));
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let answer = Client::h2(edge.address()).await.get("/").await;
    assert_eq!(answer.status, StatusCode::OK);
    for gone in ["connection", "keep-alive", "transfer-encoding"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_41_http2_is_served_on_a_plain_port_to_who_knows_it() {
    let origin = Origin::named("a");
    let edge = edge::plain().listen("tls", Some(certs::shop())).pool("shop", &[&origin]).start();
    let plain = [PSEUDO[0], (":scheme", "http"), PSEUDO[2], PSEUDO[3]];
    let mut client = Frames::plain(edge.listener("plain")).await;
    for stream in [1, 3] {
        client.head(stream, &plain, true).await;
        assert_eq!(client.end_of(stream, PATIENCE).await, StreamEnd::Answered(200));
    }
    assert_eq!(origin.requests(), 2);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Behind a request of HTTP/1.1, or where TLS has agreed on that, it is nothing.
    let mut late = Raw::plain(edge.listener("plain")).await;
    late.say(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(late.hear(PATIENCE).await.status(), Some(200));
    let mut agreed = Raw::tls(edge.listener("tls")).await;
    for client in [&mut late, &mut agreed] {
        client.say(preface).await;
        assert!(client.ends(PATIENCE).await);
    }
    // Who goes on with HTTP/1.1 has said no request.
    let mut mixed = Raw::plain(edge.listener("plain")).await;
    mixed.say(&[preface, &b"GET /smuggled HTTP/1.1\r\nhost: shop.test\r\n\r\n"[..]].concat()).await;
    mixed.drain(PATIENCE).await;
    assert_eq!(origin.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_wants_is_declined_behind_its_answer() {
    const NO_ERROR: u32 = 0;
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).route("/served", "shop").start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, PSEUDO, false).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(404));
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Reset(NO_ERROR));
    // What was on its way already does no harm.
    client.data(1, b"abc", true).await;
    client.head(3, &[PSEUDO[0], PSEUDO[1], (":path", "/served"), PSEUDO[3]], true).await;
    assert_eq!(client.end_of(3, PATIENCE).await, StreamEnd::Answered(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_be_asked_for_its_body_is_asked() {
    let origin =
        Origin::new(|seen| Reply::bytes([b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", &seen.body[..]].concat()));
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, &[PSEUDO, &[("expect", "100-Continue"), ("content-length", "3")]].concat(), false).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(100));
    client.data(1, b"abc", true).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(200));
    assert_eq!(client.pieces(1, 3, PATIENCE).await, b"abc");
    assert!(!origin.only().has("expect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_go_both_ways() {
    const HEADERS: u8 = 1;
    const ENDS: u8 = 5;
    let origin = Origin::new(|_| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        Reply::bytes(format!("{head}3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n"))
    });
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    client.head(1, PSEUDO, false).await;
    client.data(1, b"abc", false).await;
    client.frame(HEADERS, ENDS, 1, b"\0\x05x-end\x03all").await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(200));
    assert_eq!(origin.only().trailers, [("x-end".to_owned(), "all".to_owned())]);
    let mut client = Client::h2(edge.address()).await;
    let answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    let collected = answer.0.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_61_a_client_is_told_twice_to_go_away_and_its_streams_end_well() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |_| Reply::open_until(&open, Duration::from_millis(20)));
    let edge = edge::tls().pool("shop", &[&origin]).drain(PATIENCE).start();
    let mut client = Frames::connect(edge.address()).await;
    for stream in [1, 3] {
        client.head(stream, PSEUDO, true).await;
        assert_eq!(client.end_of(stream, PATIENCE).await, StreamEnd::Answered(200));
    }
    let stopping = tokio::spawn(edge.stop());
    assert_eq!(client.end_of(5, PATIENCE).await, StreamEnd::Gone(Some(0)), "it is told");
    gate.open();
    let (said, mut well) = client.goodbyes(PATIENCE).await;
    well.sort_unstable();
    assert_eq!((said.first(), well), (Some(&(3, 0)), vec![1, 3]), "no stream but these two: {said:?}");
    assert_eq!(tokio::time::timeout(PATIENCE, stopping).await.expect("it ends").unwrap().cut_off, 0);
}
