//! Three backends under load, and one after the other falls ill: killed, started anew, frozen, slowed, made to answer with
//! nonsense. Meanwhile plugins are swapped, and the configuration is: weights, who belongs to the pool, certificates. No
//! idempotent request may fail. The order comes from a seed, which is printed.
//!
//! `cargo xtask soak --minutes N [--seed S]` runs it for longer.

use http::Method;
use pointsman::rng::Rng;
use pointsman_tests::{
    certs::Certificate,
    cli::Room,
    client::{Client, handshake},
    guests,
    load::{Load, Pace, Report, Target},
    process::{Manner, Process, serve_if_asked},
    story::arrives,
};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// The story that a backend's process enters.
const BACKEND: &str = "chaos::a_backend_in_a_process_obeys";
/// How long it goes on, unless the environment says otherwise.
const LASTS: Duration = Duration::from_secs(20);
const MINUTES: &str = "POINTSMAN_SOAK_MINUTES";
const SEED: &str = "POINTSMAN_SOAK_SEED";
/// How long a trouble lasts, at the least and at the most.
const TROUBLE_LASTS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1500));

/// What can happen to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// `kill -9`, and started anew when the trouble is over.
    Killed,
    /// `kill -9`, and started anew at once.
    Restarted,
    /// `SIGSTOP`.
    Frozen,
    /// Answers after a quarter of a second.
    Slowed,
    /// Takes requests, and closes.
    Rude,
}

const TROUBLES: [Trouble; 5] = [Trouble::Killed, Trouble::Restarted, Trouble::Frozen, Trouble::Slowed, Trouble::Rude];

/// What can change meanwhile, beside the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Every backend's weight.
    Weights,
    /// The backend that is ill is taken out, and in again when its trouble is over.
    IllOneOut,
    /// A backend that is well is; one is left.
    WellOneOut,
    /// The listener's certificate is renewed.
    Certificate,
    /// Nothing.
    None,
}

const CHANGES: [Change; 5] =
    [Change::Weights, Change::IllOneOut, Change::WellOneOut, Change::Certificate, Change::None];

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_in_a_process_obeys() {
    if serve_if_asked().await {
        return;
    }
    let backend = Process::start("it", BACKEND).await;
    assert_eq!(Client::plain(backend.address()).await.get("/").await.text(), "it");
    backend.behaves(Manner::Ill("103"));
    arrives("it answers as it was told", async || {
        Some(Client::plain(backend.address()).await.get("/").await.text()).filter(|text| text == "ok")
    })
    .await;
    backend.kill();
    assert!(tokio::net::TcpStream::connect(backend.address()).await.is_err());
    backend.revive().await;
    let mut client = Client::plain(backend.address()).await;
    backend.freeze();
    let asked = tokio::spawn(async move { client.get("/").await.text() });
    sleep(Duration::from_millis(50)).await;
    assert!(!asked.is_finished(), "frozen, it does not answer");
    backend.thaw();
    assert_eq!(asked.await.unwrap(), "it");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_no_idempotent_request_fails_whatever_falls_ill() {
    let seed = environment(SEED).unwrap_or_else(|| Rng::from_entropy().bits());
    let lasts = environment(MINUTES).map_or(LASTS, |minutes| Duration::from_secs(60 * minutes));
    println!("seed {seed}: {SEED}={seed} repeats the order of what happens");
    let backends =
        [Process::start("a", BACKEND).await, Process::start("b", BACKEND).await, Process::start("c", BACKEND).await];
    let mut edge = Running::start(&backends).await;
    let loads = edge.loads();
    let mut happened = BTreeMap::<String, u32>::new();
    let mut rng = Rng::new(seed);
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        for (trouble, change) in shuffled(&mut rng, TROUBLES).into_iter().zip(shuffled(&mut rng, CHANGES)) {
            let ill = below(&mut rng, 3) as usize;
            let (least, most) = TROUBLE_LASTS;
            let length = least + Duration::from_millis(below(&mut rng, (most - least).as_millis() as u64));
            *happened.entry(format!("{trouble:?}").to_lowercase()).or_default() += 1;
            begin(trouble, &backends[ill]).await;
            edge.swap().await;
            edge.change(change, ill).await;
            sleep(length).await;
            finish(trouble, &backends[ill]).await;
            edge.all_in().await;
            edge.all_ready().await;
        }
    }
    happened.insert("plugin swapped".into(), edge.swaps as u32);
    happened.insert("configuration reloaded".into(), edge.reloads as u32);
    happened.insert("certificate renewed".into(), edge.renewals);
    let mut reports = BTreeMap::new();
    for (kind, load) in loads {
        reports.insert(kind, load.stop().await);
    }
    println!("{}", table(&reports, &happened, edge.retries().await));
    let (attempts, delivered) = edge.settled().await;
    println!("{attempts} attempts, {delivered} told to who chose them");
    assert!(attempts >= reports.values().map(|report| report.sent - report.failures()).sum(), "{attempts}");
    assert!(delivered * 10 > attempts * 9, "{delivered} of {attempts}");
    assert!(edge.swaps >= 3 && edge.reloads >= 3 && edge.renewals >= 1, "{happened:?}");
    for (kind, report) in &reports {
        assert!(report.sent >= 200, "{kind:?}: only {} were sent", report.sent);
        assert!(report.bodies.keys().all(|body| ["a", "b", "c"].contains(&body.as_str())), "{:?}", report.bodies);
        if kind.is_idempotent() {
            report.assert_all_answered();
        }
    }
}

