//! A new file under a plugin's name, while traffic flows: nobody notices, and nothing is left behind.

use http::{Method, StatusCode};
use pointsman::plugin::stock;
use pointsman_tests::{
    alone,
    client::{self, Client, Streaming},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    memory,
    origin::{self, Gate, Origin, Reply},
    plugins::Plugins,
    story::{arrives, eventually, within},
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Requests a second while a plugin is swapped. All that were due are sent, however late on a busy machine.
const RATE: u32 = 2000;

fn round_robin() -> Vec<u8> {
    guests::stock("round-robin")
}

fn least_request() -> Vec<u8> {
    guests::stock("least-request")
}

/// Waits until the generation of this number serves the plugin's name, and gives how long it took to its first pick.
async fn serves(edge: &Edge, name: &str, generation: u64) -> Duration {
    let begun = Instant::now();
    eventually("the new generation picks", async || {
        let plugin = edge.plugin(name);
        plugin.generation == Some(generation) && plugin.picks > 0
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_under_load_fail_no_request() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::numbered(&round_robin(), 1));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).start();
    assert_eq!(edge.plugin("ours").generation, Some(1));
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    eventually("the first generation picks", async || edge.plugin("ours").picks > 500).await;

    // Another algorithm, the first again under other bytes, and the other again.
    let next = [least_request(), guests::numbered(&round_robin(), 2), guests::numbered(&least_request(), 3)];
    for (generation, bytes) in (2..).zip(next) {
        plugins.put("ours", &bytes);
        let took = serves(&edge, "ours", generation).await;
        println!("generation {generation} picked first {took:?} after the rename");
        eventually("it picks on", async || edge.plugin("ours").picks > 200).await;
    }
    let report = load.stop().await;
    report.assert_all_answered();
    assert!(report.rate() >= f64::from(RATE), "the load was not what it should be: {}/s", report.rate());
    let ours = edge.plugin("ours");
    assert_eq!((ours.faults, ours.fallbacks, ours.generation), (0, 0, Some(4)));
    println!("{} requests at {:.0}/s, p99 {:?}", report.sent, report.rate(), report.latency(0.99));
}

/// What a stock plugin's `plugin.toml` says of interest here.
#[derive(Deserialize)]
struct Manifest {
    kind: String,
    #[serde(default)]
    cost: Vec<Cost>,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(default)]
    settings: toml::Table,
}

/// The stock balancers, in groups that take the same settings.
fn by_settings() -> BTreeMap<String, Vec<&'static str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in stock::names() {
        let manifest: Manifest = toml::from_str(stock::manifest(name).unwrap()).unwrap();
        if manifest.kind == "balancer" {
            let settings = manifest.cost.first().map(|cost| cost.settings.clone()).unwrap_or_default();
            groups.entry(serde_json::to_string(&settings).unwrap()).or_default().push(name);
        }
    }
    groups
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stock_balancer_is_swapped_under_load() {
    for (settings, names) in by_settings() {
        let [a, b, c] = origin::three();
        let plugins = Plugins::new();
        plugins.put("ours", &guests::stock(names[0]));
        let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins);
        let edge = edge.with(|pool| pool.settings = settings.clone()).start();
        let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
        eventually("the first picks", async || edge.plugin("ours").picks > 200).await;
        // Each to the next, and the last to itself under other bytes: what it kept is the same, its instances are not.
        let last = names.last().unwrap();
        let again = guests::numbered(&guests::stock(last), 1);
        let next = names[1..].iter().map(|name| guests::stock(name)).chain([again]);
        for (generation, bytes) in (2..).zip(next) {
            plugins.put("ours", &bytes);
            serves(&edge, "ours", generation).await;
            eventually("it picks on", async || edge.plugin("ours").picks > 200).await;
        }
        let report = load.stop().await;
        report.assert_all_answered();
        // Some have no opinion of a request, and leave it to the fallback.
        assert_eq!(edge.plugin("ours").faults, 0, "{names:?} with {settings}");
        println!("{} requests at {:.0}/s over {names:?}: none failed", report.sent, report.rate());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_ends_on_what_it_began_with() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/held" => Reply::named("held").once_open(&open),
        _ => Reply::named("a"),
    });
    let plugins = Plugins::new();
    plugins.put("ours", &round_robin());
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    let mut held = Client::plain(edge.address()).await;
    let held = tokio::spawn(async move { held.get("/held").await });
    eventually("the backend has it", async || origin.open_requests() > 0).await;
    plugins.put("ours", &least_request());
    let mut client = Client::plain(edge.address()).await;
    eventually("the new generation picks", async || {
        assert_eq!(client.get("/").await.text(), "a");
        edge.plugin("ours").generation == Some(2) && edge.plugin("ours").picks > 0
    })
    .await;
    assert!(!held.is_finished(), "its answer is held back");
    gate.open();
    let answer = within("it is answered", held).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "held"));
    // Asked once: the swap made nobody ask again.
    assert_eq!(origin.seen().iter().filter(|seen| seen.target == "/held").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_leaves_the_old_one_serving() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &round_robin());
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(100));
    plugins.put("ours", &guests::core_module());
    let problem = arrives("the refusal is told", async || edge.plugin("ours").problem).await;
    assert_eq!(problem.code, "PM0301");
    let ours = edge.plugin("ours");
    assert!(
        problem.serving.is_some_and(|text| text.contains(&ours.hash.clone().unwrap())),
        "it says what still serves"
    );
    assert_eq!((ours.generation, ours.state.as_str(), ours.fallbacks), (Some(1), "serving", 0));
    // The good bytes again are the generation that serves: nothing new, and nothing wrong any more.
    plugins.put("ours", &round_robin());
    eventually("the problem is gone", async || edge.plugin("ours").problem.is_none()).await;
    assert_eq!(edge.plugin("ours").generation, Some(1));
    plugins.put("ours", &least_request());
    serves(&edge, "ours", 2).await;
    load.stop().await.assert_all_answered();
}

