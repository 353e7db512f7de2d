//! Backends that hang, fail and come back, as the pool's health sees them.

use http::{Method, StatusCode};
use pointsman::{
    admin::{api, encoded},
    config::model::{Backend, HealthCheck},
};
use pointsman_tests::{
    client::{self, Client},
    edge::{self, Edge},
    load::{Load, Pace, Report, Target},
    origin::{self, Origin, Reply},
    process::{Process, serve_if_asked},
    story::eventually,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::sleep;

/// The story that a backend's process enters.
const BACKEND: &str = "health::a_backend_of_these_stories";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_these_stories() {
    if serve_if_asked().await {
        return;
    }
    let backend = Process::start("it", BACKEND).await;
    assert_eq!(Client::plain(backend.address()).await.get("/").await.text(), "it");
}

fn standing(edge: &Edge, index: usize) -> (String, String) {
    let backend = edge.pool("shop").backends.swap_remove(index);
    (backend.standing, backend.why)
}

/// 300 requests a second for 9 s; one of three backends is frozen for 3 of them.
async fn with_one_frozen() -> Report {
    let backends =
        [Process::start("a", BACKEND).await, Process::start("b", BACKEND).await, Process::start("c", BACKEND).await];
    let edge = edge::plain().pool("shop", &[&backends[0].address(), &backends[1].address(), &backends[2].address()]);
    let edge = edge.start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
    sleep(Duration::from_secs(3)).await;
    backends[1].freeze();
    sleep(Duration::from_secs(3)).await;
    let (standing, why) = standing(&edge, 1);
    assert_eq!(standing, "unhealthy");
    assert!(why.starts_with("stalled: no byte for 500ms while "), "{why}");
    backends[1].thaw();
    sleep(Duration::from_secs(3)).await;
    load.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn case_55_a_frozen_backend_is_ejected_and_nobody_waits_for_it() {
    let mut slowest = Duration::MAX;
    // A busy machine may hold one run up, but fails no request of it.
    for _ in 0..3 {
        let report = with_one_frozen().await;
        report.assert_all_answered();
        assert!(report.sent >= 1000, "only {} were sent", report.sent);
        slowest = report.latency(1.0);
        println!("{} requests, 0 failed, slowest {slowest:?}", report.sent);
        if slowest < Duration::from_millis(1500) {
            break;
        }
    }
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_55_a_frozen_backend_is_ejected_where_a_second_one_is_asked_long_before() {
    let frozen = Arc::new(AtomicBool::new(false));
    let is_frozen = frozen.clone();
    let ill = Origin::new(move |_| if is_frozen.load(Relaxed) { Reply::silence() } else { Reply::named("ill") });
    let well = Origin::named("well");
    let edge = edge::plain().pool("shop", &[&ill, &well]);
    let edge = edge.with(|pool| pool.hedge = Some(Duration::from_millis(100))).start();
    let warm = Load::start(Target::plain(edge.address()), Pace::Parallel(4));
    eventually("quick answers are usual", async || ill.requests() > 1000).await;
    warm.stop().await.assert_all_answered();
    frozen.store(true, Relaxed);
    // So few that each of them can be asked of a second one.
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(30));
    eventually("it is out", async || standing(&edge, 0).0 == "unhealthy").await;
    assert!(standing(&edge, 0).1.starts_with("stalled: "), "{:?}", standing(&edge, 0));
    let pool = edge.pool("shop");
    assert_eq!((pool.retries, pool.backends[0].failures), (0, 0), "nobody waited for long enough to be moved");
    load.stop().await.assert_all_answered();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_nothing_usable_is_ejected_and_comes_back() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let sick = Origin::new(move |_| if is_ill.load(Relaxed) { Reply::status(503, "") } else { Reply::named("sick") });
    let well = Origin::named("well");
    let edge = edge::plain().pool("shop", &[&sick, &well]).with(|pool| {
        let eject = pool.eject.as_mut().expect("the default");
        eject.time = Duration::from_millis(300);
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    eventually("it is out", async || {
        client.get("/").await;
        standing(&edge, 0).0 == "unhealthy"
    })
    .await;
    assert!(standing(&edge, 0).1.contains("requests in a row failed; out for"), "{:?}", standing(&edge, 0));
    ill.store(false, Relaxed);
    eventually("it is back", async || client.get("/").await.text() == "sick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ejection_nobody_is_ejected() {
    let sick = Origin::new(|_| Reply::status(503, ""));
    let well = Origin::named("well");
    let edge = edge::plain().pool("shop", &[&sick, &well]).with(|pool| pool.eject = None).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..20 {
        client.get("/").await;
    }
    // A check later than all of these.
    sleep(Duration::from_millis(300)).await;
    assert_eq!((standing(&edge, 0).0.as_str(), sick.requests()), ("ready", 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_wants_its_status_and_its_text() {
    let origin = |status, body: &'static str| {
        Origin::new(move |seen| if seen.target == "/healthz" { Reply::status(status, body) } else { Reply::named("x") })
    };
    let long = Origin::new(|_| Reply::status(200, &format!("{}all is well", "x".repeat(20_000))));
    let origins = [origin(200, "all is well"), origin(200, "all is ill"), origin(204, ""), origin(300, "all is well")];
    let [right, wrong_text, no_text, wrong_status] = &origins;
    let edge = edge::plain().pool("shop", &[right, wrong_text, no_text, wrong_status, &long]).with(|pool| {
        let HealthCheck::Get(mut get) = HealthCheck::get("/healthz") else { unreachable!() };
        (get.status, get.body) = (vec![200..=299], Some("all is well".into()));
        pool.health.check = HealthCheck::Get(get);
    });
    let edge = edge.start();
    let said: Vec<_> = edge.pool("shop").backends.into_iter().map(|b| (b.standing, b.last_check)).collect();
    let standings: Vec<_> = said.iter().map(|(standing, _)| standing.as_str()).collect();
    assert_eq!(standings, ["ready", "unhealthy", "unhealthy", "unhealthy", "ready"], "{said:?}");
    assert_eq!(said[1].1, "GET /healthz: 200 without \"all is well\" in its body");
    assert_eq!(said[3].1, "GET /healthz: 300");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_tier_steps_in_for_those_that_are_missing() {
    let names: Vec<String> = (0..6).map(|number| format!("o{number}")).collect();
    let origins: Vec<Origin> = names.iter().map(|name| Origin::named(name)).collect();
    let edge = edge::plain().pool("shop", &[]).with(|pool| {
        let backend = |(number, origin): (u32, &Origin)| Backend {
            priority: number / 2,
            ..Backend::new(format!("o{number}"), origin.address())
        };
        pool.backends = (0..).zip(&origins).map(backend).collect();
    });
    let edge = edge.start();
    let standings = || edge.pool("shop").backends.into_iter().map(|b| b.standing).collect::<Vec<_>>().join(" ");
    assert_eq!(standings(), "ready ready standby standby standby standby");
    origins[0].kill();
    // One of two can carry 70 %.
    eventually("the second tier helps", async || standings() == "unhealthy ready ready standby standby standby").await;
    origins[1].kill();
    eventually("the second tier serves", async || standings() == "unhealthy unhealthy ready ready standby standby")
        .await;
    let mut client = Client::plain(edge.address()).await;
    let answers = [client.get("/").await.text(), client.get("/").await.text()];
    assert!(answers.contains(&"o2".into()) && answers.contains(&"o3".into()), "{answers:?}");
    origins[0].revive();
    origins[1].revive();
    eventually("all is as before", async || standings() == "ready ready standby standby standby standby").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_panic_all_get_requests() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).with(|pool| {
        pool.health.check = HealthCheck::get("/healthz");
        pool.panic = Some(50);
    });
    let edge = edge.start();
    let told = || (edge.pool("shop").panic, standing(&edge, 0).0);
    assert_eq!(told(), (false, "ready".into()));
    // Nobody listens at two of them.
    b.kill();
    c.kill();
    eventually("it panics", async || edge.pool("shop").panic).await;
    assert_eq!(
        standing(&edge, 1),
        ("ready".into(), "unhealthy, but so few are ready that all get requests: connection refused".into())
    );
    // Who cannot be reached is passed over, as always.
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "a");
    }
    b.revive();
    eventually("it panics no more", async || !edge.pool("shop").panic).await;
}

/// Has an operator do something with a backend of the pool `shop`, as `pointsman backend` does.
async fn operator(edge: &Edge, name: &str, what: &str) -> api::Backend {
    let path = format!("/v1/pools/shop/backends/{}/{what}", encoded(name));
    let answer = edge.admin().await.send(client::request(Method::POST, &path)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_drains_a_backend_takes_it_in_again_and_weighs_it() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("round-robin").start();
    let name = b.address().to_string();
    let mut client = Client::plain(edge.address()).await;
    let mut had = async |requests: u64| {
        let before = b.requests();
        for _ in 0..requests {
            assert_eq!(client.get("/").await.status, StatusCode::OK);
        }
        b.requests() - before
    };
    assert_eq!(had(6).await, 2);
    let drained = operator(&edge, &name, "drain").await;
    assert_eq!((drained.standing.as_str(), drained.why.as_str()), ("draining", "drained by an operator"));
    assert_eq!(had(6).await, 0);
    // Health checks that succeed do not take it in again.
    let checked = edge.pool("shop").backends[1].last_check.clone();
    eventually("it is checked again", async || edge.pool("shop").backends[1].last_check != checked).await;
    assert_eq!(standing(&edge, 1).0, "draining");
    assert_eq!(operator(&edge, &name, "ready").await.standing, "ready");
    assert_eq!(had(6).await, 2);
    // The plugin is told: four of six.
    assert_eq!(operator(&edge, &name, "weight/4").await.weight, 4);
    assert_eq!(had(6).await, 4);
    assert_eq!(operator(&edge, &name, "weight/0").await.weight, 0);
    assert_eq!(had(6).await, 0);
    for wrong in [
        "shop/backends/nobody/drain",
        "nobody/backends/a/drain",
        "shop/backends/a/weight/1001",
        "shop/backends/%zz/drain",
    ] {
        let request = client::request(Method::POST, &format!("/v1/pools/{wrong}"));
        assert_eq!(edge.admin().await.send(request).await.unwrap().status, StatusCode::NOT_FOUND, "{wrong}");
    }
}