async fn begin(trouble: Trouble, ill: &Process) {
    match trouble {
        Trouble::Killed => ill.kill(),
        Trouble::Restarted => {
            ill.kill();
            ill.revive().await;
        }
        Trouble::Frozen => ill.freeze(),
        Trouble::Slowed => ill.behaves(Manner::Slow(250)),
        Trouble::Rude => ill.behaves(Manner::Ill("early-close")),
    }
}

async fn finish(trouble: Trouble, ill: &Process) {
    match trouble {
        Trouble::Killed => ill.revive().await,
        Trouble::Restarted => {}
        Trouble::Frozen => ill.thaw(),
        Trouble::Slowed | Trouble::Rude => ill.behaves(Manner::Well),
    }
}

/// What is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Get,
    GetOverH2,
    Put,
    Post,
}

impl Kind {
    fn is_idempotent(self) -> bool {
        self != Kind::Post
    }

    fn words(self) -> &'static str {
        match self {
            Kind::Get => "GET over HTTP/1.1",
            Kind::GetOverH2 => "GET over HTTP/2",
            Kind::Put => "PUT of 4 KiB over HTTP/1.1",
            Kind::Post => "POST of 4 KiB over HTTP/1.1",
        }
    }
}

/// Pointsman as a process, with a plugin directory.
struct Running {
    room: Room,
    _process: pointsman_tests::cli::Running,
    plain: SocketAddr,
    tls: SocketAddr,
    backends: [SocketAddr; 3],
    /// As the file says it now: the weight of each backend, 0 for one that is out.
    weights: [u32; 3],
    /// Generations of the plugin behind the first.
    swaps: u64,
    /// Configurations behind the first.
    reloads: u64,
    renewals: u32,
}

impl Running {
    async fn start(backends: &[Process; 3]) -> Running {
        let room = Room::new();
        let certificate = Certificate::new(&["shop.test"]);
        room.write("cert.pem", &certificate.chain);
        room.write("key.pem", &certificate.key);
        std::fs::create_dir(room.path().join("plugins")).unwrap();
        let (backends, weights) = (backends.each_ref().map(Process::address), [1; 3]);
        room.write("pointsman.toml", &configuration(&backends, &weights));
        let process = room.start(&["run"]);
        let listeners = room.answers("status").await["listeners"].clone();
        let address = |at: usize| listeners[at]["address"].as_str().unwrap().parse().unwrap();
        let (plain, tls) = (address(0), address(1));
        let (swaps, reloads, renewals) = (0, 0, 0);
        let running = Running { plain, tls, room, _process: process, backends, weights, swaps, reloads, renewals };
        running.put_plugin().await;
        running.all_ready().await;
        running
    }

    fn loads(&self) -> Vec<(Kind, Load)> {
        let plain = || Target::plain(self.plain);
        [
            (Kind::Get, plain(), 100),
            (Kind::GetOverH2, Target::h2(self.tls), 60),
            (Kind::Put, plain().sending(Method::PUT, 4096), 40),
            (Kind::Post, plain().sending(Method::POST, 4096), 20),
        ]
        .map(|(kind, target, rate)| (kind, Load::start(target, Pace::PerSecond(rate))))
        .into()
    }

    /// Puts the same algorithm there as other bytes, and waits until they serve.
    async fn swap(&mut self) {
        self.swaps += 1;
        self.put_plugin().await;
    }

    async fn put_plugin(&self) {
        self.put("plugins/ours.wasm", &guests::numbered(&guests::guest("hears"), self.swaps));
        arrives("the next generation serves", async || {
            let pool = self.pool().await;
            (pool["serving"] == "plugin" && pool["balancer"]["generation"].as_u64() > Some(self.swaps)).then_some(())
        })
        .await;
    }

    /// Makes it so while this backend is ill, and waits until it is.
    async fn change(&mut self, change: Change, ill: usize) {
        match change {
            Change::Weights => self.reload(self.weights.map(|weight| weight % 3 + 1)).await,
            Change::IllOneOut => self.take_out(ill).await,
            Change::WellOneOut => self.take_out((ill + 1) % 3).await,
            Change::Certificate => self.renew().await,
            Change::None => {}
        }
    }

