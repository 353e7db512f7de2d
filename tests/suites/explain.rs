//! Decisions explain themselves to who looks: at the admin API, and in the answers to trusted proxies.

use http::{Method, Request, StatusCode};
use pointsman::{
    admin::api::Tap,
    config::model::{Network, Share},
};
use pointsman_tests::{
    client::{self, Client},
    edge::{self, Edge},
    guests,
    origin::{self, Origin, Reply, Step},
    plugins::Plugins,
    story::eventually,
};
use std::time::Duration;

/// A look at the decisions for a pool.
async fn tap(edge: &Edge, call: &str) -> Result<Tap, StatusCode> {
    let call = client::request(Method::POST, &format!("/v1/pools/{call}"));
    let answer = edge.admin().await.send(call).await.unwrap();
    match answer.status {
        StatusCode::OK => Ok(serde_json::from_slice(&answer.body).expect("decisions")),
        status => Err(status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_shows_decisions_with_what_was_known() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("power-of-two").start();
    let mut client = Client::plain(edge.address()).await;
    client.get("/before").await;
    let first = tap(&edge, "shop/tap").await.unwrap();
    assert_eq!((first.decisions.len(), first.dropped), (0, 0), "nobody looked before");
    for n in 0..5 {
        client.get(&format!("/item/{n}?secret=1")).await;
    }
    let look = tap(&edge, &format!("shop/tap/{}", first.latest)).await.unwrap();
    assert_eq!((look.decisions.len(), look.dropped, look.latest), (5, 0, first.latest + 5));
    for (n, decision) in look.decisions.iter().enumerate() {
        assert_eq!(decision.request, format!("GET /item/{n}"), "without the query");
        assert_eq!((decision.outcome.as_str(), decision.attempt), ("chosen", 0));
        assert_eq!((decision.plugin.as_deref(), decision.generation), (Some("power-of-two"), Some(1)));
        let chosen = decision.chosen.as_ref().expect("somebody");
        let names: Vec<_> = decision.candidates.iter().map(|candidate| &candidate.name).collect();
        assert!(names.len() == 3 && names.contains(&chosen), "{decision:?}");
        assert!(decision.candidates.iter().all(|candidate| candidate.success_permille == 1000), "{decision:?}");
        assert!(decision.candidates.iter().any(|candidate| candidate.latency_us > 0), "{decision:?}");
        assert!(decision.note.as_ref().expect("a note").contains(" under way"), "{decision:?}");
        assert!(decision.ns > 0);
    }
    let nothing = tap(&edge, &format!("shop/tap/{}", look.latest)).await.unwrap();
    assert!(nothing.decisions.is_empty());
    assert_eq!(tap(&edge, "nobody/tap").await.unwrap_err(), StatusCode::NOT_FOUND);
    assert_eq!(tap(&edge, "shop/tap/x").await.unwrap_err(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_shows_retries_and_the_fallback() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("nobody").start();
    let mut client = Client::plain(edge.address()).await;
    let before = tap(&edge, "shop/tap").await.unwrap();
    b.kill();
    eventually("one is tried again", async || {
        client.get("/").await;
        let look = tap(&edge, &format!("shop/tap/{}", before.latest)).await.unwrap();
        assert!(look.decisions.iter().all(|decision| decision.outcome == "fallback" && decision.plugin.is_none()));
        look.decisions.iter().any(|decision| decision.attempt == 1) || edge.pool("shop").backends[1].standing != "ready"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_shows_retries_that_the_plugin_ranked() {
    let rude = Origin::new(|_| Reply::default().then(Step::Close));
    let well = Origin::named("well");
    let plugins = Plugins::new();
    plugins.put("hears", &guests::guest("hears"));
    let edge = edge::plain().workers(1).pool("shop", &[&rude, &well]).balancer("hears").plugins(&plugins);
    let edge = edge.with(|pool| {
        pool.settings = r#"{"ranks": true}"#.into();
        pool.health.interval = Duration::from_secs(3600);
        pool.eject = None;
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    let before = tap(&edge, "shop/tap").await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "well");
    }
    let look = tap(&edge, &format!("shop/tap/{}", before.latest)).await.unwrap();
    let told: Vec<_> = look.decisions.iter().map(|d| (d.outcome.as_str(), d.attempt, d.plugin.as_deref())).collect();
    // One of the two began with the one that closes.
    let by = Some("hears");
    assert!(told.contains(&("preferred", 1, by)) && told.len() == 3, "{told:?}");
    assert_eq!(told.iter().filter(|told| **told == ("chosen", 0, by)).count(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_does_not_blame_the_plugin_for_what_a_share_asked_for() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("first-available");
    let edge = edge.with(|pool| {
        pool.settings = r#"{"room": 10}"#.into();
        pool.share = Some(Share { least: None, most: Some(50) });
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    // Half of the latest 500 picks is the most that one may have.
    for _ in 0..250 {
        client.get("/").await;
    }
    let before = tap(&edge, "shop/tap").await.unwrap();
    // About every second pick is one too many.
    for _ in 0..8 {
        client.get("/").await;
    }
    let look = tap(&edge, &format!("shop/tap/{}", before.latest)).await.unwrap();
    let guarded: Vec<_> = look.decisions.iter().filter(|decision| decision.outcome == "guarded").collect();
    assert!(!guarded.is_empty(), "{look:?}");
    for decision in guarded {
        assert_eq!(decision.asked[0].said, "chose");
        assert_ne!(decision.chosen.as_deref(), Some(&*a.address().to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_that_asks_is_told_in_the_answer() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).balancer("least-request");
    let edge = edge.listener(|listener| {
        listener.explain_header = Some("x-explain".into());
        listener.trusted_proxies = vec![Network::new([127, 0, 0, 1].into(), 8).unwrap()];
    });
    let edge = edge.listen("others", None).listener(|listener| listener.explain_header = Some("x-explain".into()));
    let edge = edge.start();
    let asks = || Request::get("/").header("x-explain", "1").body(Default::default()).unwrap();
    let mut trusted = Client::plain(edge.listener("plain")).await;
    let answer = trusted.send(asks()).await.unwrap();
    let told = answer.header("pointsman-decision").expect("it is told");
    let backend = origin.address();
    assert!(told.starts_with(&format!("chosen {backend}; by=least-request/1; ns=")), "{told}");
    assert!(told.contains("; of=1; in-flight=0; latency-us=") && told.contains("has 0 under way"), "{told}");
    assert_eq!(trusted.get("/").await.header("pointsman-decision"), None, "nobody asked");
    let mut stranger = Client::plain(edge.listener("others")).await;
    assert_eq!(stranger.send(asks()).await.unwrap().header("pointsman-decision"), None, "a stranger asked");
}
