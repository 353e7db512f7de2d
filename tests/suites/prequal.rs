//! The stock plugin `prequal` over real sockets: backends say how busy they are, and requests go by that; whatever they say
//! instead, and however often the plugin is replaced, no request is lost.

use pointsman::config::model::{Probe, ProbeBy};
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{Origin, Reply, Step, spread},
    plugins::Plugins,
    story::eventually,
};
use std::time::Duration;
use tokio::time::Instant;

const LOAD: &str = "/load";
const SECOND: Duration = Duration::from_secs(1);

/// Says so when it is asked how busy it is, and serves everything else with its name.
fn says(name: &'static str, load: impl Fn() -> Reply + Send + Sync + 'static) -> Origin {
    Origin::new(move |seen| if seen.target == LOAD { load() } else { Reply::named(name) })
}

fn busy(name: &'static str, in_flight: u32, latency_us: u32) -> Origin {
    says(name, move || Reply::status(200, &format!(r#"{{"in_flight": {in_flight}, "latency_us": {latency_us}}}"#)))
}

fn balanced(backends: &[&dyn edge::Backend]) -> edge::Builder {
    edge::plain().pool("shop", backends).balancer("prequal").with(|pool| {
        pool.probe = Some(Probe::by(ProbeBy::Get(LOAD.into())));
    })
}

fn probes_of(origin: &Origin) -> u64 {
    origin.seen().iter().filter(|seen| seen.target == LOAD).count() as u64
}

/// Requests that were served, probes not counted.
fn served(origins: &[&Origin]) -> Vec<u64> {
    origins.iter().zip(spread(origins)).map(|(origin, all)| all.saturating_sub(probes_of(origin))).collect()
}

/// Asks until so many answers came after this moment, and has the backends forget what was before.
async fn after_answers(edge: &Edge, origins: &[&Origin]) {
    let mut client = Client::plain(edge.address()).await;
    eventually("each backend was asked some times", async || {
        assert_eq!(client.get("/").await.status, 200);
        origins.iter().all(|origin| probes_of(origin) > 5)
    })
    .await;
    origins.iter().for_each(|origin| origin.forget());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_that_it_is_slow_or_busy_gets_little_though_it_answers_as_quickly() {
    let quick = [busy("a", 1, 1_000), busy("b", 1, 1_100), busy("c", 2, 1_200)];
    let (slow, hot) = (busy("slow", 2, 90_000), busy("hot", 300, 900));
    let origins = [&quick[0], &quick[1], &quick[2], &slow, &hot];
    // One of five is never hot where 84 % are cold.
    let edge = balanced(&origins.map(|origin| origin as &dyn edge::Backend));
    let edge = edge.with(|pool| pool.settings = r#"{"cold": 0.6}"#.into()).start();
    after_answers(&edge, &origins).await;
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
    eventually("some hundred requests are served", async || served(&origins).iter().sum::<u64>() > 600).await;
    load.stop().await.assert_all_answered();
    let served = served(&origins);
    println!("{served:?}");
    let all: u64 = served.iter().sum();
    assert!((served[3] + served[4]) * 10 < all, "{served:?}");
    assert_eq!((edge.plugin("prequal").faults, edge.plugin("prequal").fallbacks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_silence_and_absence_lose_no_request() {
    let origins = [
        busy("a", 1, 1_000),
        busy("b", 1, 1_000),
        says("garbage", || Reply::status(200, "\u{0}{{{in_flight")),
        says("rude", || Reply::bytes("SSH-2.0-OpenSSH_9.9\r\n").then(Step::Close)),
        says("silent", Reply::silence),
        busy("gone", 0, 1),
    ];
    let backends: Vec<&dyn edge::Backend> = origins.iter().map(|origin| origin as &dyn edge::Backend).collect();
    let edge = balanced(&backends).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
    let picks = async |more: u64| {
        let before = edge.plugin("prequal").picks;
        eventually("it picks on", async || edge.plugin("prequal").picks > before + more).await;
    };
    picks(200).await;
    origins[5].kill();
    picks(300).await;
    origins[5].revive();
    picks(200).await;
    let [a, b] = [&origins[0], &origins[1]];
    a.forget();
    b.forget();
    // Nobody says anything that can be read: figures of this process decide.
    [a, b].into_iter().for_each(Origin::kill);
    picks(300).await;
    load.stop().await.assert_all_answered();
    assert_eq!(edge.plugin("prequal").faults, 0);
    let page = edge.admin().await.get("/metrics").await.text();
    let lost =
        page.lines().find_map(|line| line.strip_prefix("pointsman_pool_probes_total{pool=\"shop\",result=\"lost\"} "));
    assert!(lost.expect("a row").parse::<u64>().unwrap() > 10, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_under_load_fail_no_request_and_stay_within_the_budget() {
    // All by far more than this process sends there.
    let origins = [busy("a", 40, 1_000), busy("b", 41, 1_000), busy("slow", 900, 90_000)];
    let [a, b, slow] = &origins;
    let plugins = Plugins::new();
    plugins.put("prequal", &guests::numbered(&guests::stock("prequal"), 1));
    let edge = balanced(&[a, b, slow]).workers(2).plugins(&plugins).with(|pool| {
        let probe = Probe::by(ProbeBy::Get(LOAD.into()));
        pool.probe = Some(Probe { per_backend: (30, SECOND), per_pool: (60, SECOND), ..probe });
        pool.settings = r#"{"cold": 0.6}"#.into();
    });
    let (edge, began) = (edge.start(), Instant::now());
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(2000));
    for generation in 2..5 {
        plugins.put("prequal", &guests::numbered(&guests::stock("prequal"), generation));
        eventually("the next generation picks", async || {
            let plugin = edge.plugin("prequal");
            plugin.generation == Some(generation) && plugin.picks > 1000
        })
        .await;
        assert_eq!(edge.plugin("prequal").faults, 0);
    }
    load.stop().await.assert_all_answered();
    let seconds = began.elapsed().as_secs_f64();
    let probes: Vec<f64> = origins.iter().map(|origin| probes_of(origin) as f64).collect();
    println!("{probes:?} in {seconds} s");
    assert!(probes.iter().all(|count| *count <= 30.0 * seconds + 3.0), "{probes:?} in {seconds} s");
    assert!(probes.iter().sum::<f64>() <= 60.0 * seconds + 6.0, "{probes:?} in {seconds} s");
    let served = served(&[a, b, slow]);
    println!("{served:?}");
    assert!(served[2] * 6 < served.iter().sum::<u64>(), "few answers do for many requests: {served:?}");
    assert_eq!(edge.plugin("prequal").fallbacks, 0);
}
