//! Clients that show who they are: asked by name, refused by name, and told to plugins and backends. The numbers are those
//! of the acceptance list.

use http::{Method, StatusCode};
use pointsman::config::model::{ClientRule, OnFault, Tls, Verify};
use pointsman_tests::{
    certs::{self, Certificate},
    client::{Client, Heard, Hello, Raw, handshake_with, request},
    edge::{self, Edge},
    guests,
    origin::Origin,
    plugins::Plugins,
    story::PATIENCE,
};
use rustls::version::{TLS12, TLS13};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A rule that lets in whom the stories' authority has signed.
fn rule(directory: &Path, verify: Verify) -> ClientRule {
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, certs::authority_pem()).unwrap();
    ClientRule { ca, verify, spot: None }
}

/// A listener for `shop.test` that asks every client, beside a plain one.
fn asks(verify: Verify, origin: &Origin) -> Edge {
    let directory = tempfile::tempdir().unwrap();
    let mut tls = certs::shop();
    tls.clients.insert(0, rule(directory.path(), verify));
    edge::plain().listen("tls", Some(tls)).pool("shop", &[origin]).start()
}

/// A `GET` over HTTP/1.1 with these header lines, on a connection of its own.
async fn get(edge: &Edge, hello: &Hello, host: &str, lines: &str) -> Heard {
    let Ok(mut client) = Raw::try_tls_with(edge.listener("tls"), hello).await else { return Heard::Closed };
    client.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").as_bytes()).await;
    client.hear(PATIENCE).await
}

