//! The binary as its users meet it, from `try` to an algorithm of their own.

use pointsman_tests::{
    alone,
    cli::{Room, Running},
    client::{Client, Raw},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Origin},
    story::{arrives, eventually, within},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// A running `pointsman try`.
struct Try {
    room: Room,
    running: Running,
    address: SocketAddr,
    plugins: PathBuf,
}

async fn try_it(more: &[&str]) -> Try {
    let room = Room::new();
    let arguments = [&["try", "--listen", "127.0.0.1:0"], more].concat();
    let running = room.start(&arguments);
    running.prints("Ctrl-C stops everything").await;
    let line = running.prints("https://localhost:").await;
    let port = line.split("https://localhost:").nth(1).unwrap().split_whitespace().next().unwrap();
    let line = running.prints("takes over").await;
    let plugins = line.split("into ").nth(1).unwrap().split(" takes over").next().unwrap().into();
    Try { room, running, address: format!("127.0.0.1:{port}").parse().unwrap(), plugins }
}

impl Try {
    /// What `plugin ls --json` says of a plugin.
    async fn plugin(&self, name: &str) -> Option<Value> {
        let said = self.room.run(&["plugin", "ls", "--json"]).await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let all: Vec<Value> = serde_json::from_str(&said.stdout).expect("JSON");
        all.into_iter().find(|plugin| plugin["name"] == name)
    }

    /// Who answers `curl -k`, in order.
    async fn curl(&self, times: usize) -> Vec<String> {
        let mut client = Client::insecure(self.address).await;
        let mut answers = Vec::new();
        for _ in 0..times {
            answers.push(client.get("/").await.text().trim().to_owned());
        }
        answers
    }

    fn target(&self) -> Target {
        Target::insecure(self.address)
    }
}

