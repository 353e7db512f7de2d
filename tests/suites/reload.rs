//! Another configuration, other certificates, while traffic flows: what stays is not touched, what is wrong changes nothing.
//! The numbers are those of the acceptance list.

use super::upgrades::{echo, echoes, opened};
use http::{Method, StatusCode};
use pointsman_tests::{
    certs::{self, Certificate},
    cli::Room,
    client::{self, Client, Hello, Raw, handshake, handshake_with},
    dns::{NameServer, Zone},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Gate, Origin, Reply},
    plugins::Plugins,
    sockets::Place,
    story::{PATIENCE, eventually, within},
    tls_front::{Shows, TlsFront},
};
use std::{
    fmt::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Requests a second while things change.
const RATE: u32 = 300;

/// A configuration's file, and what is beside it.
pub(super) struct File {
    pub(super) home: tempfile::TempDir,
}

impl File {
    pub(super) fn new(text: &str) -> File {
        let file = File { home: tempfile::tempdir().unwrap() };
        file.write(text);
        file
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home.path().join("pointsman.toml")
    }

    /// As editors and deployments do it: written beside, and renamed.
    pub(super) fn write(&self, text: &str) {
        self.put("pointsman.toml", text);
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        let beside = self.home.path().join("beside");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.home.path().join(name)).unwrap();
    }

    pub(super) fn put_pair(&self, certificate: &Certificate) {
        self.put("shop.pem", &certificate.chain);
        self.put("shop.key", &certificate.key);
    }
}

/// One plain listener, and a pool `shop` of these backends with more keys.
pub(super) fn shop(backends: &[SocketAddr], keys: &str) -> String {
    let mut text = String::from("[[listen]]\nname = \"plain\"\naddress = \"127.0.0.1:0\"\n[pool.shop]\nbackends = [");
    for backend in backends {
        write!(text, "\"{backend}\", ").unwrap();
    }
    writeln!(text, "]\n{keys}").unwrap();
    text
}

fn reloads(edge: &Edge) -> u64 {
    edge.status().configuration.expect("a file").reloads
}

