//! Backends that are asked how busy they are, for balancers that want to know: what is sent, how often, and what is told.

use pointsman::config::model::{Probe, ProbeBy};
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{Origin, Reply, Step},
    plugins::Plugins,
    story::eventually,
};
use std::{collections::HashSet, time::Duration};
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
    eventually("each worker is told that it is lost", async || {
        edge.log("asks").await.iter().filter(|line| *line == "a None None").count() >= 3
    })
    .await;
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
    let seen = a.seen();
    let connections: HashSet<_> = seen.iter().filter(|seen| seen.target == LOAD).map(|seen| seen.connection).collect();
    assert!(connections.len() < 4, "{} connections; one is kept from one probe to the next", connections.len());
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
    let edge = asking(&strays, &[&a], r#"{"strays": true}"#).try_start().map(|edge| edge.pool("shop").serving);
    assert_ne!(edge.ok().as_deref(), Some("plugin"), "a position that nobody has is a fault");
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
