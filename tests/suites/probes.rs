//! Backends that are asked how busy they are, for balancers that want to know: what is sent, how often, and what is told.

use super::reload::{File, is_in_force, shop};
use http::Request;
use http_body_util::Full;
use pointsman::config::model::{BalancerChoice, Link, Probe, ProbeBy, Protocol};
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    guests,
    h2_origin::{Act, H2Origin},
    load::{Load, Pace, Target},
    origin::{Gate, Origin, Reply, Step},
    plugins::Plugins,
    story::eventually,
};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

const LOAD: &str = "/load";

fn by_path() -> Probe {
    Probe::by(ProbeBy::Get(LOAD.into()))
}

/// Answers probes so, and everything else with its name.
fn says(name: &'static str, load: impl Fn() -> Reply + Send + Sync + 'static) -> Origin {
    Origin::new(move |seen| if seen.target == LOAD { load() } else { Reply::named(name) })
}

fn asking(plugins: &Plugins, backends: &[&dyn edge::Backend], settings: &str) -> edge::Builder {
    plugins.put("asks", &guests::guest("asks"));
    let builder = edge::plain().workers(1).pool("shop", backends).balancer("asks").plugins(plugins);
    builder.with(|pool| {
        pool.settings = settings.into();
        pool.probe = Some(by_path());
        pool.health.interval = Duration::from_secs(3600);
        for (backend, name) in pool.backends.iter_mut().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            backend.name = name.into();
        }
    })
}

async fn ask(edge: &Edge) {
    assert_eq!(Client::plain(edge.address()).await.get("/").await.status, 200);
}

/// Waits for this line of the plugin's log.
async fn told(edge: &Edge, expected: &str) {
    eventually(expected, async || edge.log("asks").await.iter().any(|line| line == expected)).await;
}

fn probes_of(origin: &Origin) -> usize {
    origin.seen().iter().filter(|seen| seen.target == LOAD).count()
}

/// The connections that probes came on.
fn connections_of(origin: &Origin) -> usize {
    let seen = origin.seen().into_iter().filter(|seen| seen.target == LOAD);
    seen.map(|seen| seen.connection).collect::<HashSet<_>>().len()
}

/// Says that one is under way, once the gate is open.
fn gated(name: &'static str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    says(name, move || Reply::status(200, "1").once_open(&gate))
}

/// A file with this backend, `asks`, and these lines for the pool.
fn file_of(origin: &Origin, plugins: &Plugins, keys: &str) -> String {
    let directory = plugins.path();
    let keys = format!("balancer = \"asks\"\n{keys}\n[plugins]\ndirectory = {:?}\n", directory.display().to_string());
    shop(&[origin.address()], &keys)
}