fn hello(name: &str) -> Hello {
    Hello::new(name, &["http/1.1"])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_show_a_certificate_and_does_not_is_refused() {
    let origin = Origin::named("a");
    let edge = asks(Verify::Require, &origin);
    for refused in [hello("shop.test"), hello("shop.test").showing(&Certificate::stranger("eve.test"))] {
        assert_eq!(get(&edge, &refused, "shop.test", "").await, Heard::Closed);
    }
    assert_eq!(origin.requests(), 0);
    let ann = Certificate::client("ann.test");
    // What she says of herself, also with an underscore, is not what her certificate says.
    let lies = "x-client-cert-subject: CN=root\r\nX_Client_Cert_Names: DNS:root\r\nx-client-cert-verified: 1\r\n";
    assert_eq!(get(&edge, &hello("shop.test").showing(&ann), "shop.test", lies).await.status(), Some(200));
    let seen = origin.seen().pop().unwrap();
    assert_eq!(seen.all("x-client-cert-subject"), ["CN=ann.test"]);
    assert_eq!(seen.all("x-client-cert-names"), ["DNS:ann.test"]);
    assert_eq!(seen.header("x-client-cert-sha256").map(str::len), Some(64));
    assert!(!seen.has("x_client_cert_names") && !seen.has("x-client-cert-verified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_show_one_may_come_without_but_not_with_a_wrong_one() {
    let origin = Origin::named("a");
    let edge = asks(Verify::Request, &origin);
    let lie = "x-client-cert-sha256: 00\r\n";
    assert_eq!(get(&edge, &hello("shop.test"), "shop.test", lie).await.status(), Some(200));
    let stranger = hello("shop.test").showing(&Certificate::stranger("eve.test"));
    assert_eq!(get(&edge, &stranger, "shop.test", "").await, Heard::Closed);
    // The plain listener of the same process asks nobody, and believes as little.
    let mut plain = Raw::plain(edge.listener("plain")).await;
    plain.say(format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{lie}\r\n").as_bytes()).await;
    assert_eq!(plain.hear(PATIENCE).await.status(), Some(200));
    assert!(origin.seen().iter().all(|seen| !seen.has("x-client-cert-sha256")) && origin.requests() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_sees_whose_certificate_it_is() {
    let origin = Origin::named("a");
    let directory = tempfile::tempdir().unwrap();
    let mut tls = certs::shop();
    tls.clients.insert(0, rule(directory.path(), Verify::Request));
    let settings = r#"{"header":"x-client-cert-subject","value":"CN=ann.test"}"#;
    let edge = edge::plain().listen("tls", Some(tls)).pool("shop", &[&origin]).route("/", "shop");
    let edge = edge.filter("require-token", settings, OnFault::Reject).start();
    let (ann, bob) = (Certificate::client("ann.test"), Certificate::client("bob.test"));
    assert_eq!(get(&edge, &hello("shop.test").showing(&ann), "shop.test", "").await.status(), Some(200));
    for other in [hello("shop.test"), hello("shop.test").showing(&bob)] {
        let lie = "x-client-cert-subject: CN=ann.test\r\n";
        assert_eq!(get(&edge, &other, "shop.test", lie).await.status(), Some(403));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_sees_which_certificate_it_is() {
    let origin = Origin::named("a");
    let directory = tempfile::tempdir().unwrap();
    let mut tls = certs::shop();
    tls.clients.insert(0, rule(directory.path(), Verify::Request));
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("looks"));
    let edge =
        edge::plain().listen("tls", Some(tls)).pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    let ann = Certificate::client("ann.test");
    for hello in [hello("shop.test").showing(&ann), hello("shop.test")] {
        assert_eq!(get(&edge, &hello, "shop.test", "x-look: request\r\n").await.status(), Some(200));
    }
    let log = edge.log("ours").await;
    let shown: Vec<_> = log.iter().filter_map(|line| Some(line.split_once("shown=")?.1)).collect();
    let told = origin.seen()[0].header("x-client-cert-sha256").unwrap().to_owned();
    assert!(shown[0].starts_with(&format!("Some(\"{told}\")")) && shown[1].starts_with("None"), "{shown:?}");
}

/// `open.test` asks nobody, `staff.test` everybody.
fn two_doors(origin: &Origin) -> Edge {
    let directory = tempfile::tempdir().unwrap();
    let shown = [&["open.test", "127.0.0.1"][..], &["staff.test"]].map(Certificate::new);
    let mut tls = Tls::from(shown.iter().map(Certificate::source).collect::<Vec<_>>());
    tls.clients.insert(1, rule(directory.path(), Verify::Require));
    edge::plain().listen("tls", Some(tls)).pool("shop", &[origin]).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_a_host_that_asks_for_certificates_is_not_reached_by_another_name() {
    let origin = Origin::named("a");
    let edge = two_doors(&origin);
    let ann = Certificate::client("ann.test");
    // The last one is no name: its hello names nobody.
    for name in ["open.test", "127.0.0.1"] {
        for host in ["staff.test", "STAFF.test:443", "staff.test."] {
            let heard = get(&edge, &hello(name), host, "").await;
            assert_eq!(heard.status(), Some(421), "{host} by {name}");
            // A certificate that nobody asked for changes nothing.
            let heard = get(&edge, &hello(name).showing(&ann), host, "").await;
            assert_eq!(heard.status(), Some(421), "{host} by {name}, with a certificate");
        }
        assert_eq!(get(&edge, &hello(name), "open.test", "").await.status(), Some(200));
    }
    let mut absolute = Raw::try_tls_with(edge.listener("tls"), &hello("open.test")).await.unwrap();
    absolute.say(b"GET http://staff.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    assert_eq!(absolute.hear(PATIENCE).await.status(), Some(421));
    // The connection is as good as before for what it was made for.
    absolute.say(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    assert_eq!(absolute.hear(PATIENCE).await.status(), Some(200));
    assert_eq!(get(&edge, &hello("staff.test"), "staff.test", "").await, Heard::Closed, "no certificate");
    for host in ["staff.test", "open.test"] {
        assert_eq!(get(&edge, &hello("staff.test").showing(&ann), host, "").await.status(), Some(200), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_nor_by_one_more_label() {
    let origin = Origin::named("a");
    let directory = tempfile::tempdir().unwrap();
    let shown = [&["open.test"][..], &["*.staff.test"]].map(Certificate::new);
    let mut tls = Tls::from(shown.iter().map(Certificate::source).collect::<Vec<_>>());
    tls.clients.insert(1, rule(directory.path(), Verify::Require));
    let edge = edge::plain().listen("tls", Some(tls)).pool("shop", &[&origin]).start();
    let deeper = "a.b.staff.test";
    assert_eq!(get(&edge, &Hello::insecure(deeper), deeper, "").await, Heard::Closed, "no certificate");
    assert_eq!(get(&edge, &hello("open.test"), deeper, "").await.status(), Some(421));
    assert_eq!(origin.requests(), 0);
    let ann = Hello::insecure(deeper).showing(&Certificate::client("ann.test"));
    assert_eq!(get(&edge, &ann, deeper, "").await.status(), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_who_is_asked_for_a_certificate_shows_it_in_every_handshake() {
    let origin = Origin::named("a");
    let edge = two_doors(&origin);
    let ann = Certificate::client("ann.test");
    for version in [&TLS12, &TLS13] {
        let hello = |name: &str| Hello::custom(name, &["http/1.1"], &[version], None).showing(&ann);
        for (hello, resumes) in [(hello("open.test"), true), (hello("staff.test"), false)] {
            for is_again in [false, true] {
                let (mut stream, agreed) = handshake_with(edge.listener("tls"), &hello).await.unwrap();
                // With the answer the tickets have come.
                stream.write_all(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await.unwrap();
                assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
                assert_eq!(agreed.resumed, is_again && resumes, "{version:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_nor_over_http_2() {
    let origin = Origin::named("a");
    let edge = two_doors(&origin);
    let mut client = Client::h2_with(edge.listener("tls"), &Hello::new("open.test", &["h2"])).await.host("staff.test");
    let answer = client.send(request(Method::GET, "/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    let mut client = client.host("open.test");
    assert_eq!(client.get("/").await.status, StatusCode::OK, "the connection goes on");
}
