//! What lies in `examples/` works as it stands: each configuration is taken, and what its README says to try is run. That
//! `hello-balancer` is what `plugin new` writes is proved where that is written; that it builds and passes its own test, by
//! `cargo xtask test`.

use pointsman::{
    app::{App, Options},
    config::{self, model::AdminAddress},
};
use pointsman_tests::{
    certs::Certificate,
    cli::{self, Room},
    client::{Heard, Hello, Raw},
    origin::Origin,
    sockets::Place,
    story::{PATIENCE, aside},
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long it may take to try one.
const TRY_MOST: Duration = Duration::from_secs(120);

/// Examples that a shell alone cannot try: one calls a package that has to be installed, one needs a newer curl than
/// systems have, one waits for somebody to type. Each has a story of its own.
const TRIED_OTHERWISE: [&str; 3] = ["grpc", "proxy-protocol", "websocket"];

/// The folder of an example.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// The folders with a configuration.
fn examples() -> Vec<PathBuf> {
    let all = fs::read_dir(example("")).unwrap();
    let mut folders: Vec<_> = all.map(|folder| folder.unwrap().path()).collect();
    folders.retain(|folder| folder.join("pointsman.toml").is_file());
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

#[test]
fn configurations_are_taken() {
    for folder in examples() {
        let file = folder.join("pointsman.toml");
        config::load(&file).unwrap_or_else(|problems| panic!("{}: {problems:#?}", file.display()));
    }
}

/// In a copy, on ports of its own: those of the README may be taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_each_readme_says_to_try_works() {
    for folder in examples() {
        let room = tempfile::tempdir().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        if TRIED_OTHERWISE.contains(&name) {
            continue;
        }
        let copy = room.path().join("examples").join(name);
        let mut ports = Ports::default();
        copy_all(&folder, &copy, &mut ports);
        let readme = fs::read_to_string(copy.join("README.md")).unwrap_or_else(|_| panic!("{name} has no README.md"));
        let block = readme.split("```").nth(1).unwrap_or_else(|| panic!("{name}/README.md shows nothing to try"));
        let script = block.split_once('\n').expect("a fence alone on its line").1;
        ports.release();
        let (well, words) = tries(room.path(), script).await;
        assert!(well, "{name}: what its README says to try fails:\n{script}\n{words}");
    }
}

/// Runs a block of commands as somebody would who types them; true when the last one succeeds. What it started is ended.
async fn tries(room: &Path, script: &str) -> (bool, String) {
    let programs = room.join("bin");
    fs::create_dir_all(&programs).unwrap();
    std::os::unix::fs::symlink(cli::binary(), programs.join("pointsman")).unwrap();
    // Nobody types as fast as this: what is asked has to be there yet.
    let patient = "#!/bin/sh\nexec /usr/bin/curl -sS --fail --retry 60 --retry-all-errors --retry-delay 1 \"$@\"\n";
    fs::write(programs.join("curl"), patient).unwrap();
    fs::set_permissions(programs.join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let output = fs::File::create(room.join("output")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(room).env("PATH", path).env("XDG_RUNTIME_DIR", room).env("TMPDIR", room);
    shell.env("XDG_CACHE_HOME", cli::target().join("../tmp")).process_group(0).stdin(Stdio::null());
    shell.stdout(output.try_clone().unwrap()).stderr(output);
    let mut running = shell.spawn().expect("sh");
    let ended = async {
        loop {
            match running.try_wait().unwrap() {
                Some(status) => break status,
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let status = timeout(TRY_MOST, ended).await;
    // Nobody left is as good.
    let _ = kill_process_group(Pid::from_raw(running.id().cast_signed()).unwrap(), Signal::KILL);
    let _ = running.wait();
    (status.is_ok_and(|status| status.success()), fs::read_to_string(room.join("output")).unwrap())
}

/// Ports of the examples, all from 8000 to 9999, and the free ones that stand for them.
#[derive(Default)]
struct Ports(BTreeMap<u16, Place>);

impl Ports {
    /// The text with each port behind a colon, or alone as a word, replaced.
    fn replaced(&mut self, text: &str) -> String {
        let mut replaced = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let end = rest[at..].find(|letter: char| !letter.is_ascii_digit()).map_or(rest.len(), |length| at + length);
            let before = rest[..at].chars().next_back();
            let port = rest[at..end].parse::<u16>().ok().filter(|port| (8000..10_000).contains(port));
            let alone = before.is_none_or(|letter| matches!(letter, ':' | ' '));
            replaced.push_str(&rest[..at]);
            match port.filter(|_| alone) {
                Some(port) => replaced += &self.0.entry(port).or_default().address().port().to_string(),
                None => replaced.push_str(&rest[at..end]),
            }
            rest = &rest[end..];
        }
        replaced + rest
    }

    /// Gives them up for whoever is started: not each shares a port.
    fn release(self) {}
}

fn copy_all(from: &Path, to: &Path, ports: &mut Ports) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy_all(&path, &to.join(name), ports);
        } else {
            match fs::read_to_string(&path) {
                Ok(text) => fs::write(to.join(name), ports.replaced(&text)).unwrap(),
                Err(_) => drop(fs::copy(&path, to.join(name)).unwrap()),
            }
        }
    }
}

/// The files of an example in a room of its own, its addresses free ones and its backend this one.
fn prepared(name: &str, origin: &Origin) -> Room {
    let room = Room::new();
    for file in fs::read_dir(example(name)).unwrap() {
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
    let script = example("websocket").join("echo.py");
    let mut echo = Command::new("python3").arg(script).arg("0").stdout(Stdio::piped()).spawn().expect("python3");
    let mut line = String::new();
    BufReader::new(echo.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("echoing on ").unwrap_or_else(|| panic!("it said {line:?}"));
    (Running(echo), address.parse().unwrap())
}

/// An example's configuration, with addresses of this test's own.
fn moved(name: &str, backend: SocketAddr, room: &TempDir) -> App {
    let mut config = config::load(&example(name).join("pointsman.toml")).unwrap();
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
