//! Three backends under load, and one after the other falls ill: killed, started anew, frozen, slowed, made to answer with
//! nonsense. Meanwhile plugins are swapped. No idempotent request may fail. The order comes from a seed, which is printed.
//!
//! `cargo xtask soak --minutes N [--seed S]` runs it for longer.

use http::Method;
use pointsman::rng::Rng;
use pointsman_tests::{
    certs,
    cli::Room,
    client::Client,
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
    let edge = Running::start(&backends).await;
    let loads = edge.loads();
    let mut happened = BTreeMap::<String, u32>::new();
    let mut rng = Rng::new(seed);
    let (end, mut swaps) = (Instant::now() + lasts, 0);
    while Instant::now() < end {
        for trouble in shuffled(&mut rng) {
            let ill = &backends[below(&mut rng, 3) as usize];
            let (least, most) = TROUBLE_LASTS;
            let length = least + Duration::from_millis(below(&mut rng, (most - least).as_millis() as u64));
            *happened.entry(format!("{trouble:?}").to_lowercase()).or_default() += 1;
            begin(trouble, ill).await;
            swaps += 1;
            edge.swap(swaps).await;
            sleep(length).await;
            finish(trouble, ill).await;
            edge.all_ready().await;
        }
    }
    happened.insert("plugin swapped".into(), swaps as u32);
    let mut reports = BTreeMap::new();
    for (kind, load) in loads {
        reports.insert(kind, load.stop().await);
    }
    let attempts = edge.attempts().await;
    println!("{}", table(&reports, &happened, attempts));
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
}

impl Running {
    /// The budget is for all of them: one in three requests meets the backend that is ill.
    async fn start(backends: &[Process; 3]) -> Running {
        let room = Room::new();
        let certificate = certs::Certificate::new(&["shop.test"]);
        room.write("cert.pem", &certificate.chain);
        room.write("key.pem", &certificate.key);
        let addresses = backends.each_ref().map(|backend| format!("\"{}\"", backend.address())).join(", ");
        std::fs::create_dir(room.path().join("plugins")).unwrap();
        room.write(
            "pointsman.toml",
            &format!(
                "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
                 tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n\
                 [pool.shop]\nbackends = [{addresses}]\nbalancer = \"ours\"\nretry = {{ budget = \"100%\" }}\n\
                 eject = {{ time = \"200ms\" }}\n[plugins]\ndirectory = \"plugins\"\n",
            ),
        );
        let process = room.start(&["run"]);
        let listeners = room.answers("status").await["listeners"].clone();
        let address = |at: usize| listeners[at]["address"].as_str().unwrap().parse().unwrap();
        let running = Running { plain: address(0), tls: address(1), room, _process: process };
        running.swap(0).await;
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
    async fn swap(&self, number: u64) {
        let elsewhere = self.room.path().join("next.wasm");
        std::fs::write(&elsewhere, guests::numbered(&guests::stock("round-robin"), number)).unwrap();
        std::fs::rename(elsewhere, self.room.path().join("plugins/ours.wasm")).unwrap();
        arrives("the next generation serves", async || {
            let pool = self.pool().await;
            (pool["serving"] == "plugin" && pool["balancer"]["generation"].as_u64() > Some(number)).then_some(())
        })
        .await;
    }

    async fn all_ready(&self) {
        arrives("all backends are ready", async || {
            let pool = self.pool().await;
            let backends = pool["backends"].as_array().expect("backends");
            backends.iter().all(|backend| backend["standing"] == "ready").then_some(())
        })
        .await;
    }

    /// Of all backends, each one's first try of a request and each further one.
    async fn attempts(&self) -> u64 {
        let pool = self.pool().await;
        pool["backends"].as_array().expect("backends").iter().filter_map(|backend| backend["attempts"].as_u64()).sum()
    }

    async fn pool(&self) -> Value {
        self.room.answers("status").await["pools"][0].clone()
    }
}

fn table(reports: &BTreeMap<Kind, Report>, happened: &BTreeMap<String, u32>, attempts: u64) -> String {
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
    let sent: u64 = reports.values().map(|report| report.sent).sum();
    text += &format!("tried again: {}\n", attempts.saturating_sub(sent));
    let happened: Vec<_> = happened.iter().map(|(what, times)| format!("{what} {times} times")).collect();
    text + &format!("meanwhile: {}", happened.join(", "))
}

/// All of them, each once.
fn shuffled(rng: &mut Rng) -> Vec<Trouble> {
    let mut left = TROUBLES.to_vec();
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
