//! What one source may have open and ask for, and where those are sent who come unencrypted.

use http::StatusCode;
use pointsman::config::model::{Network, SourceLimit};
use pointsman_tests::{
    client::{Client, Raw},
    edge::{self, Builder},
    origin::Origin,
    story::{PATIENCE, eventually},
};
use std::time::Duration;

fn limited(limit: SourceLimit) -> Builder {
    edge::plain().listener(|listener| listener.limit = limit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_closed_and_there_is_room_when_one_leaves() {
    let origin = Origin::named("a");
    for limit in [
        SourceLimit { connections: Some(3), ..SourceLimit::default() },
        SourceLimit { connections_per_source: Some(3), ..SourceLimit::default() },
    ] {
        let edge = limited(limit).pool("shop", &[&origin]).start();
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = Client::plain(edge.address()).await;
            assert_eq!(client.get("/").await.status, StatusCode::OK);
            clients.push(client);
        }
        assert!(Raw::plain(edge.address()).await.ends(PATIENCE).await, "{limit:?}");
        assert_eq!(clients[0].get("/").await.status, StatusCode::OK, "the others go on");
        let page = edge.admin().await.get("/metrics").await.text();
        assert!(page.contains("listener_connections_refused_total{listener=\"plain\"} 1\n"), "{page}");
        clients.pop();
        eventually("there is room again", async || {
            let mut next = Raw::plain(edge.address()).await;
            next.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            next.hear(PATIENCE).await.status() == Some(200)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_too_many_is_told_when_to_come_back() {
    let origin = Origin::named("a");
    let requests_per_source = Some((5, Duration::from_secs(3600)));
    let edge = limited(SourceLimit { requests_per_source, ..SourceLimit::default() }).pool("shop", &[&origin]).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
    }
    for _ in 0..3 {
        let refused = client.get("/").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((700..=720).contains(&wait), "one in 720 s: {wait}");
    }
    assert_eq!(origin.requests(), 5);
    assert_eq!(Client::plain(edge.address()).await.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_its_clients_are_the_sources() {
    let origin = Origin::named("a");
    let requests_per_source = Some((2, Duration::from_secs(3600)));
    let limit = SourceLimit { connections_per_source: Some(1), requests_per_source, ..SourceLimit::default() };
    let trusted = Network::new([127, 0, 0, 0].into(), 8).unwrap();
    let edge = limited(limit).listener(|l| l.trusted_proxies = vec![trusted]).pool("shop", &[&origin]).start();
    for (client, expected) in [("192.0.2.1", [200, 200, 429]), ("192.0.2.2", [200, 200, 429])] {
        let mut proxy = Raw::plain(edge.address()).await;
        for status in expected {
            let ask = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: {client}\r\n\r\n");
            proxy.say(ask.as_bytes()).await;
            assert_eq!(proxy.hear(PATIENCE).await.status(), Some(status), "{client}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_unencrypted_is_sent_to_https() {
    let origin = Origin::named("a");
    let edge = edge::plain()
        .listener(|listener| listener.redirect = Some(443))
        .listen("other", None)
        .listener(|listener| listener.redirect = Some(8443))
        .pool("shop", &[&origin])
        .start();
    for (listener, ask, expected) in [
        ("plain", "GET /a%20b?q=1 HTTP/1.1\r\nHost: Shop.Test", "https://shop.test/a%20b?q=1"),
        ("plain", "POST /pay HTTP/1.1\r\nHost: shop.test:8080\r\nContent-Length: 0", "https://shop.test/pay"),
        ("plain", "GET http://other.test HTTP/1.1\r\nHost: shop.test", "https://other.test/"),
        ("plain", "OPTIONS * HTTP/1.1\r\nHost: [::1]:80", "https://[::1]/"),
        ("other", "GET /x HTTP/1.1\r\nHost: shop.test:8080", "https://shop.test:8443/x"),
    ] {
        let mut client = Raw::plain(edge.listener(listener)).await;
        client.say(format!("{ask}\r\n\r\n").as_bytes()).await;
        let answer = client.hear(PATIENCE).await.answer();
        assert_eq!((answer.status, answer.header("location")), (308, Some(expected)), "{ask}");
    }
    // Without a host there is no way to tell.
    let mut old = Raw::plain(edge.address()).await;
    old.say(b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.hear(PATIENCE).await.status(), Some(400));
    assert_eq!(origin.requests(), 0);
}