/// A row of the page of metrics.
async fn counted(edge: &Edge, row: &str) -> u64 {
    let page = edge.admin().await.get("/metrics").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("pointsman_pool_{row} ")));
    line.unwrap_or_else(|| panic!("{row}: {page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_backends_say_is_told_whatever_it_is() {
    let origins = [
        says("a", || Reply::status(200, r#"{"in_flight": 3, "latency_us": 1200}"#)),
        says("b", || Reply::status(200, "7\n")),
        says("c", || Reply::status(200, "busy as ever")),
        says("d", || Reply::status(503, "9")),
        says("e", || Reply::status(200, &format!("{}1", " ".repeat(8 << 10)))),
        says("f", || Reply::bytes("SSH-2.0-OpenSSH_9.9\r\n").then(Step::Close)),
        says("g", Reply::silence),
    ];
    let backends: Vec<&dyn edge::Backend> = origins.iter().map(|origin| origin as &dyn edge::Backend).collect();
    let plugins = Plugins::new();
    let edge = asking(&plugins, &backends, "{}").start();
    ask(&edge).await;
    for expected in [
        "a Some(3) Some(1200)",
        "b Some(7) None",
        "c None None",
        "d None None",
        "e None None",
        "f None None",
        "g None None",
    ] {
        told(&edge, expected).await;
    }
    let probe = origins[0].seen().into_iter().find(|seen| seen.target == LOAD).expect("it was asked");
    let facts = (probe.header("user-agent"), probe.header("host"));
    assert_eq!(facts, (Some("pointsman-probe"), Some(&*origins[0].address().to_string())));
    origins[1].kill();
    eventually("one that is gone is told of too", async || {
        Client::plain(edge.address()).await.get("/").await;
        edge.log("asks").await.iter().any(|line| line == "b None None")
    })
    .await;
    assert_eq!(edge.plugin("asks").faults, 0);
    for row in ["probes_sent_total{pool=\"shop\"}", "probes_total{pool=\"shop\",result=\"answered\"}"] {
        assert!(counted(&edge, row).await >= 2, "{row}");
    }
    assert!(counted(&edge, "probes_total{pool=\"shop\",result=\"lost\"}").await >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_asks_in_any_of_its_calls() {
    for call in ["pick", "tick", "observe", "probed", "update"] {
        let (a, b) = (says("a", || Reply::status(200, "1")), Origin::dead(|_| Reply::status(200, "2")));
        let plugins = Plugins::new();
        let edge = asking(&plugins, &[&a, &b], &format!(r#"{{"at": "{call}"}}"#)).with(|pool| {
            pool.health.interval = Duration::from_millis(50);
        });
        let edge = edge.start();
        ask(&edge).await;
        // So that there is an update while it serves.
        b.revive();
        eventually(&format!("it is told of both, in {call}"), async || {
            Client::plain(edge.address()).await.get("/").await;
            let log = edge.log("asks").await;
            ["a Some(1) None", "b Some(2) None"].iter().all(|expected| log.iter().any(|line| line == expected))
        })
        .await;
        assert_eq!(edge.plugin("asks").faults, 0, "{call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_the_last_answer_tells_and_nothing_is_sent() {
    let origins = ["2", r#"{"in_flight": 5, "latency_us": 900}"#, "none"]
        .map(|load| Origin::new(move |_| Reply::named("x").with("x-load", load)));
    let [a, b, c] = &origins;
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[a, b, c], "{}");
    let edge = edge.with(|pool| pool.probe = Some(Probe::by(ProbeBy::Header("x-load".parse().unwrap())))).start();
    let mut asked = 0;
    eventually("all have answered, and were asked since", async || {
        ask(&edge).await;
        asked += 1;
        let log = edge.log("asks").await;
        let expected = ["a Some(2) None", "b Some(5) Some(900)", "c None None"];
        asked > 6 && expected.iter().all(|expected| log.iter().any(|line| line == expected))
    })
    .await;
    assert_eq!(origins.iter().map(Origin::requests).sum::<u64>(), asked, "there were no other requests");
    assert_eq!(edge.plugin("asks").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_probe_of_a_backend_is_under_way_at_a_time_and_all_workers_are_told() {
    let a = says("a", Reply::silence);
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a], r#"{"at": "tick"}"#).workers(3).with(|pool| {
        pool.probe =
            Some(Probe { timeout: Duration::from_secs(2), per_backend: (1000, Duration::from_secs(1)), ..by_path() });
    });
    let edge = edge.start();
    for instance in 0..3 {
        told(&edge, &format!("told on {instance}")).await;
    }
    assert!(probes_of(&a) <= 2, "they asked for {}, each for its own", probes_of(&a));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_held_and_what_it_refuses_is_counted() {
    let (a, b) = (says("a", || Reply::status(200, "1")), says("b", || Reply::status(200, "1")));
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a, &b], "{}").workers(2).with(|pool| {
        let second = Duration::from_secs(1);
        pool.probe = Some(Probe { per_backend: (40, second), per_pool: (50, second), ..by_path() });
    });
    let (edge, began) = (edge.start(), Instant::now());
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(1000));
    eventually("some hundred requests wanted to know", async || edge.plugin("asks").picks > 700).await;
    load.stop().await.assert_all_answered();
    let seconds = began.elapsed().as_secs_f64();
    let [of_a, of_b] = [&a, &b].map(|origin| probes_of(origin) as f64);
    // As much as was allowed by the end, and a tenth of a second's at once.
    assert!(
        of_a.max(of_b) <= 40.0 * seconds + 4.0 && of_a + of_b <= 50.0 * seconds + 5.0,
        "{of_a}, {of_b} in {seconds} s"
    );
    assert!(of_a.min(of_b) >= 5.0, "{of_a}, {of_b}: both are asked");
    assert!(counted(&edge, "probes_total{pool=\"shop\",result=\"refused\"}").await > 500);
    let connections = connections_of(&a);
    assert!(connections < 4, "{connections} connections; one is kept from one probe to the next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_probes_sends_none() {
    let a = says("a", || Reply::status(200, "1"));
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a], "{}").with(|pool| pool.probe = None).start();
    ask(&edge).await;
    told(&edge, "refused").await;
    assert_eq!((probes_of(&a), edge.plugin("asks").faults), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_costs_no_request_and_the_next_instance_is_told() {
    let a = says("a", || Reply::status(200, "1"));
    let plugins = Plugins::new();
    // The first batch is that of the trial, where all is told at once.
    let edge = asking(&plugins, &[&a], r#"{"panics_at": 2}"#).limits(|limits| limits.faults.limit = u32::MAX).start();
    eventually("it panicked more than once", async || {
        ask(&edge).await;
        edge.plugin("asks").faults > 1
    })
    .await;
    told(&edge, "a Some(1) None").await;
    let strays = Plugins::new();
    strays.put("asks", &guests::guest("asks"));
    let edge = asking(&strays, &[&a], r#"{"strays": true}"#).start();
    let problem = edge.plugin("asks").problem.expect("a position that nobody has is a fault");
    let words = format!("{}\n{}\n{}", problem.headline, problem.label, problem.notes.join("\n"));
    assert!(words.contains("asked for a probe of position"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_the_instance_that_follows_one_that_failed() {
    let gate = Gate::default();
    let a = gated("a", &gate);
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a], r#"{"slow": true}"#).with(|pool| {
        pool.probe = Some(Probe { timeout: Duration::from_secs(10), ..by_path() });
    });
    let edge = edge.start();
    ask(&edge).await;
    eventually("it is asked", async || probes_of(&a) == 1).await;
    assert_eq!(Client::plain(edge.address()).await.get("/trap").await.status, 200);
    assert_eq!(edge.plugin("asks").faults, 1);
    gate.open();
    told(&edge, "a Some(1) None").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_takes_probes_away_tells_who_waits() {
    let gate = Gate::default();
    let (a, plugins) = (gated("a", &gate), Plugins::new());
    plugins.put("asks", &guests::guest("asks"));
    let file = File::new(&file_of(&a, &plugins, "probe = { path = \"/load\", timeout = \"10s\" }"));
    let edge = edge::from_file(&file.path());
    ask(&edge).await;
    eventually("it is asked", async || probes_of(&a) > 0).await;
    file.write(&file_of(&a, &plugins, ""));
    is_in_force(&edge, 1).await;
    told(&edge, &format!("{} None None", a.address())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_a_reload_cuts_off_is_sent_again() {
    let gate = Gate::default();
    let (a, plugins) = (gated("a", &gate), Plugins::new());
    plugins.put("asks", &guests::guest("asks"));
    let probe = |timeout: &str| format!("probe = {{ path = \"/load\", timeout = \"{timeout}\" }}");
    let file = File::new(&file_of(&a, &plugins, &probe("10s")));
    let edge = edge::from_file(&file.path());
    ask(&edge).await;
    eventually("it is asked", async || probes_of(&a) > 0).await;
    a.forget();
    file.write(&file_of(&a, &plugins, &probe("9s")));
    is_in_force(&edge, 1).await;
    eventually("it is asked again", async || probes_of(&a) > 0).await;
    gate.open();
    told(&edge, &format!("{} Some(1) None", a.address())).await;
    let lost = format!("{} None None", a.address());
    assert!(!edge.log("asks").await.contains(&lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_whatever_was_answered_and_one_that_was_closed_costs_no_answer() {
    let asked = AtomicU64::new(0);
    let a = says("a", move || match asked.fetch_add(1, Relaxed) % 2 {
        0 => Reply::status(200, "1"),
        _ => Reply::status(503, "9"),
    });
    let b = says("b", || Reply::status(200, "2").then(Step::Close));
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a, &b], r#"{"at": "tick"}"#).start();
    eventually("each is asked some times", async || probes_of(&a) > 10 && probes_of(&b) > 10).await;
    let asked = (probes_of(&a) + probes_of(&b)) as u64;
    assert!(asked <= counted(&edge, "probes_sent_total{pool=\"shop\"}").await, "none is sent twice");
    let connections = connections_of(&a);
    assert!(connections < 4, "{connections} connections");
    let log = edge.log("asks").await;
    for expected in ["a Some(1) None", "a None None", "b Some(2) None"] {
        assert!(log.iter().any(|line| line == expected), "{expected}");
    }
    assert!(!log.iter().any(|line| line == "b None None"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_uses_is_closed_though_others_are_used() {
    let (a, b) = (says("a", || Reply::status(200, "1")), says("b", || Reply::status(200, "2")));
    let plugins = Plugins::new();
    let _edge = asking(&plugins, &[&a, &b], r#"{"at": "tick", "settles": true}"#).start();
    eventually("the second is asked", async || probes_of(&b) > 0).await;
    eventually("its connection is closed", async || b.open_connections() == 0).await;
    a.forget();
    eventually("the first is asked on", async || probes_of(&a) > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_answers_mean_the_same() {
    let says =
        |load: Act| H2Origin::new(100, move |head| if head.uri.path() == LOAD { load.clone() } else { Act::says("x") });
    let origins = [
        says(Act::says("7")).await,
        says(Act::says(&format!("7{}", " ".repeat(8 << 10)))).await,
        says(Act::Head(503, &[])).await,
    ];
    let [a, b, c] = &origins;
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[a, b, c], "{}").with(|pool| pool.protocol = Protocol::Http2).start();
    ask(&edge).await;
    for expected in ["a Some(7) None", "b None None", "c None None"] {
        told(&edge, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_part_of_the_pool_nothing_is_told_of_the_others() {
    let [a, b, c] = ["a", "b", "c"].map(|name| says(name, || Reply::status(200, "1")));
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a, &b, &c], r#"{"key":"version","by":"header:x-version"}"#).with(|pool| {
        pool.balancer = BalancerChoice::Named("by-metadata".into());
        pool.then.push(Link { plugin: "asks".into(), settings: "{}".into(), spot: None });
        for (backend, version) in pool.backends.iter_mut().zip(["v1", "v1", "v2"]) {
            backend.metadata = vec![("version".into(), version.into())];
        }
    });
    let edge = edge.start();
    let mut asked = 0;
    eventually("both parts are told", async || {
        let mut client = Client::plain(edge.address()).await;
        for version in ["v1", "v2"] {
            let request = Request::get("/").header("x-version", version).body(Full::default()).unwrap();
            assert_eq!(client.send(request).await.unwrap().status, 200);
        }
        asked += 1;
        let log = edge.log("asks").await;
        let expected = ["a Some(1) None", "b Some(1) None", "c Some(1) None"];
        asked > 50 && expected.iter().all(|expected| log.iter().filter(|line| line == expected).count() > 1)
    })
    .await;
    let log = edge.log("asks").await;
    assert!(!log.iter().any(|line| line.starts_with("gone")), "{log:?}");
    assert_eq!(edge.plugin("asks").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_outlive_swaps_of_the_plugin_under_load() {
    let (a, b) = (says("a", || Reply::status(200, "1")), says("b", || Reply::status(200, "2")));
    let plugins = Plugins::new();
    let edge = asking(&plugins, &[&a, &b], "{}").workers(2).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(1000));
    for generation in 2..6 {
        plugins.put("asks", &guests::numbered(&guests::guest("asks"), generation));
        eventually("the next serves, and is told", async || {
            let plugin = edge.plugin("asks");
            let log = edge.log("asks").await;
            plugin.generation == Some(generation)
                && plugin.picks > 100
                && log.iter().any(|line| line == "b Some(2) None")
        })
        .await;
        assert_eq!(edge.plugin("asks").faults, 0);
    }
    load.stop().await.assert_all_answered();
    let sent = counted(&edge, "probes_sent_total{pool=\"shop\"}").await;
    eventually("each is answered or lost", async || {
        let [answered, lost] = [
            counted(&edge, "probes_total{pool=\"shop\",result=\"answered\"}").await,
            counted(&edge, "probes_total{pool=\"shop\",result=\"lost\"}").await,
        ];
        answered + lost == counted(&edge, "probes_sent_total{pool=\"shop\"}").await && lost == 0
    })
    .await;
    assert!(sent > 10);
}
