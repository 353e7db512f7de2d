//! The PROXY protocol on both sides: who is believed, what is passed on, and that no connection serves two clients.

use super::reload::{File, shop};
use pointsman::{
    config::model::{BackendTls, ClientRule, Network, Verify},
    net::proxy_protocol::{Ends, Version, head},
};
use pointsman_tests::{
    certs::{self, Certificate},
    client::{Client, Heard, Raw},
    edge::{self, Builder, Program},
    origin::{Origin, Reply},
    sockets::Place,
    story::{PATIENCE, eventually},
    tls_front::{Shows, TlsFront},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";

fn expecting(builder: Builder, trusted: &str) -> Builder {
    let network = Network::new(trusted.parse().unwrap(), 32).unwrap();
    builder.listener(|listener| {
        listener.proxy_protocol = true;
        listener.trusted_proxies = vec![network];
    })
}

fn ends(source: &str) -> Option<Ends> {
    Some(Ends { source: source.parse().unwrap(), destination: "198.51.100.2:443".parse().unwrap() })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_the_one_that_a_trusted_proxy_tells() {
    let origin = Origin::named("a");
    let edge = expecting(edge::plain(), "127.0.0.1").pool("shop", &[&origin]).start();
    for (head, told) in [
        (head(Version::V1, ends("192.0.2.7:4711")), "192.0.2.7"),
        (head(Version::V2, ends("192.0.2.7:4711")), "192.0.2.7"),
        (head(Version::V2, ends("[2001:db8::7]:4711")), "2001:db8::7"),
        // Of these the proxy itself is the client.
        (head(Version::V1, None), "127.0.0.1"),
        (head(Version::V2, None), "127.0.0.1"),
    ] {
        origin.forget();
        let mut client = Raw::plain(edge.address()).await;
        // In pieces: the head, and the request, have no regard for how they are cut.
        let (one, two) = head.split_at(7);
        client.say(one).await;
        client.say(two).await;
        client.say(REQUEST).await;
        client.drain(PATIENCE).await;
        assert_eq!(origin.only().header("x-forwarded-for"), Some(told), "{}", head.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_69_where_a_proxy_names_nobody_the_client_is_not_believed() {
    let origin = Origin::named("a");
    let edge = expecting(edge::plain(), "127.0.0.1").pool("shop", &[&origin]);
    let mut asks = certs::shop();
    let room = tempfile::tempdir().unwrap();
    let ca = room.path().join("ca.pem");
    std::fs::write(&ca, certs::authority_pem()).unwrap();
    asks.clients.insert(0, ClientRule { ca, verify: Verify::Request, spot: None });
    let edge = edge.listen("tls", Some(asks)).start();
    let said = b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.66\r\n\
        X-Forwarded-Proto: https\r\nX-Client-Cert-Subject: CN=root\r\nX-Request-Id: mine\r\n\r\n";
    // The last one names a proxy that is trusted too, and tells whom it has looked at.
    for (head, told, is_believed) in [
        (head(Version::V1, None), "127.0.0.1", false),
        (head(Version::V2, None), "127.0.0.1", false),
        (head(Version::V2, ends("127.0.0.1:4711")), "192.0.2.66, 127.0.0.1", true),
    ] {
        origin.forget();
        let mut client = Raw::plain(edge.address()).await;
        client.say(&[head.as_slice(), said].concat()).await;
        client.drain(PATIENCE).await;
        let seen = origin.only();
        assert_eq!(seen.header("x-forwarded-for"), Some(told), "{}", head.escape_ascii());
        assert_eq!(seen.header("x-forwarded-proto"), Some(if is_believed { "https" } else { "http" }));
        assert_eq!(seen.has("x-client-cert-subject"), is_believed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_69_a_stranger_and_what_is_no_head_are_closed_on() {
    let origin = Origin::named("a");
    let strangers = expecting(edge::plain(), "192.0.2.1").pool("shop", &[&origin]).start();
    let proxies = expecting(edge::plain(), "127.0.0.1").pool("shop", &[&origin]).start();
    let told = head(Version::V1, ends("192.0.2.7:4711"));
    for (edge, said) in [
        (&strangers, [told.as_slice(), REQUEST].concat()),
        (&strangers, REQUEST.to_vec()),
        (&proxies, REQUEST.to_vec()),
        (&proxies, [b"PROXY TCP4 192.0.2.7 1 2\r\n", REQUEST].concat()),
        (&proxies, [b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", REQUEST].concat()),
    ] {
        let mut client = Raw::plain(edge.address()).await;
        client.say(&said).await;
        assert!(client.ends(PATIENCE).await, "{}", said.escape_ascii());
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_has_no_more_time_than_a_handshake() {
    let origin = Origin::named("a");
    let edge = expecting(edge::plain(), "127.0.0.1")
        .listener(|listener| listener.timeout.handshake = Duration::from_millis(200))
        .pool("shop", &[&origin])
        .start();
    for half in [&b""[..], b"PROXY TCP4 192.0", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0"] {
        let mut client = Raw::plain(edge.address()).await;
        client.say(half).await;
        assert!(client.ends(PATIENCE).await, "{}", half.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_begins_behind_the_head() {
    let origin = Origin::named("a");
    let edge = expecting(edge::tls(), "127.0.0.1").pool("shop", &[&origin]).start();
    let mut stream = TcpStream::connect(edge.address()).await.unwrap();
    stream.write_all(&head(Version::V2, ends("192.0.2.7:4711"))).await.unwrap();
    // Whoever comes here is passed on behind that head.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = relay.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = relay.accept().await.unwrap();
        copy_bidirectional(&mut client, &mut stream).await
    });
    assert_eq!(Client::h2(address).await.get("/").await.text(), "a");
    assert_eq!(origin.only().header("x-forwarded-for"), Some("192.0.2.7"));
}

/// A backend's end that reads a head of the PROXY protocol, remembers it, and passes the rest on.
struct Reader {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<Option<Ends>>>>,
}

impl Reader {
    async fn before(behind: SocketAddr) -> Reader {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = Reader { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = reader.heads.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let heads = heads.clone();
                tokio::spawn(async move {
                    let told = pointsman::net::proxy_protocol::read(&mut stream).await.unwrap();
                    heads.lock().unwrap().push(told);
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    copy_bidirectional(&mut stream, &mut inside).await
                });
            }
        });
        reader
    }

    /// Those that named somebody.
    fn told(&self) -> Vec<Ends> {
        self.heads.lock().unwrap().iter().flatten().copied().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_are_told_whose_connection_it_is_and_it_is_nobody_elses() {
    for version in [Version::V1, Version::V2] {
        let origin = Origin::new(|seen| Reply::status(200, &seen.connection.to_string()));
        let reader = Reader::before(origin.address()).await;
        let edge = edge::plain()
            .workers(1)
            .pool("shop", &[&reader.address])
            .with(|pool| pool.proxy_protocol = Some(version))
            .start();
        let mut clients = [Client::plain(edge.address()).await, Client::plain(edge.address()).await];
        let mut connections = Vec::new();
        for client in &mut clients {
            for _ in 0..2 {
                connections.push(client.get("/").await.text());
            }
        }
        connections.sort();
        connections.dedup();
        assert_eq!(connections.len(), 4, "each request has its own");
        let told = reader.told();
        assert!(
            told.iter().all(|ends| ends.source.ip().is_loopback() && ends.destination == edge.address()),
            "{told:?}"
        );
        let mut ports: Vec<u16> = told.iter().map(|ends| ends.source.port()).collect();
        ports.dedup();
        assert_eq!(ports.len(), 2, "two clients: {told:?}");
        // Checks are our own.
        assert!(reader.heads.lock().unwrap().iter().any(Option::is_none));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_before_a_pool_tells_its_backends_is_told_with_both_ends() {
    let origin = Origin::named("a");
    let reader = Reader::before(origin.address()).await;
    let file = File::new(&shop(&[origin.address()], ""));
    let edge = edge::from_unwatched_file(&file.path());
    let mut kept = Client::plain(edge.address()).await;
    assert_eq!(kept.get("/").await.text(), "a");
    file.write(&shop(&[reader.address], "proxy_protocol = \"v2\""));
    assert_eq!(edge.reload().await.outcome, "applied");
    assert_eq!(kept.get("/").await.text(), "a");
    let told = reader.told();
    assert!(matches!(told[..], [ends] if ends.destination == edge.address()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_goes_out_also_in_front_of_tls() {
    let origin = Origin::named("a");
    let certificate = Certificate::new(&["127.0.0.1"]);
    let front =
        TlsFront::of(origin.address(), Shows { certificate: &certificate, protocols: &["http/1.1"], asks: false })
            .await;
    let reader = Reader::before(front.address()).await;
    let edge = expecting(edge::plain(), "127.0.0.1")
        .pool("shop", &[&reader.address])
        .with(|pool| {
            pool.proxy_protocol = Some(Version::V2);
            let roots = pointsman::config::model::Roots::Memory(certs::authority_pem());
            pool.tls = Some(BackendTls { roots, ..BackendTls::default() });
        })
        .start();
    let mut client = Raw::plain(edge.address()).await;
    client.say(&head(Version::V1, ends("192.0.2.7:4711"))).await;
    client.say(REQUEST).await;
    client.drain(PATIENCE).await;
    assert_eq!(origin.requests(), 1);
    assert_eq!(reader.told(), [ends("192.0.2.7:4711").unwrap()]);
    // What forwarding headers tell has no port.
    let mut client = Raw::plain(edge.address()).await;
    client.say(&head(Version::V1, ends("127.0.0.1:4711"))).await;
    client.say(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n").await;
    client.drain(PATIENCE).await;
    eventually("it was told", async || reader.told().len() == 2).await;
    assert_eq!(reader.told()[1].source, "203.0.113.9:0".parse().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_tells_its_backend_the_client() {
    let example = |file| Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/proxy-protocol").join(file);
    let place = Place::new();
    let port = place.address().port().to_string();
    let _backend = Program::python(Path::new("python3"), &example("backend.py"), &[&port]);
    let edge = edge::example(&example("pointsman.toml"), &[&place.address()]).start();
    eventually("it is ready", async || edge.pool("web").backends[0].standing == "ready").await;
    let mut client = Raw::plain(edge.address()).await;
    client.say(&head(Version::V1, ends("192.0.2.7:4711"))).await;
    client.say(REQUEST).await;
    let Heard::Answer(answer) = client.hear(PATIENCE).await else { panic!("no answer") };
    assert_eq!(answer.body, b"you are 192.0.2.7 port 4711\n", "{answer:?}");
}
