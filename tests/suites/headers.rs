//! Which headers pass: what belongs to one connection stays on it, and strangers are not believed.

use http::Request;
use http_body_util::Full;
use pointsman::config::model::{Forwarded, Network};
use pointsman_tests::{
    client::{Client, Raw},
    edge,
    origin::{Origin, Reply, Seen},
    story::PATIENCE,
};

/// What the backend sees of a request with these headers, sent over plain HTTP.
async fn seen_with(trusted: bool, forwarded: Forwarded, headers: &[(&str, &str)]) -> Seen {
    let origin = Origin::named("a");
    let edge = edge::plain().listener(|listener| {
        listener.forwarded = forwarded;
        listener.trusted_proxies =
            if trusted { vec![Network::new("127.0.0.0".parse().unwrap(), 8).unwrap()] } else { Vec::new() };
    });
    let edge = edge.pool("shop", &[&origin]).start();
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).unwrap();
    assert_eq!(Client::plain(edge.address()).await.send(request).await.unwrap().status, 200);
    origin.only()
}

const FORGED: &[(&str, &str)] = &[
    ("x-forwarded-for", "1.1.1.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-port", "1"),
    ("forwarded", "for=1.1.1.1;proto=https"),
];

#[tokio::test(flavor = "multi_thread")]
async fn case_69_a_stranger_is_not_believed() {
    let seen = seen_with(false, Forwarded::X, FORGED).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.test"));
    assert!(!seen.has("x-forwarded-port") && !seen.has("forwarded"));

    let seen = seen_with(false, Forwarded::Rfc7239, FORGED).await;
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=\"shop.test\";proto=http"));
    assert!(FORGED[..4].iter().all(|(name, _)| !seen.has(name)));

    let seen = seen_with(false, Forwarded::None, FORGED).await;
    assert!(FORGED.iter().all(|(name, _)| !seen.has(name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_69_a_stranger_is_not_believed_over_http_2() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut request = Request::get("/");
    for (name, value) in FORGED.iter().chain(&[("x-forwarded-client-cert", "By=me"), ("x_forwarded_for", "1.1.1.1")]) {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).unwrap();
    assert_eq!(Client::h2(edge.address()).await.send(request).await.unwrap().status, 200);
    let seen = origin.only();
    let told = |name: &str| seen.header(name).map(str::to_owned);
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    assert_eq!(names.map(told), ["127.0.0.1", "https", "shop.test"].map(|value| Some(value.to_owned())));
    for gone in ["x-forwarded-port", "x-forwarded-client-cert", "forwarded", "x_forwarded_for"] {
        assert!(!seen.has(gone), "{gone}: {:?}", seen.headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_69_a_trusted_proxy_is_believed_and_added_to() {
    let seen = seen_with(true, Forwarded::X, &FORGED[..3]).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("1.1.1.1, 127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("evil.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_is_told_as_the_client_came() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    for mut client in [Client::tls(edge.address()).await, Client::h2(edge.address()).await] {
        origin.forget();
        client.get("/").await;
        let seen = origin.only();
        assert_eq!((seen.header("x-forwarded-proto"), seen.header("host")), (Some("https"), Some("shop.test")));
        assert_eq!(seen.version, "HTTP/1.1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_connection_stays_on_it() {
    let origin = Origin::new(|_| {
        Reply::named("a")
            .with("connection", "keep-alive, x-private")
            .with("x-private", "1")
            .with("keep-alive", "timeout=5")
            .with("proxy-authenticate", "Basic")
            .with("x-public", "1")
    });
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client
        .say(
            b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive, x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
              Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\nX-Other: 1\r\n\
              Accept: */*\r\nAccept: text/html\r\n\r\n",
        )
        .await;
    let answer = client.hear(PATIENCE).await.answer();
    let seen = origin.only();
    for gone in ["x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "te"] {
        assert!(!seen.has(gone), "{gone} reached the backend");
    }
    assert!(!seen.header("connection").is_some_and(|value| value.contains("x-mine")));
    assert_eq!((seen.header("x-other"), seen.all("accept")), (Some("1"), vec!["*/*", "text/html"]));
    for gone in ["x-private", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(gone), None, "{gone} reached the client");
    }
    assert_eq!(answer.header("x-public"), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_strike_out_what_is_added_here() {
    let seen = seen_with(false, Forwarded::X, &[("connection", "x-forwarded-for, via, host, content-length")]).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("host"), Some("shop.test"));
    assert!(seen.has("via"));
}

#[tokio::test(flavor = "multi_thread")]
async fn via_tells_both_sides() {
    let origin = Origin::new(|_| Reply::named("a").with("via", "1.1 inner"));
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Client::h2(edge.address()).await;
    let request = Request::get("/").header("via", "1.1 outer").body(Full::default()).unwrap();
    let answer = client.send(request).await.unwrap();
    let seen = origin.only().all("via").join(", ");
    assert_eq!(seen, "1.1 outer, 2.0 pointsman");
    let told: Vec<_> = answer.headers.get_all("via").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(told.join(", "), "1.1 inner, 1.1 pointsman");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_pass_as_bytes_and_repeats_are_kept() {
    let origin = Origin::new(|_| Reply::named("a").with("set-cookie", "a=1").with("set-cookie", "b=2"));
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client
        .say(b"GET / HTTP/1.1\r\nHost: shop.test\r\nX-Bytes: caf\xc3\xa9\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n")
        .await;
    let answer = client.hear(PATIENCE).await.answer();
    let seen = origin.only();
    assert_eq!((seen.header("x-bytes"), seen.all("cookie")), (Some("café"), vec!["a=1", "b=2"]));
    assert_eq!(answer.head.matches("set-cookie: ").count(), 2, "{}", answer.head);
}
