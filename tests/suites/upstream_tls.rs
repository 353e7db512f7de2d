//! TLS to backends: whom Pointsman believes, what it shows, and what becomes of a request when a handshake fails.

use pointsman::config::model::{BackendTls, HealthCheck, Roots};
use pointsman_tests::{
    certs::{self, Certificate},
    client::Client,
    edge::{self, Builder, Program},
    origin::{Origin, Reply, Step},
    sockets::Place,
    story::eventually,
    tls_front::{Shows, TlsFront},
};
use std::{fs, path::Path, time::Duration};

/// One that shows a certificate for its address.
async fn front(origin: &Origin) -> TlsFront {
    let certificate = Certificate::new(&["127.0.0.1"]);
    TlsFront::of(origin.address(), Shows { certificate: &certificate, protocols: &["http/1.1"], asks: false }).await
}

/// Our authority vouches for backends.
fn tls() -> BackendTls {
    BackendTls { roots: Roots::Memory(certs::authority_pem()), ..BackendTls::default() }
}

fn to(front: &TlsFront, tls: BackendTls) -> Builder {
    edge::plain().workers(1).pool("shop", &[front]).with(|pool| pool.tls = Some(tls))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_checks_go_encrypted_and_connections_are_kept() {
    let origin = Origin::new(|seen| Reply::status(200, &format!("{} {}", seen.target, seen.body.len())));
    let front = front(&origin).await;
    let edge = to(&front, tls()).with(|pool| pool.health.check = HealthCheck::get("/healthz")).start();
    let mut client = Client::plain(edge.address()).await;
    for number in 0..5 {
        assert_eq!(client.get(&format!("/{number}")).await.text(), format!("/{number} 0"));
    }
    // More than a session takes at once.
    let large = vec![b'x'; 3_000_000];
    let answer = client.send(pointsman_tests::client::body("/up", large)).await.unwrap();
    assert_eq!(answer.text(), "/up 3000000");
    let connections: std::collections::HashSet<_> =
        origin.seen().iter().filter(|seen| seen.target != "/healthz").map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 1, "one connection served all");
    assert!(edge.pool("shop").backends[0].last_check.starts_with("GET /healthz: 200"));
    assert!(front.names().iter().all(Option::is_none), "an address is no name");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed() {
    // Every answer ends its connection.
    let origin = Origin::new(|_| Reply::named("a").with("connection", "close").then(Step::Close));
    let front = front(&origin).await;
    let edge = to(&front, tls()).with(|pool| pool.health.interval = Duration::from_secs(60)).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "a");
    }
    assert!(front.resumed() >= 4, "{} of {}", front.resumed(), front.handshakes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_believed_by_name_and_authority_alone() {
    let origin = Origin::named("a");
    let other_name = Certificate::new(&["backend.test"]);
    let front = TlsFront::of(origin.address(), Shows { certificate: &other_name, protocols: &[], asks: false }).await;
    for (what, tls, why) in [
        ("its address is asked for", tls(), Some("not valid for name")),
        ("the name is asked for", BackendTls { sni: Some("backend.test".into()), ..tls() }, None),
        (
            "another authority",
            BackendTls { sni: Some("backend.test".into()), ..BackendTls::default() },
            Some("UnknownIssuer"),
        ),
        ("everybody", BackendTls { dangerous_skip_verification: true, ..BackendTls::default() }, None),
    ] {
        let edge = to(&front, tls).start();
        let answer = Client::plain(edge.address()).await.get("/").await;
        let check = edge.pool("shop").backends[0].last_check.clone();
        match why {
            None => assert_eq!(answer.text(), "a", "{what}: {check}"),
            Some(why) => {
                assert!(matches!(answer.status.as_u16(), 502 | 503), "{what}");
                assert!(check.contains("TLS handshake failed") && check.contains(why), "{what}: {check}");
            }
        }
    }
    assert!(front.names().contains(&Some("backend.test".into())));
    // Who spoke to it in plain was shown nothing.
    let edge = edge::plain().pool("shop", &[&front]).start();
    assert!(Client::plain(edge.address()).await.get("/").await.status.is_server_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_believed_no_more_is_a_502() {
    let origin = Origin::new(|_| Reply::named("a").with("connection", "close").then(Step::Close));
    let front = front(&origin).await;
    let edge = to(&front, tls()).with(|pool| pool.health.interval = Duration::from_secs(60)).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "a");
    let expired = Certificate::expired(&["127.0.0.1"]);
    front.shows(Shows { certificate: &expired, protocols: &[], asks: false });
    let answer = client.get("/").await;
    assert_eq!((answer.status.as_u16(), origin.requests()), (502, 1), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_is_shown_our_certificate() {
    let origin = Origin::named("a");
    let certificate = Certificate::new(&["127.0.0.1"]);
    let front = TlsFront::of(origin.address(), Shows { certificate: &certificate, protocols: &[], asks: true }).await;
    let nobody = to(&front, tls()).start();
    assert!(Client::plain(nobody.address()).await.get("/").await.status.is_server_error());
    assert_eq!(origin.requests(), 0);
    let identity = Some(Certificate::new(&["pointsman.test"]).source());
    let known = to(&front, BackendTls { identity, ..tls() }).start();
    assert_eq!(Client::plain(known.address()).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_go_on_is_a_connect_that_does_not() {
    let well = Origin::named("a");
    let well_front = front(&well).await;
    // It takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_address = mute.local_addr().unwrap();
    let edge = edge::plain()
        .workers(1)
        .pool("shop", &[&mute_address, &well_front])
        .with(|pool| {
            pool.tls = Some(tls());
            pool.timeout.connect = Duration::from_millis(100);
        })
        .start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.text(), "a");
    }
    eventually("the mute one is out", async || edge.pool("shop").backends[0].standing == "unhealthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_needs_of_files_is_told_with_its_place() {
    let origin = Origin::named("a");
    let front = front(&origin).await;
    let (one, other) = (Certificate::new(&["one.test"]), Certificate::new(&["other.test"]));
    let mixed = pointsman::config::model::CertificateSource::Memory { cert: one.chain.clone(), key: other.key };
    for (tls, said) in [
        (
            BackendTls { roots: Roots::File { path: "/nowhere/ca.pem".into(), spot: None }, ..tls() },
            "/nowhere/ca.pem: no such file",
        ),
        (BackendTls { roots: Roots::Memory(String::new()), ..tls() }, "roots in memory: no certificate inside"),
        (BackendTls { identity: Some(mixed), ..tls() }, "does not belong to"),
    ] {
        let Err(problems) = to(&front, tls).try_start() else { panic!("{said}") };
        assert!(problems.iter().any(|problem| problem.headline.contains(said)), "{said}: {problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_believes_its_own_authority() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tls-to-backends");
    let room = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(&["backend.example"]);
    for (file, text) in [
        ("pointsman.toml", fs::read_to_string(example.join("pointsman.toml")).unwrap()),
        ("ca.pem", certs::authority_pem()),
        ("backend.pem", certificate.chain),
        ("backend.key", certificate.key),
    ] {
        fs::write(room.path().join(file), text).unwrap();
    }
    let place = Place::new();
    let port = place.address().port().to_string();
    let beside = room.path().to_str().unwrap();
    let _backend = Program::python(Path::new("python3"), &example.join("backend.py"), &[&port, beside]);
    let edge = edge::example(&room.path().join("pointsman.toml"), &[&place.address()]).start();
    eventually("it is ready", async || edge.pool("web").backends[0].standing == "ready").await;
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "over TLSv1.3\n");
}