    async fn take_out(&mut self, backend: usize) {
        let mut weights = self.weights;
        weights[backend] = 0;
        self.reload(weights).await;
    }

    /// Whoever was taken out belongs to the pool again.
    async fn all_in(&mut self) {
        if self.weights.contains(&0) {
            self.reload([1; 3]).await;
        }
    }

    async fn reload(&mut self, weights: [u32; 3]) {
        (self.weights, self.reloads) = (weights, self.reloads + 1);
        self.put("pointsman.toml", configuration(&self.backends, &weights).as_bytes());
        arrives("the configuration is in force", async || {
            let status = self.room.answers("status").await;
            (status["configuration"]["reloads"].as_u64() >= Some(self.reloads)).then_some(())
        })
        .await;
    }

    async fn renew(&mut self) {
        self.renewals += 1;
        let certificate = Certificate::new(&["shop.test"]);
        self.put("cert.pem", certificate.chain.as_bytes());
        self.put("key.pem", certificate.key.as_bytes());
        arrives("the new certificate is shown", async || {
            let shown = handshake(self.tls, "shop.test", &[]).await.ok()?.1.leaf;
            (shown == certificate.leaf).then_some(())
        })
        .await;
    }

    /// Whole, at once.
    fn put(&self, name: &str, bytes: &[u8]) {
        let beside = self.room.path().join("beside");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, self.room.path().join(name)).unwrap();
    }

    async fn all_ready(&self) {
        arrives("all backends are ready", async || {
            let pool = self.pool().await;
            let backends = pool["backends"].as_array().expect("backends");
            let ready = backends.iter().filter(|backend| backend["standing"] == "ready");
            (ready.count() == self.backends.len()).then_some(())
        })
        .await;
    }

    async fn retries(&self) -> u64 {
        self.pool().await["retries"].as_u64().expect("a number")
    }

    /// Waits until nothing is under way: then each attempt was told of, or counted why not. How many there were, and how many
    /// of them were told of.
    async fn settled(&self) -> (u64, u64) {
        arrives("each attempt is told of, or counted why not", async || {
            let plugin = self.room.answers("status").await["plugins"][0].clone();
            assert_eq!(plugin["faults"], 0, "{plugin}");
            let all = &plugin["feedback"]["all_generations"];
            let count = |value: &Value| value.as_u64().expect("a number");
            let undelivered: u64 = all["undelivered"].as_object().expect("by reason").values().map(count).sum();
            let (attempts, delivered) = (count(&all["attempts"]), count(&all["delivered"]));
            assert!(delivered + undelivered <= attempts, "{plugin}");
            (delivered + undelivered == attempts).then_some((attempts, delivered))
        })
        .await
    }

    async fn pool(&self) -> Value {
        self.room.answers("status").await["pools"][0].clone()
    }
}

/// The budget is for all of them: one in three requests meets the backend that is ill.
fn configuration(backends: &[SocketAddr; 3], weights: &[u32; 3]) -> String {
    let inside = backends.iter().zip(weights).filter(|(_, weight)| **weight > 0);
    let inside: Vec<_> =
        inside.map(|(address, weight)| format!("{{ address = \"{address}\", weight = {weight} }}")).collect();
    format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n\
         [pool.shop]\nbackends = [{}]\nbalancer = \"ours\"\nretry = {{ budget = \"100%\" }}\n\
         eject = {{ time = \"200ms\" }}\n[plugins]\ndirectory = \"plugins\"\n",
        inside.join(", ")
    )
}

fn table(reports: &BTreeMap<Kind, Report>, happened: &BTreeMap<String, u32>, retries: u64) -> String {
    let mut text =
        format!("{:<30} {:>8} {:>8} {:>8} {:>9} {:>9}\n", "", "sent", "answered", "failed", "p99", "slowest");
    for (kind, report) in reports {
        let millis = |share| format!("{} ms", report.latency(share).as_millis());
        text += &format!(
            "{:<30} {:>8} {:>8} {:>8} {:>9} {:>9}\n",
            kind.words(),
            report.sent,
            report.sent - report.failures(),
            report.failures(),
            millis(0.99),
            millis(1.0)
        );
        if report.failures() > 0 {
            text += &format!("{:<30} statuses {:?}, others {:?}\n", "", report.answered, report.failed);
        }
    }
    text += &format!("tried again: {retries}\n");
    let happened: Vec<_> = happened.iter().map(|(what, times)| format!("{what} {times} times")).collect();
    text + &format!("meanwhile: {}", happened.join(", "))
}

/// All of them, each once.
fn shuffled<T: Copy, const N: usize>(rng: &mut Rng, all: [T; N]) -> Vec<T> {
    let mut left = all.to_vec();
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.swap_remove(below(rng, left.len() as u64) as usize));
    }
    order
}

fn below(rng: &mut Rng, end: u64) -> u64 {
    rng.bits() % end
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
