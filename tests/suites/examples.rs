//! What lies in `examples/` works as it stands. That `hello-balancer` is what `plugin new` writes is proved where that is
//! written; that it builds and passes its own test, by `cargo xtask test`.

use pointsman::config;
use pointsman_tests::{
    certs::Certificate,
    cli::Room,
    client::{Heard, Hello, Raw},
    origin::Origin,
    story::PATIENCE,
};
use std::{fs, path::Path, process::Command};

#[test]
fn configurations_are_taken() {
    let mut taken = 0;
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")).unwrap() {
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
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example)).unwrap() {
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
