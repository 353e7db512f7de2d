//! What lies in `examples/` works as it stands. That `hello-balancer` is what `plugin new` writes is proved where that is
//! written; that it builds and passes its own test, by `cargo xtask test`.

use pointsman::{
    app::{App, Options},
    config::{self, model::AdminAddress},
};
use pointsman_tests::{
    certs::Certificate,
    cli::Room,
    client::{Heard, Hello, Raw},
    origin::Origin,
    story::{PATIENCE, aside},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

fn examples() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples").into()
}

#[test]
fn configurations_are_taken() {
    let mut taken = 0;
    for folder in fs::read_dir(examples()).unwrap() {
        let file = folder.unwrap().path().join("pointsman.toml");
        if file.is_file() {
            config::load(&file).unwrap_or_else(|problems| panic!("{}: {problems:#?}", file.display()));
            taken += 1;
        }
    }
    assert!(taken > 0);
}

/// The files of an example in a room of its own, its addresses free ones and its backend this one.
fn prepared(example: &str, origin: &Origin) -> Room {
    let room = Room::new();
    for file in fs::read_dir(examples().join(example)).unwrap() {
        let path = file.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("127.0.0.1:9001", &origin.address().to_string());
        let text =
            ["127.0.0.1:8443", "127.0.0.1:8080"].iter().fold(text, |text, port| text.replace(port, "127.0.0.1:0"));
        room.write(path.file_name().unwrap().to_str().unwrap(), &text);
    }
    room
}

#[tokio::test(flavor = "multi_thread")]
async fn mtls_lets_in_who_shows_a_certificate() {
    let origin = Origin::named("a");
    let room = prepared("mtls", &origin);
    let made = Command::new("sh").arg("certificates.sh").current_dir(room.path()).output().expect("a shell");
    assert!(made.status.success(), "it needs openssl: {}", String::from_utf8_lossy(&made.stderr));
    let _running = room.start(&["run"]);
    let status = room.answers("status").await;
    let listener = |index: usize| status["listeners"][index]["address"].as_str().unwrap().parse().unwrap();
    let asks = async |hello: Hello| {
        let mut client = Raw::try_tls_with(listener(0), &hello).await.expect("a handshake");
        client.say(b"GET / HTTP/1.1\r\nHost: localhost:8443\r\n\r\n").await;
        client.hear(PATIENCE).await
    };
    assert_eq!(asks(Hello::insecure("localhost")).await, Heard::Closed);
    let ann = Certificate::read(&room.path().join("ann.pem"), &room.path().join("ann.key"));
    assert_eq!(asks(Hello::insecure("localhost").showing(&ann)).await.status(), Some(200));
    assert_eq!(origin.seen()[0].header("x-client-cert-subject"), Some("CN=ann"));
    let mut plain = Raw::plain(listener(1)).await;
    plain.say(b"GET /x HTTP/1.1\r\nHost: localhost:8080\r\n\r\n").await;
    assert_eq!(plain.hear(PATIENCE).await.answer().header("location"), Some("https://localhost:8443/x"));
}

/// A child that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The echo of `examples/websocket`, and where it listens.
fn echo() -> (Running, SocketAddr) {
    let script = examples().join("websocket/echo.py");
    let mut echo = Command::new("python3").arg(script).arg("0").stdout(Stdio::piped()).spawn().expect("python3");
    let mut line = String::new();
    BufReader::new(echo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("echoing on ").unwrap_or_else(|| panic!("it said {line:?}"));
    (Running(echo), address.parse().unwrap())
}

/// An example's configuration, with addresses of this test's own.
fn moved(example: &str, backend: SocketAddr, room: &TempDir) -> App {
    let mut config = config::load(&examples().join(example).join("pointsman.toml")).unwrap();
    for listener in &mut config.listeners {
        listener.address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    }
    for pool in &mut config.pools {
        pool.backends.iter_mut().for_each(|at| at.address = backend.into());
    }
    config.admin = AdminAddress::Unix(room.path().join("admin.sock"));
    App::start(config, Options::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_echoes_what_a_client_says() {
    // The key and its answer are those of RFC 6455 §1.3.
    let room = tempfile::tempdir().unwrap();
    let (_echo, backend) = aside(echo);
    let app = aside(|| moved("websocket", backend, &room));
    let mut client = Raw::plain(app.status().listeners[0].address.parse().unwrap()).await;
    client
        .say(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let answer = client.hear_interim(PATIENCE).await.answer();
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    // The masked "Hello" of §5.7, and its echo; then a close without a reason, and its echo.
    client.say(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").await;
    assert_eq!(client.bytes(7, PATIENCE).await, b"\x81\x05Hello");
    client.say(b"\x88\x80\x00\x00\x00\x00").await;
    assert_eq!(client.bytes(2, PATIENCE).await, b"\x88\x00");
    assert!(client.ends(PATIENCE).await);
    aside(|| app.shutdown());
}
