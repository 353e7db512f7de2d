//! Several balancers for one pool: one passes or narrows, the next one chooses inside.

use http::{Method, Request};
use http_body_util::Full;
use pointsman::{
    admin::api::{Decision, Tap},
    config::model::{BalancerChoice, Link, Pool},
};
use pointsman_tests::{
    client::{self, Client},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Origin, spread},
    plugins::Plugins,
    story::{arrives, eventually},
};

fn then(plugin: &str) -> Link {
    Link { plugin: plugin.into(), settings: "{}".into(), spot: None }
}

/// `v1`, `v1`, `v2`, and the header that asks for one.
fn versions(pool: &mut Pool) {
    pool.settings = r#"{"key":"version","by":"header:x-version"}"#.into();
    for (backend, version) in pool.backends.iter_mut().zip(["v1", "v1", "v2"]) {
        backend.metadata = vec![("version".into(), version.into())];
    }
}

/// The same, with `v1` for those who do not ask, and this one behind it.
fn usually_v1(pool: &mut Pool, first: &str, second: &str) {
    versions(pool);
    pool.settings = r#"{"key":"version","by":"header:x-version","default":"v1"}"#.into();
    pool.balancer = BalancerChoice::Named(first.into());
    pool.then.push(then(second));
}

/// One request in which a guest panics, if it is asked.
async fn provoke(edge: &Edge) {
    let request = Request::get("/").header("x-misbehave", "panic").body(Full::default()).unwrap();
    assert_eq!(Client::plain(edge.address()).await.send(request).await.unwrap().status, 200);
}

/// The decisions for so many requests.
async fn decisions(edge: &Edge, requests: usize) -> Vec<Decision> {
    let tap = async |call: &str| -> Tap {
        let call = client::request(Method::POST, &format!("/v1/pools/{call}"));
        serde_json::from_slice(&edge.admin().await.send(call).await.unwrap().body).expect("decisions")
    };
    let before = tap("shop/tap").await.latest;
    for _ in 0..requests {
        assert_eq!(Client::plain(edge.address()).await.get("/").await.status, 200);
    }
    tap(&format!("shop/tap/{before}")).await.decisions
}

fn said(decision: &Decision) -> (&str, Vec<(&str, u64, &str)>) {
    let asked = decision.asked.iter().map(|by| (by.plugin.as_str(), by.generation, by.said.as_str()));
    (&decision.outcome, asked.collect())
}

