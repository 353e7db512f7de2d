//! Rules about clients change while connections are open: what holds now holds on these too. The numbers are those of the
//! acceptance list.

use super::reload::{File, is_in_force, shop};
use http::{Method, StatusCode};
use pointsman_tests::{
    certs::{self, Certificate},
    client::{Client, Hello, Raw, handshake_with, request},
    edge::{self, Edge},
    origin::Origin,
    story::{PATIENCE, eventually},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What comes behind the plain listener and the pool.
fn listener(name: &str, tls: &str) -> String {
    format!("[[listen]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n{tls}\n")
}

/// Two names; with a `client` rule, `staff.test` is for those who show a certificate.
fn two_names(client: &str) -> String {
    format!(
        "[[listen.tls]]\ncert = \"shop.pem\"\nkey = \"shop.key\"\n\
         [[listen.tls]]\ncert = \"staff.pem\"\nkey = \"staff.key\"\n{client}\n"
    )
}

const REQUIRED: &str = "client = { ca = \"ca.pem\", verify = \"require\" }";

/// Certificates of both names, and who vouches for clients.
fn files(origin: &Origin) -> File {
    let file = File::new(&shop(&[origin.address()], ""));
    for name in ["shop", "staff"] {
        let certificate = Certificate::new(&[&format!("{name}.test")]);
        file.put(&format!("{name}.pem"), &certificate.chain);
        file.put(&format!("{name}.key"), &certificate.key);
    }
    file.put("ca.pem", &certs::authority_pem());
    file
}

/// The status of a `GET` for this host on a connection of its own; none: there was no handshake.
async fn get(edge: &Edge, hello: &Hello, host: &str) -> Option<u16> {
    let mut client = Raw::try_tls_with(edge.listener("tls"), hello).await.ok()?;
    client.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
    client.hear(PATIENCE).await.status()
}

fn hello(name: &str) -> Hello {
    Hello::new(name, &["http/1.1"])
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_an_open_connection_does_not_escape_a_demand_for_certificates() {
    let origin = Origin::named("a");
    let file = files(&origin);
    let with = |client: &str| shop(&[origin.address()], "") + &listener("tls", &two_names(client));
    file.write(&with(""));
    let edge = edge::from_file(&file.path());
    let mut stranger = Raw::try_tls_with(edge.listener("tls"), &hello("staff.test")).await.unwrap();
    stranger.say(b"GET / HTTP/1.1\r\nHost: staff.test\r\n\r\n").await;
    assert_eq!(stranger.hear(PATIENCE).await.status(), Some(200), "nobody is asked yet");
    // In the middle of a head it is not idle, so it is not closed.
    stranger.say(b"GET / HTTP/1.1\r\nHost:").await;
    let plain = &mut Client::plain(edge.listener("plain")).await;
    assert_eq!(plain.get("/").await.status, StatusCode::OK);

    file.write(&with(REQUIRED));
    is_in_force(&edge, 1).await;
    stranger.say(b" staff.test\r\n\r\n").await;
    assert_eq!(stranger.hear(PATIENCE).await.status(), Some(421));
    assert!(stranger.ends(PATIENCE).await, "so that its client comes anew");
    assert_eq!(get(&edge, &hello("staff.test"), "staff.test").await, None);
    assert_eq!(get(&edge, &hello("shop.test"), "shop.test").await, Some(200));
    let ann = Certificate::client("ann.test");
    assert_eq!(get(&edge, &hello("staff.test").showing(&ann), "staff.test").await, Some(200));
    assert_eq!(plain.get("/").await.status, StatusCode::OK);
    assert!(!plain.is_closed(), "whom it does not concern stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_nor_over_http_2() {
    let origin = Origin::named("a");
    let file = files(&origin);
    let with = |client: &str| shop(&[origin.address()], "") + &listener("tls", &two_names(client));
    file.write(&with(""));
    let edge = edge::from_unwatched_file(&file.path());
    let hello = Hello::new("staff.test", &["h2"]);
    let mut stranger = Client::h2_with(edge.listener("tls"), &hello).await.host("staff.test");
    assert_eq!(stranger.get("/").await.status, StatusCode::OK);
    file.write(&with(REQUIRED));
    assert_eq!(edge.reload().await.outcome, "applied");
    // Told to go, or told why it should.
    match stranger.send(request(Method::GET, "/")).await {
        Ok(answer) => assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST),
        Err(_) => assert!(stranger.is_closed()),
    }
    eventually("it is let go", async || stranger.is_closed()).await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_clients_is_followed() {
    let origin = Origin::named("a");
    let file = files(&origin);
    let tls = format!("tls = {{ cert = \"staff.pem\", key = \"staff.key\", {REQUIRED} }}");
    file.write(&(shop(&[origin.address()], "") + &listener("tls", &tls)));
    let edge = edge::from_file(&file.path());
    let ann = hello("staff.test").showing(&Certificate::client("ann.test"));
    let (mut open, _) = handshake_with(edge.listener("tls"), &ann).await.unwrap();
    let mut ask = async |half: &str| {
        open.write_all(half.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let read = open.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    assert!(ask("GET / HTTP/1.1\r\nHost: staff.test\r\n\r\nGET / HTTP/1.1\r\n").await.starts_with("HTTP/1.1 200 "));
    // One more authority, and her certificate is as good as before, on the connection that she has too.
    let eve = Certificate::stranger("eve.test");
    file.put("ca.pem", &(certs::authority_pem() + &eve.chain));
    let eves = hello("staff.test").showing(&eve);
    eventually("she is let in", async || get(&edge, &eves, "staff.test").await == Some(200)).await;
    assert!(ask("Host: staff.test\r\n\r\n").await.starts_with("HTTP/1.1 200 "));

    let mut open = Raw::try_tls_with(edge.listener("tls"), &ann).await.unwrap();
    open.say(b"GET / HTTP/1.1\r\nHost: staff.test\r\n\r\n").await;
    assert_eq!(open.hear(PATIENCE).await.status(), Some(200));
    open.say(b"GET / HTTP/1.1\r\n").await;
    file.put("ca.pem", &eve.chain);
    eventually("the old one is let in no longer", async || get(&edge, &ann, "staff.test").await.is_none()).await;
    open.say(b"Host: staff.test\r\n\r\n").await;
    assert_eq!(open.hear(PATIENCE).await.status(), Some(421));
    // What is no authority is told, and changes nothing.
    file.put("ca.pem", "nobody");
    eventually("it is told", async || edge.status().amiss.iter().any(|it| it.code == "PM0211")).await;
    assert_eq!(get(&edge, &eves, "staff.test").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_69_what_an_open_connection_says_of_itself_is_believed_as_the_file_is_now() {
    let origin = Origin::named("a");
    let file = files(&origin);
    let with = |trusted: &str, more: &str| {
        let text = shop(&[origin.address()], "");
        text.replace("name = \"plain\"", &format!("name = \"plain\"\ntrusted_proxies = [{trusted}]")) + more
    };
    file.write(&with("\"127.0.0.1\"", ""));
    let edge = edge::from_file(&file.path());
    let mut open = Raw::plain(edge.listener("plain")).await;
    let mut seen = async || {
        let lies = "X-Forwarded-For: 192.0.2.1\r\nX-Client-Cert-Subject: CN=ann.test\r\n";
        open.say(format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{lies}\r\n").as_bytes()).await;
        assert_eq!(open.hear(PATIENCE).await.status(), Some(200));
        let seen = origin.seen().pop().unwrap();
        (seen.header("x-forwarded-for").unwrap().to_owned(), seen.has("x-client-cert-subject"))
    };
    assert_eq!(seen().await, ("192.0.2.1, 127.0.0.1".into(), true));
    file.write(&with("", ""));
    is_in_force(&edge, 1).await;
    assert_eq!(seen().await, ("127.0.0.1".into(), true), "nobody here asks for certificates");
    let tls = format!("tls = {{ cert = \"staff.pem\", key = \"staff.key\", {REQUIRED} }}");
    file.write(&with("", &listener("tls", &tls)));
    is_in_force(&edge, 2).await;
    assert_eq!(seen().await, ("127.0.0.1".into(), false));
}
