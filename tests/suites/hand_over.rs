//! What an instance knows goes over to the one that takes its place: under load nobody sees a swap. What is not taken over
//! is a cold start, and no fault.

use http::Request;
use http_body_util::Full;
use pointsman::config::model::HashKey;
use pointsman_tests::{
    client::{Answer, Client},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Origin},
    plugins::Plugins,
    story::{arrives, eventually},
};
use std::{collections::BTreeMap, fs, time::Duration};

/// Requests that a spread is taken of.
const WINDOW: u64 = 400;

/// The share of each backend among the next answers.
async fn spread(load: &Load) -> BTreeMap<String, f64> {
    let before = load.so_far();
    let bodies = arrives("enough are answered", async || {
        let bodies = load.so_far().bodies_since(&before);
        (bodies.values().sum::<u64>() >= WINDOW).then_some(bodies)
    })
    .await;
    let all: u64 = bodies.values().sum();
    bodies.into_iter().map(|(name, count)| (name, count as f64 / all as f64)).collect()
}

fn share(spread: &BTreeMap<String, f64>, name: &str) -> f64 {
    spread.get(name).copied().unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_does_not_move_what_was_learnt() {
    for (name, bytes) in [("learns", guests::guest("learns")), ("peak-ewma", guests::stock("peak-ewma"))] {
        let quick = || Duration::from_millis(4);
        let (a, b, slow) = (Origin::slow("a", quick()), Origin::slow("b", quick()), Origin::slow("slow", quick() * 36));
        let plugins = Plugins::new();
        plugins.put(name, &bytes);
        let edge = edge::plain().pool("shop", &[&a, &b, &slow]).balancer(name).plugins(&plugins);
        let edge = edge.with(|pool| pool.eject = None).start();
        let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(400));
        eventually("it is learnt who is slow", async || share(&spread(&load).await, "slow") < 0.2).await;
        let before = spread(&load).await;
        println!("{name}, before: {before:.2?}");
        for generation in 2..5 {
            plugins.put(name, &guests::numbered(&bytes, generation));
            // From the first moment that it may serve on.
            eventually("the next is admitted", async || edge.plugin(name).generation == Some(generation)).await;
            let after = spread(&load).await;
            println!("{name}, after swap {}: {after:.2?}", generation - 1);
            // A third, did it begin anew.
            assert!(share(&after, "slow") < 0.22, "{name}: {after:?}");
            eventually("it picks", async || edge.plugin(name).picks > 100).await;
        }
        load.stop().await.assert_all_answered();
        let plugin = edge.plugin(name);
        assert_eq!((plugin.faults, plugin.fallbacks), (0, 0));
        if name == "learns" {
            let taken = plugin.hand_over.clone().expect("it hands over");
            assert_eq!((taken.taken, taken.refused), (2, 0), "one on each worker");
            // Whoever chose, an heir was told.
            eventually("all are told of", async || {
                let all = edge.plugin(name).feedback.expect("it hears").all_generations;
                assert!(all.undelivered.values().all(|count| *count == 0), "{all:?}");
                all.attempts == all.delivered
            })
            .await;
        }
    }
}

/// A request of this user.
async fn ask(edge: &Edge, user: u32, act: &str) -> Answer {
    let request = Request::get("/").header("x-user", user).header("x-act", act).body(Full::default()).unwrap();
    Client::plain(edge.address()).await.send(request).await.unwrap()
}

async fn homes(edge: &Edge) -> Vec<String> {
    let mut homes = Vec::new();
    for user in 0..40 {
        homes.push(ask(edge, user, "").await.text());
    }
    homes
}

fn sticky(plugins: &Plugins, backends: &[&dyn edge::Backend]) -> Edge {
    plugins.put("sticks", &guests::guest("sticks"));
    let edge = edge::plain().workers(1).pool("shop", backends).balancer("sticks").plugins(plugins);
    edge.with(|pool| pool.hash = Some(HashKey::Header("x-user".into()))).start()
}

/// Another file, and the generation of this number picks.
async fn swap(edge: &Edge, plugins: &Plugins, generation: u64) {
    plugins.put("sticks", &guests::numbered(&guests::guest("sticks"), generation));
    eventually("the next picks", async || {
        ask(edge, 0, "").await;
        let plugin = edge.plugin("sticks");
        plugin.generation == Some(generation) && plugin.picks > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sticky_table_goes_over() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    let edge = sticky(&plugins, &[&a, &b, &c]);
    let before = homes(&edge).await;
    assert!(["a", "b", "c"].iter().all(|name| before.iter().filter(|home| home == name).count() > 5), "{before:?}");
    for generation in 2..5 {
        swap(&edge, &plugins, generation).await;
        assert_eq!(homes(&edge).await, before);
        assert_eq!(edge.plugin("sticks").hand_over.unwrap().taken, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_fails_is_a_cold_start() {
    for (act, refused, faults) in
        [("refuse", 1, 0), ("fail in restore", 1, 0), ("loop in restore", 1, 0), ("fail in save", 1, 0)]
    {
        let [a, b, c] = origin::three();
        let plugins = Plugins::new();
        let edge = sticky(&plugins, &[&a, &b, &c]);
        homes(&edge).await;
        ask(&edge, 0, act).await;
        swap(&edge, &plugins, 2).await;
        let plugin = edge.plugin("sticks");
        let hand_over = plugin.hand_over.unwrap();
        assert_eq!((hand_over.taken, hand_over.refused, plugin.faults), (0, refused, faults), "{act}");
        let log = edge.log("sticks").await;
        let told = log.iter().any(|line| line.starts_with("begins without its predecessor's state: "));
        assert_eq!(told, refused > 0, "{act}: {log:?}");
        // It goes on from there.
        let after = homes(&edge).await;
        swap(&edge, &plugins, 3).await;
        assert_eq!(homes(&edge).await, after, "{act}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_successor_that_a_large_update_has_made_knows_what_the_one_before_knew() {
    let origins: Vec<Origin> = (0..60).map(|number| Origin::named(&number.to_string())).collect();
    let plugins = Plugins::new();
    plugins.put("sticks", &guests::guest("sticks"));
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("pointsman.toml");
    let write = |count: usize| {
        let backends: Vec<_> = origins[..count].iter().map(|origin| format!("{:?}", origin.address())).collect();
        let backends = backends.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[server]\nworkers = 1\n[plugins]\ndirectory = {:?}\n\
             [pool.shop]\nbackends = [{backends}]\nbalancer = \"sticks\"\nhash = \"header:x-user\"\n",
            plugins.path()
        );
        fs::write(&file, text).unwrap();
    };
    write(3);
    let edge = edge::from_unwatched_file(&file);
    let before = homes(&edge).await;
    write(60);
    edge.reload().await;
    eventually("the successor serves", async || {
        ask(&edge, 0, "").await;
        edge.plugin("sticks").hand_over.unwrap().taken == 1
    })
    .await;
    assert_eq!(homes(&edge).await, before);
    let newcomers: Vec<String> = {
        let mut names = Vec::new();
        for user in 1000..1060 {
            names.push(ask(&edge, user, "").await.text());
        }
        names
    };
    assert!(newcomers.iter().any(|name| name.parse::<u32>().unwrap() >= 3), "{newcomers:?}");
}