const SWAPS: u64 = 1000;
const SLOW_BODIES: usize = 100;

/// In a process of its own, so that what the system says of its memory is about this alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_swaps_leave_nothing_behind() {
    if !alone::here("hotswap::a_thousand_swaps_leave_nothing_behind") {
        return;
    }
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/slow" => Reply::open_until(&open, Duration::from_millis(500)),
        _ => Reply::named("a"),
    });
    let plugins = Plugins::new();
    let component = round_robin();
    plugins.put("ours", &guests::numbered(&component, 0));
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins);
    // Compiled code is not kept: a thousand files of it would be.
    let edge = edge.options(|options| {
        options.plugins_quiet = Duration::from_millis(5);
        options.cache = None;
    });
    let edge = edge.start();
    let mut slow = Vec::new();
    for _ in 0..SLOW_BODIES {
        let mut client = Client::plain(edge.address()).await;
        let answer = client.open(client::request(Method::GET, "/slow")).await.unwrap();
        slow.push((client, answer));
    }
    let mut client = Client::plain(edge.address()).await;
    let first = edge.plugin("ours").generation.expect("admitted at start");
    let (mut readings, pid) = (Vec::new(), std::process::id());
    for number in 1..=SWAPS {
        plugins.put("ours", &guests::numbered(&component, number));
        within("a swap", async {
            loop {
                // A request on each round: the new generation's instance is taken, and the old one let go.
                assert_eq!(client.get("/").await.text(), "a");
                if edge.plugin("ours").generation == Some(first + number) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        // What the backend remembers is this story's, not the balancer's.
        origin.forget();
        readings.push(memory::resident(pid));
    }
    // What the compiler gave back a moment ago may still be counted or not, so a single reading says little.
    let around = |swap: usize| median(&readings[swap..swap + 100]);
    let (early, end) = (around(20), around(readings.len() - 100));
    println!("memory behind the 20th swap {early}, at the end {end}");
    assert!(end <= early + early / 10, "{early} bytes behind the 20th swap, {end} at the end");
    assert_eq!(edge.plugin("ours").faults, 0);
    end_well(&gate, slow).await;
}

/// The one in the middle.
fn median(readings: &[u64]) -> u64 {
    let mut readings = readings.to_vec();
    readings.sort_unstable();
    readings[readings.len() / 2]
}

/// Each slow body was open all the time, and ends as it should.
async fn end_well(gate: &Gate, slow: Vec<(Client, Streaming)>) {
    gate.open();
    for (_client, answer) in slow {
        let answer = answer.rest().await.expect("it ends well");
        assert!(answer.body.starts_with(b"first.") && answer.body.ends_with(b"last"));
    }
}
