//! Handshakes: which certificate for which name, which protocol, which version, which key exchange.

use pointsman::config::model::Tls;
use pointsman_tests::{
    certs::Certificate,
    client::{Client, Hello, Raw, handshake, handshake_with},
    edge::{self, Edge},
    origin::Origin,
    story::PATIENCE,
};
use rustls::{NamedGroup, ProtocolVersion, crypto::aws_lc_rs::kx_group};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Three certificates; the first is the default.
struct Shown {
    first: Certificate,
    exact: Certificate,
    wildcard: Certificate,
}

fn three_certificates(origin: &Origin) -> (Shown, Edge) {
    let shown = Shown {
        first: Certificate::new(&["first.test", "127.0.0.1"]),
        exact: Certificate::new(&["exact.test", "special.wild.test"]),
        wildcard: Certificate::new(&["*.wild.test"]),
    };
    let all = [&shown.first, &shown.exact, &shown.wildcard];
    let tls = Tls::from(all.iter().map(|certificate| certificate.source()).collect::<Vec<_>>());
    let edge = edge::plain().listen("tls", Some(tls)).pool("shop", &[origin]).start();
    (shown, edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_is_shown_its_certificate() {
    let origin = Origin::named("a");
    let (shown, edge) = three_certificates(&origin);
    let address = edge.listener("tls");
    for (name, expected) in [
        ("first.test", &shown.first),
        ("exact.test", &shown.exact),
        ("EXACT.test", &shown.exact),
        ("any.wild.test", &shown.wildcard),
        // The exact name wins over the wildcard.
        ("special.wild.test", &shown.exact),
        // An address is no name: the hello carries none, and the first is shown.
        ("127.0.0.1", &shown.first),
    ] {
        let (_, agreed) = handshake(address, name, &[]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(agreed.leaf == expected.leaf, "{name} was shown another certificate");
    }
    // A wildcard stands for one label, and the default is for names that nobody has: the client refuses what it is shown.
    for name in ["a.b.wild.test", "wild.test", "unknown.test"] {
        let refused = handshake(address, name, &[]).await.expect_err(name);
        assert!(refused.to_string().contains("not valid for name"), "{name}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let (_, found) = handshake(edge.address(), "shop.test", offered).await.unwrap();
        assert_eq!(found.alpn.as_deref(), agreed, "offered {offered:?}");
    }
    // Nothing in common is no handshake (RFC 7301, 3.2).
    assert!(handshake(edge.address(), "shop.test", &["spdy/1"]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_protocol_agreed_on_it_is_http_1_1() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let (mut stream, _) = handshake(edge.address(), "shop.test", &[]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("an end").expect("TLS says goodbye");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_and_the_post_quantum_exchange_are_offered() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    for (versions, group, expected) in [
        (&[&rustls::version::TLS12][..], kx_group::X25519, (ProtocolVersion::TLSv1_2, NamedGroup::X25519)),
        (&[&rustls::version::TLS13], kx_group::X25519, (ProtocolVersion::TLSv1_3, NamedGroup::X25519)),
        (&[&rustls::version::TLS13], kx_group::X25519MLKEM768, (ProtocolVersion::TLSv1_3, NamedGroup::X25519MLKEM768)),
    ] {
        let hello = Hello::custom("shop.test", &["http/1.1"], versions, Some(group));
        let (_, agreed) = handshake_with(edge.address(), &hello).await.unwrap();
        assert_eq!((agreed.version, agreed.group), (expected.0, Some(expected.1)));
    }
    // A client that offers all is given the post-quantum one.
    let (_, agreed) = handshake(edge.address(), "shop.test", &["h2"]).await.unwrap();
    assert_eq!(agreed.group, Some(NamedGroup::X25519MLKEM768));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_resumes_its_session_on_any_worker() {
    let origin = Origin::named("a");
    let edge = edge::tls().workers(2).pool("shop", &[&origin]).start();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let hello = Hello::custom("shop.test", &["http/1.1"], versions, None);
        let mut resumed = 0;
        for visit in 0..20 {
            let (mut stream, agreed) = handshake_with(edge.address(), &hello).await.unwrap();
            assert!(visit > 0 || !agreed.resumed, "nothing to resume yet");
            resumed += u32::from(agreed.resumed);
            // With 1.3 the ticket follows the handshake: an answer's first byte comes after it.
            stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        }
        // The kernel spreads the connections over both workers: each knows the other's tickets.
        assert_eq!(resumed, 19, "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_is_ended() {
    let origin = Origin::named("a");
    let edge =
        edge::tls().listener(|l| l.timeout.handshake = Duration::from_millis(200)).pool("shop", &[&origin]).start();
    let mut half = Raw::plain(edge.address()).await;
    half.say(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await;
    let mut silent = Raw::plain(edge.address()).await;
    assert!(half.ends(PATIENCE).await && silent.ends(PATIENCE).await);
    assert_eq!(Client::tls(edge.address()).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_the_tls_port_is_ended() {
    let origin = Origin::named("a");
    let edge = edge::tls().pool("shop", &[&origin]).start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    // A TLS alert, then the end.
    client.drain(PATIENCE).await;
    assert_eq!(origin.requests(), 0);
}