async fn ask(edge: &Edge, version: &str, times: usize) {
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..times {
        let request = Request::get("/").header("x-version", version).body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_next_balancer_the_host_finishes_by_weight() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("by-metadata").with(versions);
    let edge = edge.weights(&[3, 1, 1]).start();
    ask(&edge, "v1", 40).await;
    assert_eq!(spread(&[&a, &b, &c]), [30, 10, 0]);
    ask(&edge, "v2", 10).await;
    assert_eq!(spread(&[&a, &b, &c]), [30, 10, 10]);
    let plugin = edge.plugin("by-metadata");
    assert_eq!((plugin.picks, plugin.faults, plugin.fallbacks), (50, 0, 0));
    // Nobody of the group is left: the pool's others serve.
    c.kill();
    eventually("it is out", async || edge.pool("shop").backends[2].standing == "unhealthy").await;
    ask(&edge, "v2", 4).await;
    assert_eq!(spread(&[&a, &b]).iter().sum::<u64>(), 44);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_balancer_chooses_inside_and_follows_who_belongs_there() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("by-metadata").with(versions);
    let edge = edge.with(|pool| pool.then.push(then("round-robin"))).start();
    eventually("the second one picks inside", async || {
        ask(&edge, "v1", 2).await;
        edge.plugin("round-robin").picks > 0
    })
    .await;
    let before = spread(&[&a, &b, &c]);
    let picks = edge.plugin("round-robin").picks;
    ask(&edge, "v1", 20).await;
    let after = spread(&[&a, &b, &c]);
    assert_eq!([0, 1, 2].map(|at| after[at] - before[at]), [10, 10, 0]);
    assert_eq!(edge.plugin("round-robin").picks, picks + 20);
    b.kill();
    eventually("it is out", async || edge.pool("shop").backends[1].standing == "unhealthy").await;
    ask(&edge, "v1", 10).await;
    // Without a wish the first one passes, and the second one sees the whole pool.
    let before = spread(&[&a, &b, &c]);
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let after = spread(&[&a, &b, &c]);
    assert_eq!([0, 1, 2].map(|at| after[at] - before[at]), [5, 0, 5]);
    for name in ["by-metadata", "round-robin"] {
        assert_eq!((edge.plugin(name).faults, edge.plugin(name).fallbacks), (0, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_clients_are_bound_to_whom_the_next_balancer_chooses() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("sticky-cookie");
    let edge = edge.with(|pool| {
        pool.cookie = Some(pointsman::config::model::Cookie::new("at"));
        pool.then.push(then("round-robin"));
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..6 {
        let first = client.get("/").await;
        let bound = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let request = Request::get("/").header("cookie", bound).body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().text(), first.text());
    }
    assert_eq!(spread(&[&a, &b, &c]), [4, 4, 4]);
    assert_eq!((edge.plugin("round-robin").picks, edge.plugin("sticky-cookie").fallbacks), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_is_swapped_alone_and_one_in_quarantine_is_passed_over() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("first", &guests::guest("misbehaves"));
    plugins.put("second", &guests::numbered(&guests::stock("round-robin"), 1));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("first").plugins(&plugins);
    let edge = edge.with(|pool| pool.then.push(then("second"))).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(200));
    plugins.put("second", &guests::numbered(&guests::stock("round-robin"), 2));
    eventually("the second one is swapped", async || edge.plugin("second").generation == Some(2)).await;
    assert_eq!(edge.plugin("first").generation, Some(1));
    let mut client = Client::plain(edge.address()).await;
    eventually("the first one is out", async || {
        let request = Request::get("/").header("x-misbehave", "panic").body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status, 200);
        edge.plugin("first").state == "quarantined"
    })
    .await;
    let picks = edge.plugin("second").picks;
    eventually("the second one chooses", async || edge.plugin("second").picks > picks + 50).await;
    load.stop().await.assert_all_answered();
    assert_eq!(edge.plugin("second").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_links_are_swapped_under_load_and_nobody_notices() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("first", &guests::stock("by-metadata"));
    plugins.put("second", &guests::guest("learns"));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).plugins(&plugins);
    let edge = edge.with(|pool| usually_v1(pool, "first", "second")).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
    for generation in 2..5 {
        for (name, bytes) in [("first", guests::stock("by-metadata")), ("second", guests::guest("learns"))] {
            plugins.put(name, &guests::numbered(&bytes, generation));
            eventually("the next one picks", async || {
                let plugin = edge.plugin(name);
                plugin.generation == Some(generation) && plugin.picks > 30
            })
            .await;
        }
    }
    load.stop().await.assert_all_answered();
    assert_eq!(c.requests(), 0, "never outside of what was narrowed to");
    for name in ["first", "second"] {
        assert_eq!((edge.plugin(name).faults, edge.plugin(name).fallbacks), (0, 0), "{name}");
    }
    assert!(edge.plugin("second").hand_over.expect("it hands over").taken > 0, "from part to part");
    // Who narrows hears nothing; who chose hears all, or it is counted why not.
    assert!(edge.plugin("first").feedback.is_none());
    let all = arrives("every attempt is told of", async || {
        let all = edge.plugin("second").feedback.expect("it hears").all_generations;
        (all.delivered + all.undelivered.values().sum::<u64>() == all.attempts).then_some(all)
    })
    .await;
    assert!(all.delivered > 100, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_that_chose_hears_of_it_under_its_own_token() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("hears", &guests::guest("hears"));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).plugins(&plugins);
    let edge = edge.with(|pool| usually_v1(pool, "by-metadata", "hears")).start();
    eventually("it picks inside", async || {
        ask(&edge, "v1", 1).await;
        edge.plugin("hears").picks > 20
    })
    .await;
    // Asked for what nobody has, the first one passes; then the other one chooses among all.
    ask(&edge, "v3", 20).await;
    let all = arrives("every attempt is told of", async || {
        let all = edge.plugin("hears").feedback.expect("it hears").all_generations;
        (all.delivered == all.attempts).then_some(all)
    })
    .await;
    assert_eq!(all.attempts, edge.plugin("hears").picks);
    // It panics when it is told of what is not its own.
    assert_eq!(edge.plugin("hears").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_is_told_of_each_link() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]);
    let edge = edge.with(|pool| usually_v1(pool, "by-metadata", "round-robin")).start();
    eventually("the second one picks inside", async || {
        ask(&edge, "v1", 1).await;
        edge.plugin("round-robin").picks > 0
    })
    .await;
    let asked = vec![("by-metadata", 1, "narrowed"), ("round-robin", 1, "chose")];
    for decision in decisions(&edge, 3).await {
        assert_eq!(said(&decision), ("chosen", asked.clone()));
        assert_eq!(decision.plugin.as_deref(), Some("round-robin"));
    }
    let shop = edge.pool("shop");
    assert_eq!((shop.balancer.unwrap().plugin.as_str(), shop.then[0].plugin.as_str()), ("by-metadata", "round-robin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_links_last_good_generation_comes_back_alone() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("first", &guests::stock("round-robin"));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("first").plugins(&plugins);
    let edge = edge.with(|pool| pool.then.push(then("least-request"))).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(200));
    plugins.put("first", &guests::guest("misbehaves"));
    eventually("the second generation picks", async || edge.plugin("first").generation == Some(2)).await;
    eventually("it is rolled back", async || {
        provoke(&edge).await;
        edge.plugin("first").generation == Some(1)
    })
    .await;
    let (picks, others) = (edge.plugin("first").picks, edge.plugin("least-request").picks);
    assert!(others > 0, "it decided where the first one failed");
    eventually("the first generation picks on", async || edge.plugin("first").picks > picks + 50).await;
    load.stop().await.assert_all_answered();
    let second = edge.plugin("least-request");
    assert_eq!((second.picks, second.generation, second.fallbacks), (others, Some(1), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_link_in_quarantine_leaves_the_choice_inside_to_the_host() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("last", &guests::guest("misbehaves"));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).plugins(&plugins);
    let edge = edge.with(|pool| usually_v1(pool, "by-metadata", "last")).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(200));
    eventually("the last one is out", async || {
        provoke(&edge).await;
        edge.plugin("last").state == "quarantined"
    })
    .await;
    for decision in decisions(&edge, 3).await {
        assert_eq!(said(&decision), ("narrowed", vec![("by-metadata", 1, "narrowed")]));
    }
    let fallbacks = edge.plugin("last").fallbacks;
    eventually("it is counted where it is missing", async || edge.plugin("last").fallbacks > fallbacks + 50).await;
    load.stop().await.assert_all_answered();
    assert_eq!((c.requests(), edge.plugin("by-metadata").faults, edge.plugin("by-metadata").fallbacks), (0, 0, 0));
    let shop = edge.pool("shop");
    assert!(shop.serving == "plugin" && shop.then[0].quarantined, "{shop:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_may_leave_its_tiers_to_the_plugin() {
    let [a, b, c] = origin::three();
    let tiers = |pool: &mut Pool| {
        pool.tiers = pointsman::config::model::Tiers::Plugin;
        pool.backends[2].priority = 1;
    };
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("round-robin").with(tiers).start();
    ask(&edge, "", 9).await;
    assert_eq!(spread(&[&a, &b, &c]), [3, 3, 3], "all that are ready are listed");
    drop(edge);
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("failover").with(tiers).start();
    let before = c.requests();
    ask(&edge, "", 10).await;
    assert_eq!(c.requests(), before, "the first tier has health for all");
    [&a, &b].into_iter().for_each(Origin::kill);
    eventually("they are out", async || {
        edge.pool("shop").backends[..2].iter().all(|backend| backend.standing == "unhealthy")
    })
    .await;
    ask(&edge, "", 10).await;
    assert_eq!(c.requests(), before + 10);
    assert_eq!(edge.plugin("failover").faults, 0);
}