/// Waits until the file as it was written is in force.
pub(super) async fn is_in_force(edge: &Edge, reload: u64) {
    eventually("the file is in force", async || reloads(edge) >= reload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_room_is_served_under_the_limits_of_the_new_file() {
    let gate = Gate::default();
    let open = gate.clone();
    let slow = Origin::new(move |_| Reply::named("a").once_open(&open));
    let limit = |keys: &str| shop(&[slow.address()], &format!("limit = {{ wait = \"5m\", {keys} }}\n"));
    let file = File::new(&shop(&[slow.address()], ""));
    let edge = edge::from_file(&file.path());
    let ask = || {
        let address = edge.address();
        tokio::spawn(async move { Client::plain(address).await.get("/").await.text() })
    };
    let queued = async |number| {
        eventually("they wait", async || edge.pool("shop").queued == number).await;
    };
    let mut asking: Vec<_> = (0..5).map(|_| ask()).collect();
    eventually("all are under way", async || slow.requests() == 5).await;
    file.write(&limit("backend_requests = 5"));
    is_in_force(&edge, 1).await;
    asking.extend((0..3).map(|_| ask()));
    queued(3).await;
    // Two of these three find room at once.
    file.write(&limit("backend_requests = 7"));
    queued(1).await;
    asking.push(ask());
    queued(2).await;
    gate.open();
    for answer in asking {
        assert_eq!(within("an answer", answer).await.unwrap(), "a");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_57_three_swaps_and_three_reloads_under_load_fail_no_request() {
    let [a, b, c] = origin::three();
    let gate = Gate::default();
    let open = gate.clone();
    let streams = Origin::new(move |seen| match seen.has("upgrade") {
        true => echo(""),
        false => Reply::open_until(&open, Duration::from_millis(50)),
    });
    let plugins = Plugins::new();
    plugins.put("ours", &guests::numbered(&guests::stock("round-robin"), 1));
    let directory = plugins.path();
    let more = format!(
        "balancer = \"ours\"\n[pool.streams]\nbackends = [\"{}\"]\n[[route]]\npath = \"/\"\npool = \"shop\"\n\
         [[route]]\npath = \"/stream\"\npool = \"streams\"\n[[route]]\npath = \"/chat\"\npool = \"streams\"\n\
         [plugins]\ndirectory = \"{}\"\n",
        streams.address(),
        directory.display()
    );
    let file = File::new(&shop(&[a.address(), b.address()], &more));
    let edge = edge::from_file(&file.path());
    let mut long = Client::plain(edge.address()).await;
    let mut stream = long.open(client::request(Method::GET, "/stream")).await.unwrap();
    assert!(stream.piece().await.unwrap().is_some());
    let mut kept = Client::plain(edge.address()).await;
    kept.get("/").await;
    let mut socket = Raw::plain(edge.address()).await;
    opened(&mut socket).await;
    echoes(&mut socket, b"before").await;

    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    // One backend more, one less, and other limits beside a listener more.
    let all = [a.address(), b.address(), c.address()];
    let other_limits = more.replace("balancer", "timeout = \"20s\"\nbalancer")
        + "[[listen]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\n";
    let configurations = [shop(&all, &more), shop(&all[1..], &more), shop(&all[1..], &other_limits)];
    for (number, text) in (1..).zip(&configurations) {
        file.write(text);
        is_in_force(&edge, number).await;
        plugins.put("ours", &guests::numbered(&guests::stock("round-robin"), number + 1));
        eventually("the new generation picks", async || {
            let ours = edge.plugin("ours");
            ours.generation == Some(number + 1) && ours.picks > 50
        })
        .await;
        echoes(&mut socket, b"meanwhile").await;
    }
    let enough = u64::from(RATE) * 4;
    eventually("enough was asked for", async || load.so_far().sent >= enough).await;
    let report = load.stop().await;
    report.assert_all_answered();
    assert!(report.sent >= 1000, "{}", report.sent);
    let ours = edge.plugin("ours");
    assert_eq!((ours.faults, ours.fallbacks, ours.generation), (0, 0, Some(4)));
    assert!(c.requests() > 0, "a backend that was added is asked");
    // What stayed was not touched: neither the stream, nor the connection, nor the figures.
    echoes(&mut socket, b"after").await;
    assert!(stream.piece().await.unwrap().is_some());
    gate.open();
    assert!(stream.rest().await.expect("it ends well").text().ends_with("last"));
    assert_eq!(kept.get("/").await.status, StatusCode::OK);
    assert_eq!(Client::plain(edge.listener("second")).await.get("/").await.status, StatusCode::OK);
    let pool = edge.pool("shop");
    let attempts: u64 = pool.backends.iter().map(|backend| backend.attempts).sum();
    assert_eq!(attempts, b.requests() + c.requests(), "figures go on: {pool:?}");
    println!("{} requests, p99 {:?}, slowest {:?}", report.sent, report.latency(0.99), report.latency(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_59_what_is_broken_is_refused_whole_and_the_old_one_serves() {
    let [a, b, _] = origin::three();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let good = shop(&[a.address()], "");
    let file = File::new(&good);
    file.put("other.key", &Certificate::new(&["shop.test"]).key);
    file.put_pair(&Certificate::new(&["shop.test"]));
    file.put("expired.pem", &Certificate::expired(&["shop.test"]).chain);
    let edge = edge::from_file(&file.path());
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(100));
    let revision = edge.status().revision;
    let other = shop(&[b.address()], "");
    let tls = |cert: &str, key: &str| {
        format!("{other}[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ cert = \"{cert}\", key = \"{key}\" }}\n")
    };
    for (broken, code) in [
        ("[[listen]".to_owned(), "PM0102"),
        (other.replace("backends", "backend"), "PM0101"),
        (format!("{other}[[route]]\npool = \"nobody\"\n"), "PM0103"),
        (shop(&[b.address()], "balancer = \"nobody\""), "PM0309"),
        (shop(&[b.address()], "settings = { no = \"such\" }"), "PM0305"),
        (shop(&[b.address()], "balancer = \"require-token\""), "PM0307"),
        (tls("nowhere.pem", "shop.key"), "PM0211"),
        (tls("shop.pem", "other.key"), "PM0212"),
        (format!("{other}[[listen]]\naddress = \"{taken}\"\n"), "PM0201"),
    ] {
        file.write(&broken);
        let reload = edge.reload().await;
        let refusal = reload.refusal.unwrap_or_else(|| panic!("{code}: {broken}"));
        let codes: Vec<_> = refusal.problems.iter().map(|problem| problem.code.as_str()).collect();
        assert!(reload.outcome == "refused" && codes.contains(&code), "{codes:?} for {broken}");
        assert!(refusal.text.contains(&format!("error[{code}]")), "{}", refusal.text);
        let status = edge.status();
        assert_eq!((status.revision, status.configuration.unwrap().refusal.is_some()), (revision, true));
    }
    // All of it at once.
    file.write(&(tls("nowhere.pem", "shop.key") + &format!("[[listen]]\naddress = \"{taken}\"\n")));
    assert_eq!(edge.reload().await.refusal.map(|refusal| refusal.problems.len()), Some(2));

    load.stop().await.assert_all_answered();
    assert_eq!(b.requests(), 0);
    file.write(&good);
    eventually("a good one takes the refusal away", async || edge.status().configuration.unwrap().refusal.is_none())
        .await;
    file.write(&other);
    is_in_force(&edge, 1).await;
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_taken_when_its_plugin_comes() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let directory = format!("[plugins]\ndirectory = \"{}\"\n", plugins.path().display());
    let file = File::new(&shop(&[origin.address()], &directory));
    let edge = edge::from_file(&file.path());
    file.write(&shop(&[origin.address()], &format!("balancer = \"later\"\n{directory}")));
    eventually("it is refused", async || edge.status().configuration.unwrap().refusal.is_some()).await;
    plugins.put("later", &guests::stock("round-robin"));
    is_in_force(&edge, 1).await;
    assert_eq!(edge.pool("shop").balancer.unwrap().plugin, "later");
    assert!(edge.status().configuration.unwrap().refusal.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_goes_ends_what_it_has_and_a_new_one_is_checked_first() {
    let gate = Gate::default();
    let open = gate.clone();
    let old = Origin::new(move |_| Reply::named("old").once_open(&open));
    let new = Origin::named("new");
    let file = File::new(&shop(&[old.address()], ""));
    let edge = edge::from_file(&file.path());
    let mut held = Client::plain(edge.address()).await;
    let held = tokio::spawn(async move { held.get("/").await });
    eventually("the backend has it", async || old.open_requests() > 0).await;
    file.write(&shop(&[new.address()], ""));
    is_in_force(&edge, 1).await;
    // Ready from its first moment: the check came before.
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "new");
    }
    assert!(!held.is_finished());
    gate.open();
    assert_eq!(within("it is answered", held).await.unwrap().text(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_and_those_that_stay_are_not_touched() {
    let origin = Origin::named("a");
    let second = "[[listen]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\n";
    let only = "[[route]]\nlisten = \"plain\"\npool = \"shop\"\n";
    let both = format!("{only}[[route]]\nlisten = \"second\"\npool = \"shop\"\n");
    let with = |listeners: &str, routes: &str| format!("{listeners}{}{routes}", shop(&[origin.address()], ""));
    let file = File::new(&with(second, &both));
    let edge = edge::from_unwatched_file(&file.path());
    let (plain, gone) = (edge.listener("plain"), edge.listener("second"));
    let (mut stays, mut goes) = (Client::plain(plain).await, Client::plain(gone).await);
    let mut idle = Raw::plain(gone).await;
    assert_eq!((stays.get("/").await.text(), goes.get("/").await.text()), ("a".into(), "a".into()));

    file.write(&with("", only));
    let reload = edge.reload().await;
    assert!(reload.changes.iter().any(|line| line == "listener second removed"), "{:?}", reload.changes);
    assert!(idle.ends(PATIENCE).await, "who asks for nothing is let go");
    eventually("it is closed", async || Raw::try_plain(gone).await.is_err()).await;
    // It stands elsewhere in the file now, and its connection is the same.
    assert_eq!((edge.listener("plain"), stays.get("/").await.text()), (plain, "a".into()));
    assert!(!stays.is_closed());

    // Other limits go for connections to come.
    let third = second.replace("second", "third");
    let hasty = with(&third, only).replace("name = \"plain\"", "name = \"plain\"\ntimeout = { idle = \"100ms\" }");
    file.write(&hasty);
    let reload = edge.reload().await;
    assert_eq!(reload.changes, ["listener third added", "listener plain: timeout changed"]);
    let mut short = Raw::plain(plain).await;
    assert!(short.ends(PATIENCE).await);
    assert_eq!((edge.listener("plain"), stays.get("/").await.text()), (plain, "a".into()));
    assert_eq!(Client::plain(edge.listener("third")).await.get("/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_goes_answers_whoever_has_come() {
    let (origin, gone) = (Origin::named("a"), Origin::named("gone"));
    let with = |second: bool| {
        let mut text = shop(&[origin.address()], "") + "[[route]]\nlisten = \"plain\"\npool = \"shop\"\n";
        if second {
            writeln!(text, "[[listen]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\n[pool.gone]").unwrap();
            writeln!(text, "backends = [\"{}\"]", gone.address()).unwrap();
            writeln!(text, "[[route]]\nlisten = \"second\"\npool = \"gone\"").unwrap();
        }
        text
    };
    let file = File::new(&with(true));
    let edge = edge::from_file(&file.path());
    let second = edge.listener("second");
    let mut clients = Vec::new();
    for kept in [true, false, true, false] {
        let mut client = Raw::plain(second).await;
        if kept {
            client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
        }
        client.say(b"GET / HTTP/1.1\r\nHost:").await;
        clients.push(client);
    }
    eventually("all have come in", async || {
        let page = edge.admin().await.get("/metrics").await.text();
        page.contains("listener_connections_open{listener=\"second\"} 4.0\n")
    })
    .await;
    file.write(&with(false));
    is_in_force(&edge, 1).await;
    eventually("it is closed", async || Raw::try_plain(second).await.is_err()).await;
    let revision = edge.status().revision;
    for mut client in clients {
        client.say(b" shop.test\r\n\r\n").await;
        assert_eq!(client.hear(PATIENCE).await.answer().body, b"gone");
        assert!(client.ends(PATIENCE).await);
    }
    // Nothing of it is left once they have gone.
    eventually("its routes are forgotten", async || edge.status().revision > revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_59_a_certificate_that_went_bad_blocks_no_other_change() {
    let [a, b, _] = origin::three();
    let file = File { home: tempfile::tempdir().unwrap() };
    let shown = Certificate::new(&["shop.test"]);
    file.put_pair(&shown);
    let tls = |to: &Origin, keys: &str| {
        let tls = "tls = { cert = \"shop.pem\", key = \"shop.key\" }\n[pool.shop]";
        shop(&[to.address()], keys).replace("[pool.shop]", tls)
    };
    file.write(&tls(&a, ""));
    let edge = edge::from_file(&file.path());
    let expired = Certificate::expired(&["shop.test"]);
    file.put("shop.key", &expired.key);
    file.put("shop.pem", &expired.chain);
    eventually("it is told", async || edge.status().amiss.iter().any(|it| it.code == "PM0213")).await;
    file.write(&tls(&b, ""));
    is_in_force(&edge, 1).await;
    let status = edge.status();
    assert!(status.amiss.iter().any(|it| it.code == "PM0213"), "still told: {:?}", status.amiss);
    assert!(status.configuration.unwrap().refusal.is_none());
    assert!(leaf(&edge).await == shown.leaf);
    assert_eq!(Client::tls(edge.address()).await.get("/").await.text(), "b");
    // A new use of it is refused.
    let more =
        "[[listen]]\nname = \"more\"\naddress = \"127.0.0.1:0\"\ntls = { cert = \"shop.pem\", key = \"shop.key\" }\n";
    file.write(&(tls(&b, "") + more));
    eventually("it is refused", async || edge.status().configuration.unwrap().refusal.is_some()).await;
    // And taken, when it is in order.
    file.put_pair(&Certificate::new(&["shop.test"]));
    is_in_force(&edge, 2).await;
    eventually("nothing is amiss", async || edge.status().amiss.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_taken_when_its_certificate_comes() {
    let origin = Origin::named("a");
    let file = File::new(&shop(&[origin.address()], ""));
    let edge = edge::from_file(&file.path());
    let more =
        "[[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\ntls = { cert = \"shop.pem\", key = \"shop.key\" }\n";
    file.write(&(shop(&[origin.address()], "") + more));
    eventually("it is refused", async || edge.status().configuration.unwrap().refusal.is_some()).await;
    file.put_pair(&Certificate::new(&["shop.test"]));
    is_in_force(&edge, 1).await;
    assert_eq!(Client::tls(edge.listener("tls")).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_soon_is_warned_of_from_the_start_and_after_each_reload() {
    let [a, b, _] = origin::three();
    let file = File { home: tempfile::tempdir().unwrap() };
    file.put_pair(&Certificate::ending(&["shop.test"], Duration::from_secs(3 * 24 * 3600 + 60)));
    let tls = |to: &Origin| {
        let tls = "tls = { cert = \"shop.pem\", key = \"shop.key\" }\n[pool.shop]";
        shop(&[to.address()], "").replace("[pool.shop]", tls)
    };
    file.write(&tls(&a));
    let edge = edge::from_unwatched_file(&file.path());
    let warned = || edge.status().amiss.iter().map(|it| it.code.clone()).collect::<Vec<_>>();
    assert_eq!(warned(), ["PM0214"]);
    file.write(&tls(&b));
    assert_eq!(edge.reload().await.outcome, "applied");
    assert_eq!(warned(), ["PM0214"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sources_have_open_counts_on_when_their_listener_changes() {
    let origin = Origin::named("a");
    let limits = "limit = { connections_per_source = 2, requests_per_source = \"4/h\" }";
    let with =
        |keys: &str| shop(&[origin.address()], "").replace("name = \"plain\"", &format!("name = \"plain\"\n{keys}"));
    let file = File::new(&with(limits));
    let edge = edge::from_unwatched_file(&file.path());
    let mut held = Client::plain(edge.address()).await;
    for (idle, status) in [("50s", 200), ("60s", 200), ("70s", 200), ("80s", 200), ("90s", 429)] {
        assert_eq!(held.get("/").await.status, status, "{idle}");
        file.write(&with(&format!("{limits}\ntimeout = {{ idle = \"{idle}\" }}")));
        assert_eq!(edge.reload().await.changes, ["listener plain: timeout changed"]);
    }
    let other = Client::plain(edge.address()).await;
    eventually("both are in", async || {
        let page = edge.admin().await.get("/metrics").await.text();
        page.contains("listener_connections_open{listener=\"plain\"} 2.0\n")
    })
    .await;
    assert!(Raw::plain(edge.address()).await.ends(PATIENCE).await, "a third is one too many");
    // A greater limit lets it in, and knows of those that are open.
    file.write(&with(&(limits.replace("source = 2", "source = 3") + "\ntimeout = { idle = \"90s\" }")));
    assert_eq!(edge.reload().await.changes, ["listener plain: limit changed"]);
    let mut third = Raw::plain(edge.address()).await;
    third.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(third.hear(PATIENCE).await.status(), Some(429));
    assert!(Raw::plain(edge.address()).await.ends(PATIENCE).await);
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_tunnels_may_go_on_is_what_the_file_says_when_they_are_told_to_end() {
    let origin = Origin::new(|seen| if seen.has("upgrade") { echo("") } else { Reply::named("a") });
    let second = "[[listen]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\n";
    let with = |more: &str| shop(&[origin.address()], "") + more;
    let file = File::new(&with(&format!("{second}[server]\ntunnels = \"0s\"\n")));
    let edge = edge::from_unwatched_file(&file.path());
    let mut socket = Raw::plain(edge.listener("second")).await;
    let mut idle = Raw::plain(edge.listener("second")).await;
    opened(&mut socket).await;
    file.write(&with(&format!("{second}[server]\ntunnels = \"30s\"\n")));
    assert_eq!(edge.reload().await.changes, ["server: tunnels changed"]);
    file.write(&with("[server]\ntunnels = \"30s\"\n"));
    assert_eq!(edge.reload().await.outcome, "applied");
    assert!(idle.ends(PATIENCE).await, "connections of the second are told to end");
    echoes(&mut socket, b"after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_are_counted_and_the_end_of_a_certificate_is_told() {
    let origin = Origin::named("a");
    let file = File { home: tempfile::tempdir().unwrap() };
    let lasts = Duration::from_secs(30 * 24 * 3600);
    file.put_pair(&Certificate::ending(&["shop.test"], lasts));
    let with = |keys: &str| {
        let tls = format!("tls = {{ cert = \"shop.pem\", key = \"shop.key\" }}\n{keys}\n[pool.shop]");
        shop(&[origin.address()], "").replace("[pool.shop]", &tls)
    };
    file.write(&with(""));
    let edge = edge::from_file(&file.path());
    let page = async || edge.admin().await.get("/metrics").await.text();
    let before = page().await;
    for row in ["reloads_total{result=\"applied\"} 0\n", "reloads_total{result=\"refused\"} 0\n"] {
        assert!(before.contains(row), "{before}");
    }
    let row = format!("certificate=\"{}\"}} ", file.home.path().join("shop.pem").display());
    let ends: f64 = before.split(&row).nth(1).expect("a row").lines().next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((ends - (now + lasts).as_secs_f64()).abs() < 3600.0, "{ends}");

    file.write(&with("timeout = { idle = \"50s\" }"));
    is_in_force(&edge, 1).await;
    file.write("[[listen]");
    eventually("it is refused", async || edge.status().configuration.unwrap().refusal.is_some()).await;
    let after = page().await;
    for row in ["reloads_total{result=\"applied\"} 1\n", "reloads_total{result=\"refused\"} 1\n"] {
        assert!(after.contains(row), "{after}");
    }
}

/// The shop over a socket file of this mode.
fn over_a_file(path: &Path, mode: &str, origin: &Origin) -> String {
    let unix = format!("name = \"unix\"\naddress = \"unix:{}\"\nmode = \"{mode}\"", path.display());
    shop(&[origin.address()], "").replace("name = \"plain\"\naddress = \"127.0.0.1:0\"", &unix)
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_gets_the_mode_that_the_file_says() {
    let origin = Origin::named("a");
    let file = File { home: tempfile::tempdir().unwrap() };
    let path = file.home.path().join("shop.sock");
    let with = |mode| over_a_file(&path, mode, &origin);
    file.write(&with("0666"));
    let edge = edge::from_unwatched_file(&file.path());
    let mode = || mode_of(&path);
    assert_eq!(mode(), 0o666);
    let mut open = Client::unix(&path).await;
    assert_eq!(open.get("/").await.text(), "a");
    file.write(&with("0600"));
    assert_eq!(edge.reload().await.outcome, "applied");
    assert_eq!((mode(), open.get("/").await.text()), (0o600, "a".into()));
    assert_eq!(Client::unix(&path).await.get("/").await.text(), "a");
    edge.stop().await;
    assert!(!path.exists(), "it is still known for ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_moves_between_one_address_and_all_of_them() {
    let origin = Origin::named("a");
    let place = Place::new();
    let at = |address: &str| {
        let there = format!("\"{address}:{}\"", place.address().port());
        shop(&[origin.address()], "").replace("\"127.0.0.1:0\"", &there)
    };
    let file = File::new(&at("127.0.0.1"));
    let edge = edge::from_unwatched_file(&file.path());
    for (number, address) in (1..).zip(["0.0.0.0", "127.0.0.1", "0.0.0.0"]) {
        let mut before = Client::plain(place.address()).await;
        assert_eq!(before.get("/").await.text(), "a");
        file.write(&at(address));
        let reload = edge.reload().await;
        assert!(reload.refusal.is_none(), "{:?}", reload.refusal);
        is_in_force(&edge, number).await;
        assert_eq!(edge.status().listeners[0].address, format!("{address}:{}", place.address().port()));
        assert_eq!(Client::plain(place.address()).await.get("/").await.text(), "a");
        eventually("who came by the old one is let go", async || before.is_closed()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_said_holds_over_reloads_and_refusals() {
    let [a, b, c] = origin::three();
    let file = File::new(&shop(&[a.address(), b.address()], ""));
    let edge = edge::from_unwatched_file(&file.path());
    let mut admin = edge.admin().await;
    for (backend, order) in [(&a, "drain"), (&b, "weight/7")] {
        let target = format!("/v1/pools/shop/backends/{}/{order}", backend.address());
        assert_eq!(admin.send(client::request(Method::POST, &target)).await.unwrap().status, StatusCode::OK);
    }
    let stand = || {
        let stood = edge.pool("shop").backends;
        stood.into_iter().take(2).map(|it| (it.standing, it.weight, it.since_unix)).collect::<Vec<_>>()
    };
    let before = stand();
    assert_eq!((before[0].0.as_str(), before[1].1), ("draining", 7));
    file.write(&shop(&[a.address(), b.address()], "balancer = \"nobody\""));
    assert_eq!(edge.reload().await.outcome, "refused");
    assert_eq!(stand(), before);
    file.write(&shop(&[a.address(), b.address(), c.address()], ""));
    assert_eq!(edge.reload().await.outcome, "applied");
    assert_eq!(stand(), before);
}

async fn leaf(edge: &Edge) -> rustls::pki_types::CertificateDer<'static> {
    handshake(edge.address(), "shop.test", &[]).await.expect("a handshake").1.leaf
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_when_their_files_change_and_half_a_pair_is_not() {
    let origin = Origin::named("a");
    let (first, second) = (Certificate::new(&["shop.test"]), Certificate::new(&["shop.test"]));
    let tls = "tls = { cert = \"shop.pem\", key = \"shop.key\" }\n[pool.shop]";
    let text = shop(&[origin.address()], "").replace("[pool.shop]", tls);
    let file = File { home: tempfile::tempdir().unwrap() };
    file.put_pair(&first);
    file.write(&text);
    let edge = edge::from_file(&file.path());
    assert!(leaf(&edge).await == first.leaf);
    let mut open = Client::tls(edge.address()).await;
    open.get("/").await;
    let hello = Hello::new("shop.test", &["http/1.1"]);
    assert!(!visit(&edge, &hello).await);

    file.put("shop.pem", &second.chain);
    eventually("half a pair is told", async || edge.status().amiss.iter().any(|it| it.code == "PM0212")).await;
    assert!(leaf(&edge).await == first.leaf, "and the old pair is shown");
    // Asked to read everything again, it says so too, and takes what else there is.
    let reload = edge.reload().await;
    let warned: Vec<_> = reload.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!((reload.outcome.as_str(), warned), ("unchanged", vec!["PM0212"]));
    file.put("shop.key", &second.key);
    eventually("the whole pair is shown", async || leaf(&edge).await == second.leaf).await;
    eventually("nothing is amiss", async || edge.status().amiss.is_empty()).await;
    assert!(visit(&edge, &hello).await, "tickets stay good");
    assert_eq!(open.get("/").await.text(), "a");
    assert!(!open.is_closed(), "who is connected stays so");
    assert_eq!(edge.status().listeners[0].certificates[0].names, ["shop.test"]);
}

/// Comes by for one answer; whether the session of an earlier visit was resumed.
async fn visit(edge: &Edge, hello: &Hello) -> bool {
    let (mut stream, agreed) = handshake_with(edge.address(), hello).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
    agreed.resumed
}

#[tokio::test(flavor = "multi_thread")]
async fn without_watching_a_signal_or_a_command_has_the_file_read() {
    let [a, b, _] = origin::three();
    let room = Room::new();
    room.write("pointsman.toml", &shop(&[a.address()], ""));
    let running = room.start(&["run", "--no-watch"]);
    running.logs("serving pointsman.toml").await;
    let line = running.logs("listening on http://").await;
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let mut client = Client::plain(address).await;

    let said = room.run(&["reload"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "pointsman.toml read again: nothing is other\n"));
    room.write("pointsman.toml", &shop(&[b.address()], "[server]\nworkers = 77\ndrain = \"20s\"\n"));
    let said = room.run(&["reload"]).await;
    let expected = format!(
        "pointsman.toml reloaded, revision 3\n  pool shop: {} added; {} removed\n  server: drain changed\n\
         ! workers of [server] changed: takes effect at the next start; until then it stays as it was\n",
        b.address(),
        a.address()
    );
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), expected.as_str()), "{}", said.stderr);
    assert_eq!(client.get("/").await.text(), "b");

    room.write("pointsman.toml", &shop(&[a.address()], "timout = \"3s\""));
    let said = room.run(&["reload"]).await;
    assert_eq!(said.code, Some(2), "{}", said.stdout);
    for expected in ["error[PM0101]: unknown key `timout`", "did you mean `timeout`?", "^^^^^^"] {
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    let screen = room.run(&["status"]).await.stdout;
    assert!(screen.contains("pointsman.toml is refused as it is now"), "{screen}");
    room.write("pointsman.toml", &shop(&[a.address()], ""));
    running.hang_up();
    running.logs("reloaded, revision 4").await;
    assert_eq!(client.get("/").await.text(), "a");
    assert!(!room.run(&["status"]).await.stdout.contains("refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_is_heard_after_it() {
    let origin = Origin::named("a");
    let room = Room::new();
    // Never answers, so the start waits until it gives the name up.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = format!("[server]\nresolver = \"{}\"\n", silent.local_addr().unwrap());
    let named = shop(&[], &resolver).replace("backends = []", "backends = [\"shop.test:80\"]");
    room.write("pointsman.toml", &named);
    let running = room.start(&["run", "--no-watch"]);
    within("it asks for the name", silent.recv_from(&mut [0; 512])).await.unwrap();
    room.write("pointsman.toml", &shop(&[origin.address()], &resolver));
    running.hang_up();
    running.logs("reloaded, revision").await;
    let line = running.logs("listening on http://").await;
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(Client::plain(address).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_backends_is_read_again_with_the_configuration() {
    let origin = Origin::named("a");
    let certificate = Certificate::new(&["127.0.0.1"]);
    let shows = Shows { certificate: &certificate, protocols: &["http/1.1"], asks: false };
    let front = TlsFront::of(origin.address(), shows).await;
    let file = File::new("");
    file.put("ca.pem", &Certificate::stranger("somebody.test").chain);
    let ca = file.home.path().join("ca.pem");
    file.write(&shop(&[front.address()], &format!("tls = {{ ca = \"{}\" }}", ca.display())));
    let edge = edge::from_file(&file.path());
    assert_eq!(edge.reload().await.outcome, "unchanged");
    let mut client = Client::plain(edge.address()).await;
    assert!(client.get("/").await.status.is_server_error());
    // Followed, and read again with the configuration.
    file.put("ca.pem", &certs::authority_pem());
    eventually("it is believed", async || client.get("/").await.status == StatusCode::OK).await;
    file.put("ca.pem", "none");
    eventually("it is told", async || edge.status().amiss.iter().any(|it| it.code == "PM0211")).await;
    let reload = edge.reload().await;
    assert_eq!((reload.outcome.as_str(), reload.warnings.len()), ("unchanged", 1));
    assert_eq!(client.get("/").await.text(), "a", "the one before is believed");
    // Whoever asks for something else there is refused.
    file.write(&shop(&[front.address()], &format!("tls = {{ ca = \"{}\", sni = \"127.0.0.1\" }}", ca.display())));
    eventually("it is refused", async || edge.status().configuration.unwrap().refusal.is_some()).await;
    file.put("ca.pem", &certs::authority_pem());
    is_in_force(&edge, 1).await;
    assert_eq!(client.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_may_not_move_after_all_loses_nobody_who_comes_meanwhile() {
    let origin = Origin::named("a");
    let (place, server) = (Place::new(), NameServer::new().await);
    server.knows("silent.test", Zone::Silence, 1);
    let at = |address: &str, keys: &str| {
        let there = format!("\"{address}:{}\"", place.address().port());
        shop(&[origin.address()], keys).replace("\"127.0.0.1:0\"", &there)
    };
    let file = File::new(&at("0.0.0.0", ""));
    let edge = edge::from_file(&file.path());
    // What is wrong is found when the name server has been waited for.
    let keys = format!("balancer = \"nobody\"\n[server]\nresolver = \"{}\"\n", server.address());
    file.write(&at("127.0.0.1", &keys).replace("backends = [", "backends = [\"silent.test:80\", "));
    let is_over = std::cell::Cell::new(false);
    let reloading = async {
        let reload = edge.reload().await;
        is_over.set(true);
        reload
    };
    let coming = async {
        while !is_over.get() {
            let mut client = Client::plain(place.address()).await;
            assert_eq!(within("an answer", client.get("/")).await.text(), "a");
        }
    };
    let (reload, ()) = tokio::join!(reloading, coming);
    assert_eq!(reload.outcome, "refused");
    assert!(server.asked("silent.test") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_72_whom_a_renewed_certificate_asks_for_something_else_comes_anew() {
    let origin = Origin::named("a");
    let file = File { home: tempfile::tempdir().unwrap() };
    let put = |name: &str, certificate: &Certificate| {
        file.put(&format!("{name}.pem"), &certificate.chain);
        file.put(&format!("{name}.key"), &certificate.key);
    };
    put("staff", &Certificate::new(&["staff.test"]));
    put("shop", &Certificate::new(&["shop.test"]));
    file.put("ca.pem", &certs::authority_pem());
    let tls = "[[listen.tls]]\ncert = \"staff.pem\"\nkey = \"staff.key\"\n\
               client = { ca = \"ca.pem\", verify = \"require\" }\n\
               [[listen.tls]]\ncert = \"shop.pem\"\nkey = \"shop.key\"\n[pool.shop]";
    file.write(&shop(&[origin.address()], "").replace("[pool.shop]", tls));
    let edge = edge::from_file(&file.path());
    let mut open = Raw::try_tls_with(edge.address(), &Hello::new("shop.test", &["http/1.1"])).await.unwrap();
    let mut ask = async || {
        open.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        open.hear(PATIENCE).await.status()
    };
    assert_eq!(ask().await, Some(200));
    let renewed = Certificate::new(&["shop.test"]);
    put("shop", &renewed);
    eventually("the renewed one is shown", async || leaf(&edge).await == renewed.leaf).await;
    assert_eq!(ask().await, Some(200), "for the same names it concerns nobody");
    put("staff", &Certificate::new(&["staff.test", "shop.test"]));
    assert!(open.ends(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_a_socket_file_does_not_get_is_told_and_tried_again() {
    let origin = Origin::named("a");
    let file = File { home: tempfile::tempdir().unwrap() };
    let path = file.home.path().join("shop.sock");
    let with = |mode| over_a_file(&path, mode, &origin);
    file.write(&with("0666"));
    let edge = edge::from_file(&file.path());
    let mode = || mode_of(&path);
    // As another start of the program has it, while it puts a socket there.
    let directory = std::fs::File::open(file.home.path()).unwrap();
    directory.lock().unwrap();
    file.write(&with("0600"));
    let reload = edge.reload().await;
    assert_eq!(reload.warnings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(), ["PM0202"]);
    assert_eq!((reload.outcome.as_str(), mode()), ("applied", 0o666));
    directory.unlock().unwrap();
    let tried_again = async || {
        edge.reload().await;
        mode() == 0o600
    };
    eventually("it has it", tried_again).await;
    assert_eq!(edge.reload().await.outcome, "unchanged");
}