/// The share of the slow backend among so many answers.
fn slow_share(bodies: &BTreeMap<String, u64>) -> f64 {
    let all: u64 = bodies.values().sum();
    bodies.get("backend-3\n").copied().unwrap_or(0) as f64 / all as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn try_answers_from_three_backends_in_turn_and_ends_cleanly() {
    let mut tried = try_it(&[]).await;
    let answers = tried.curl(6).await;
    assert_eq!(answers[..3], answers[3..], "in turn: {answers:?}");
    let distinct: std::collections::BTreeSet<_> = answers.iter().collect();
    assert_eq!(distinct.len(), 3, "{answers:?}");
    assert!(tried.running.stdout().contains("curl -k https://localhost:"));
    assert!(tried.plugins.is_dir());
    tried.running.interrupt();
    assert_eq!(tried.running.ends().await.code(), Some(0));
    assert!(!tried.plugins.exists(), "the fresh directory goes with it");
    assert!(Raw::try_plain(tried.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_plugin_changes_the_spread_under_load_and_no_request_is_lost() {
    let tried = try_it(&[]).await;
    let load = Load::start(tried.target(), Pace::Parallel(8));
    eventually("round robin serves all alike", async || load.so_far().bodies.values().sum::<u64>() > 300).await;
    let before = slow_share(&load.so_far().bodies);
    assert!((0.25..0.42).contains(&before), "the slow backend had {before} of round robin");

    // `pointsman plugin export least-request > DIR/round-robin.wasm`: written in place, as a shell does.
    let exported = tried.room.run(&["plugin", "export", "least-request"]).await;
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    assert_eq!(exported.bytes, guests::stock("least-request"));
    std::fs::write(tried.plugins.join("round-robin.wasm"), &exported.bytes).unwrap();
    let plugin = arrives("the file is live", async || {
        tried.plugin("round-robin").await.filter(|plugin| plugin["origin"] == "file" && plugin["picks"] != 0)
    })
    .await;
    assert_eq!((plugin["faults"].as_u64(), plugin["fallbacks"].as_u64()), (Some(0), Some(0)));
    let live = load.so_far();
    let since = || load.so_far().bodies_since(&live);
    eventually("least request has chosen often", async || since().values().sum::<u64>() > 300).await;
    let after = slow_share(&since());
    assert!(after < before / 2.0, "the slow backend had {before}, now it has {after}");
    load.stop().await.assert_all_answered();
}

/// The newcomer's first five minutes, from `try` to a trap in a plugin written by hand, with traffic unharmed.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_minutes() {
    let mut tried = try_it(&[]).await;
    let room = &tried.room;
    let said = room.run(&["plugin", "new", "mine"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mine = room.path().join("mine");
    let source = mine.join("src/lib.rs");
    let written = std::fs::read_to_string(&source).unwrap();
    assert!(written.lines().count() < 80, "an algorithm fits on a page:\n{written}");

    let said = room.run_in(&mine, &["plugin", "build"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let load = Load::start(tried.target(), Pace::PerSecond(50));
    let said = room.run_in(&mine, &["plugin", "install"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let live = arrives("it is live", async || tried.plugin("mine").await.filter(|mine| mine["picks"] != 0)).await;
    assert_eq!((live["generation"].as_u64(), live["state"].as_str()), (Some(1), Some("serving")));
    assert_eq!((live["faults"].as_u64(), live["hash"].as_str().map(str::len)), (Some(0), Some(7)));
    let table = room.run(&["plugin", "ls"]).await.stdout;
    let line = table.lines().find(|line| line.contains("mine")).unwrap_or_else(|| panic!("mine is not in\n{table}"));
    assert!(line.contains(live["hash"].as_str().unwrap()), "{table}");

    // A panic that the trial meets: refused, and the old one serves on.
    let pick = written.find("fn pick").expect("a pick");
    let body = pick + written[pick..].find("{\n").expect("its body") + 2;
    let with = |line: &str| [&written[..body], line, "\n", &written[body..]].concat();
    std::fs::write(&source, with("panic!(\"five minutes\");")).unwrap();
    assert_eq!(room.run_in(&mine, &["plugin", "build"]).await.code, Some(0));
    let said = room.run_in(&mine, &["plugin", "install"]).await;
    let refused =
        arrives("it is refused", async || tried.plugin("mine").await.filter(|mine| !mine["problem"].is_null())).await;
    assert_eq!(refused["problem"]["code"], "PM0306", "{}{}", said.stdout, said.stderr);
    assert_eq!((refused["generation"].as_u64(), refused["hash"].clone()), (Some(1), live["hash"].clone()));

    // One that it does not meet: requests are served all the same, and after five the one before is back.
    let trap = "if request::header(\"x-trap\").is_some() { panic!(\"five minutes\"); }";
    std::fs::write(&source, with(trap)).unwrap();
    let said = room.run_in(&mine, &["plugin", "build"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(room.run_in(&mine, &["plugin", "install"]).await.code, Some(0));
    arrives("the second generation is live", async || {
        tried.plugin("mine").await.filter(|mine| mine["generation"] == 2 && mine["picks"] != 0)
    })
    .await;
    let mut client = Client::insecure(tried.address).await;
    for _ in 0..12 {
        let request = http::Request::get("/").header("x-trap", "1").body(Default::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
    let back =
        arrives("the first one is back", async || tried.plugin("mine").await.filter(|mine| mine["generation"] == 1))
            .await;
    assert_eq!((&back["state"], &back["held_back"]["why"]), (&"serving".into(), &"quarantined".into()), "{back}");
    tried.running.logs("PM0401").await;
    assert!(tried.running.stderr().contains("five minutes"), "{}", tried.running.stderr());
    load.stop().await.assert_all_answered();
    tried.running.interrupt();
    assert_eq!(tried.running.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_of_the_demo_prints_decisions_with_figures() {
    let tried = try_it(&[]).await;
    let load = Load::start(tried.target(), Pace::PerSecond(20));
    let tap = tried.room.start(&["tap", "demo", "--follow"]);
    let line = tap.prints("GET / → backend-").await;
    assert!(line.contains("round-robin (generation 1) in ") && line.contains("it is the turn of backend-"), "{line}");
    let line = tap.prints(" under way, ").await;
    assert!(line.contains("backend-1 (") && line.contains("backend-3 (") && line.contains('*'), "{line}");
    let said = tried.room.run(&["tap", "demo", "--json"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let decisions: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(decisions.len(), 10, "{}", said.stdout);
    assert!(decisions.iter().all(|decision| decision["candidates"].as_array().unwrap().len() == 3));
    load.stop().await.assert_all_answered();
    let said = tried.room.run(&["tap", "nobody"]).await;
    assert!(said.code == Some(1) && said.stderr.contains("no such pool"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tries_do_not_stand_in_each_others_way() {
    let first = try_it(&[]).await;
    // The second shares the first's runtime directory, as it would for one user.
    let second = first.room.start(&["try", "--listen", "127.0.0.1:0"]);
    second.prints("Ctrl-C stops everything").await;
    let line = second.prints("add --admin").await;
    let address = line.split("--admin ").nth(1).unwrap().split_whitespace().next().unwrap();
    let said = first.room.run(&["status", "--json", "--admin", address]).await;
    let status: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(status["pid"], second.pid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_default_port_is_said_and_replaced() {
    // Whoever has it, this story or somebody else: taken it is.
    let _taken = std::net::TcpListener::bind("127.0.0.1:8443");
    let room = Room::new();
    let running = room.start(&["try"]);
    running.prints("8443 is taken").await;
    let line = running.prints("https://localhost:").await;
    assert!(!line.contains(":8443 "), "{line}");
}

fn serving(room: &Room, origin: &Origin, more: &str) {
    let config = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.shop]\nbackends = [\"{}\"]\n\
         [plugins]\ndirectory = \"plugins\"\n{more}",
        origin.address()
    );
    std::fs::create_dir_all(room.path().join("plugins")).unwrap();
    room.write("pointsman.toml", &config);
}

/// Where a running `run` listens, from `status`.
async fn listens(room: &Room) -> SocketAddr {
    let status = room.answers("status").await;
    status["listeners"][0]["address"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_serves_drains_on_sigterm_and_says_how_it_went() {
    let room = Room::new();
    let origin = Origin::named("a");
    serving(&room, &origin, "");
    let mut running = room.start(&["run"]);
    let address = listens(&room).await;
    assert_eq!(Client::plain(address).await.get("/").await.text(), "a");
    let text = room.run(&["status"]).await.stdout;
    assert!(text.contains("round-robin") && text.contains("1/1 ready"), "{text}");
    running.terminate();
    assert_eq!(running.ends().await.code(), Some(0));
}

/// Alone, for the limit that it lowers is its process's, and the binary inherits it.
#[tokio::test(flavor = "multi_thread")]
async fn run_asks_for_all_the_open_files_that_it_may_have() {
    if !alone::here("cli::run_asks_for_all_the_open_files_that_it_may_have") {
        return;
    }
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limits }).unwrap();
    let room = Room::new();
    let origin = Origin::named("a");
    serving(&room, &origin, "");
    room.start(&["run", "-v"]).logs("open files are allowed from now on, instead of 256").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_cut_off_is_exit_1() {
    let room = Room::new();
    let gate = origin::Gate::default();
    let origin = Origin::new(move |_| origin::Reply::open_until(&gate, std::time::Duration::from_millis(20)));
    serving(&room, &origin, "[server]\ndrain = \"200ms\"\n");
    let mut running = room.start(&["run"]);
    let mut client = Client::plain(listens(&room).await).await;
    let _answer = client.open(pointsman_tests::client::request(http::Method::GET, "/")).await.unwrap();
    running.terminate();
    assert_eq!(running.ends().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_in_the_log_under_the_id_that_the_client_was_told() {
    let room = Room::new();
    let origin = origin::misbehaving();
    serving(&room, &origin, "");
    let running = room.start(&["run"]);
    let mut client = Client::plain(listens(&room).await).await;
    let told = client.get("/early-close").await.text();
    let id = told.split("request ").nth(1).expect("an id").trim();
    let line = running.logs(id).await;
    assert!(line.contains("WARN") && line.contains("502") && line.contains("without an answer"), "{line}");
    assert!(line.contains("shop") && line.contains(&origin.address().to_string()), "{line}");
    let _ = client.send(pointsman_tests::client::request(http::Method::GET, "/truncate")).await;
    let line = running.logs("an answer broke off").await;
    assert!(line.contains("WARN") && line.contains(&origin.address().to_string()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_73_a_second_process_is_told_that_the_address_is_taken() {
    let (first, second) = (Room::new(), Room::new());
    let origin = Origin::named("a");
    serving(&first, &origin, "");
    let running = first.start(&["run"]);
    let address = listens(&first).await;
    serving(&second, &origin, "");
    let config = std::fs::read_to_string(second.path().join("pointsman.toml")).unwrap();
    second.write("pointsman.toml", &config.replace("127.0.0.1:0", &address.to_string()));
    let said = second.run(&["run"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("PM0201") && said.stderr.contains(&running.pid().to_string()), "{}", said.stderr);
    assert_eq!(Client::plain(address).await.get("/").await.text(), "a", "the first serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_knows_the_process_that_serves_the_same_file_from_any_other() {
    let room = Room::new();
    let origin = Origin::named("a");
    serving(&room, &origin, "");
    let running = room.start(&["run"]);
    let address = listens(&room).await.to_string();
    let config = std::fs::read_to_string(room.path().join("pointsman.toml")).unwrap();
    let other = room.run(&["check"]).await;
    assert_eq!(other.code, Some(2), "it has another listener: {}", other.stdout);
    assert!(other.stderr.contains("PM0201") && other.stderr.contains("admin address"), "{}", other.stderr);
    room.write("pointsman.toml", &config.replace("127.0.0.1:0", &address));
    let same = room.run(&["check"]).await;
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let served = format!("is served by the Pointsman that runs already, pid {}", running.pid());
    assert_eq!(same.stdout.matches(&served).count(), 2, "{}", same.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_prints_is_heard() {
    let room = Room::new();
    let origin = Origin::named("a");
    serving(
        &room,
        &origin,
        "[[route]]\npool = \"shop\"\nfilters = [{ plugin = \"says\", settings = { do = [[\"print\"]] } }]\n",
    );
    std::fs::write(room.path().join("plugins/says.wasm"), guests::guest("edits")).unwrap();
    let running = room.start(&["run"]);
    assert_eq!(Client::plain(listens(&room).await).await.get("/").await.text(), "a");
    running.logs("printed in on-request").await;
    let said = room.run(&["plugin", "log", "says"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.stdout.lines().any(|line| line.starts_with("info ") && line.contains("printed in on-request")),
        "{}",
        said.stdout
    );
    let lines: Vec<Value> =
        serde_json::from_str(&room.run(&["plugin", "log", "says", "--json"]).await.stdout).expect("JSON");
    assert!(lines.iter().any(|line| line["text"] == "complained in on-request"), "{lines:?}");
    for nobody in ["nobody", "../../status"] {
        assert_eq!(room.run(&["plugin", "log", nobody]).await.code, Some(1), "{nobody}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_tells_what_a_component_is() {
    let room = Room::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(room.path().join(name), bytes).unwrap();
    write("good.wasm", &guests::stock("least-request"));
    write("core.wasm", &guests::core_module());
    let said = room.run(&["plugin", "inspect", "good.wasm"]).await;
    assert!(said.code == Some(0) && said.stdout.contains("balancer"), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("\nabout    the backend with the fewest requests"), "{}", said.stdout);
    assert!(said.stdout.contains("\nsettings bias: take turns"), "{}", said.stdout);
    let said = room.run(&["plugin", "inspect", "good.wasm", "--json"]).await;
    let told: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout));
    assert_eq!(told["about"]["settings"][0]["name"], "bias");
    let said = room.run(&["plugin", "inspect", "core.wasm"]).await;
    assert!(said.code != Some(0) && said.stderr.contains("PM0301"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn install_takes_a_file_and_refuses_a_bad_one() {
    let tried = try_it(&[]).await;
    let write = |name: &str, bytes: &[u8]| std::fs::write(tried.room.path().join(name), bytes).unwrap();
    write("ours.wasm", &guests::stock("random"));
    write("bad.wasm", &guests::core_module());
    let said = tried.room.run(&["plugin", "install", "ours.wasm"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(tried.plugins.join("ours.wasm").exists());
    within("it is live", async {
        while tried.plugin("ours").await.is_none_or(|ours| ours["picks"] == 0) {
            tried.curl(1).await;
        }
    })
    .await;
    let said = tried.room.run(&["plugin", "install", "bad.wasm"]).await;
    assert!(said.code != Some(0) && said.stderr.contains("PM0301"), "{}", said.stderr);
    assert!(!tried.plugins.join("bad.wasm").exists(), "a bad file does not get that far");
}

#[tokio::test(flavor = "multi_thread")]
async fn export_writes_a_file_whole() {
    let room = Room::new();
    let said = room.run(&["plugin", "export", "power-of-two", "-o", "p2c.wasm"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(std::fs::read(room.path().join("p2c.wasm")).unwrap(), guests::stock("power-of-two"));
    let said = room.run(&["plugin", "export", "nobody-knows-it"]).await;
    assert!(said.code != Some(0) && said.bytes.is_empty(), "{}", said.stderr);
}
