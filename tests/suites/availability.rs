//! Backends die, come back, and are missed by nobody as long as one is left. The numbers are those of the acceptance list.

use http::{Method, StatusCode};
use pointsman::config::model::{Fallback, HealthCheck};
use pointsman_tests::{
    client::{self, Client},
    edge::{self, Edge},
    load::{Load, Pace, Target},
    nginx::Nginx,
    origin::{self, Origin, Reply},
    sockets::{Deaf, Place},
    story::{PATIENCE, eventually},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Requests a second while backends die. A build without optimisations shares two processors with the backends, the
/// clients and other stories.
const RATE: u32 = 300;

/// The standing of each backend of the pool `shop`.
fn standings(edge: &Edge) -> Vec<String> {
    edge.pool("shop").backends.into_iter().map(|backend| backend.standing).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_one_of_three_dies_and_no_request_fails() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    eventually("all three serve", async || origin::spread(&[&a, &b, &c]).iter().all(|&n| n > 50)).await;
    b.kill();
    let (a_had, c_had) = (a.requests(), c.requests());
    eventually("the dead one is out", async || standings(&edge)[1] == "unhealthy").await;
    eventually("the others serve on", async || a.requests() > a_had + 200 && c.requests() > c_had + 200).await;
    b.forget();
    b.revive();
    eventually("it is back", async || b.requests() > 50).await;
    let report = load.stop().await;
    report.assert_all_answered();
    assert!(report.rate() > f64::from(RATE) * 0.9, "the load was not what it should be: {}/s", report.rate());
}

/// Processes of their own, and no kept connection ends before the last byte of its answer.
#[tokio::test(flavor = "multi_thread")]
async fn case_54_kill_9_of_one_of_three_processes_fails_no_request() {
    let mut backends = [Nginx::start("a", &[]).await, Nginx::start("b", &[]).await, Nginx::start("c", &[]).await];
    let [a, b, c] = &backends;
    let edge = edge::plain().pool("shop", &[a, b, c]).start();
    let load = Load::start(Target::plain(edge.address()).asking("/name"), Pace::PerSecond(RATE));
    let had = |name: &str| load.so_far().bodies.get(name).copied().unwrap_or(0);
    eventually("all three serve", async || ["a", "b", "c"].iter().all(|name| had(name) > 100)).await;
    backends[1].kill();
    let before = had("a");
    eventually("the others serve on", async || had("a") > before + 300 && load.so_far().sent >= 1000).await;
    load.stop().await.assert_all_answered();
    assert_eq!(standings(&edge)[1], "unhealthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_sent_is_never_sent_twice() {
    // It takes the request and closes without an answer: nobody knows what it did with it.
    let (rude, well) = (Origin::new(|_| Reply::default().then(origin::Step::Close)), Origin::named("well"));
    let edge = edge::plain().workers(1).pool("shop", &[&rude, &well]).start();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let mut client = Client::plain(edge.address()).await;
        statuses.push(client.send(client::body("/buy", "one")).await.unwrap().status.as_u16());
    }
    let total = rude.requests() + well.requests();
    assert_eq!(total, 10, "each was asked of one backend, once; answers: {statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 502).count() as u64, rude.requests());
    assert!(rude.requests() > 0 && well.requests() > 0);
}

/// Answers `well`; asked for `/crash`, it dies without an answer, and nobody listens there any more.
fn mortal() -> Arc<Origin> {
    Arc::new_cyclic(|me: &Weak<Origin>| {
        let me = me.clone();
        Origin::new(move |seen| match (seen.target.as_str(), me.upgrade()) {
            ("/crash", Some(origin)) => {
                origin.kill();
                Reply::silence()
            }
            _ => Reply::named("well"),
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_kills_who_gets_it_reaches_two_at_the_most() {
    let mortals = [(); 4].map(|()| mortal());
    let rude = [(); 4].map(|()| {
        Origin::new(|seen| match seen.target.as_str() {
            "/crash" => Reply::default().then(origin::Step::Close),
            _ => Reply::named("well"),
        })
    });
    for origins in [mortals.each_ref().map(|origin| &**origin), rude.each_ref()] {
        let [a, b, c, d] = origins;
        let edge = edge::plain().workers(1).pool("shop", &[a, b, c, d]);
        let edge = edge.with(|pool| pool.health.interval = Duration::from_secs(3600)).start();
        let mut client = Client::plain(edge.address()).await;
        // Each has a kept connection by now.
        for _ in 0..8 {
            assert_eq!(client.get("/").await.text(), "well");
        }
        assert_eq!(client.get("/crash").await.status, StatusCode::BAD_GATEWAY);
        let crashes = |origin: &&Origin| origin.seen().iter().filter(|seen| seen.target == "/crash").count();
        let mut crashes: Vec<_> = origins.iter().map(crashes).filter(|&crashes| crashes > 0).collect();
        crashes.sort_unstable();
        // Over a kept connection and, if somebody listens still, over a new one; then once to another.
        assert!(crashes == [1, 1] || crashes == [1, 2], "{crashes:?}");
    }
}

/// A backend that resets each connection, kept or new, as one does that is being killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_lost_twice_on_a_dying_backend_goes_to_another() {
    let dying = Origin::new(|seen| match seen.target.as_str() {
        "/now" => Reply::default().then(origin::Step::Close),
        _ => Reply::named("well"),
    });
    let healthy = Origin::named("well");
    let edge = edge::plain().workers(1).pool("shop", &[&dying, &healthy]);
    let edge = edge.with(|pool| pool.health.interval = Duration::from_secs(3600)).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..5 {
        // One each, so that both have a kept connection.
        assert_eq!(client.get("/").await.text(), "well");
        assert_eq!(client.get("/").await.text(), "well");
        let answer = client.get("/now").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"));
    }
    assert!(dying.seen().iter().any(|seen| seen.target == "/now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_have_no_more_time_than_the_request() {
    let mut deaf = [(); 3].map(|()| Deaf::new());
    let addresses = deaf.each_ref().map(Deaf::address);
    let edge = edge::plain().workers(1).pool("shop", &[&addresses[0], &addresses[1], &addresses[2]]);
    let edge = edge.with(|pool| {
        pool.health.interval = Duration::from_secs(3600);
        pool.timeout.connect = PATIENCE;
        pool.timeout.total = Some(Duration::from_millis(300));
    });
    let edge = edge.start();
    assert_eq!(standings(&edge), ["ready"; 3]);
    deaf.iter_mut().for_each(Deaf::fill);
    let answer = Client::plain(edge.address()).await.get("/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(edge.pool("shop").backends.iter().map(|backend| backend.attempts).sum::<u64>(), 1, "no time for others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connect_goes_on_to_every_other() {
    // Four that nobody listens at, one that serves; no health check comes in between.
    let dead = [(); 4].map(|()| Place::new());
    let alive = Origin::named("alive");
    let addresses = dead.each_ref().map(Place::address);
    let edge =
        edge::plain().workers(1).pool("shop", &[&addresses[0], &addresses[1], &addresses[2], &addresses[3], &alive]);
    let edge = edge.with(|pool| pool.health.interval = Duration::from_secs(3600)).start();
    for _ in 0..10 {
        let mut client = Client::plain(edge.address()).await;
        assert_eq!(client.get("/").await.text(), "alive");
        assert_eq!(client.send(client::body("/", "a body not sent yet")).await.unwrap().text(), "alive");
    }
    assert!(alive.seen().iter().all(|seen| seen.complete));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_56_all_dead_is_503_at_once_and_one_that_is_back_serves() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    for origin in [&a, &b, &c] {
        origin.kill();
    }
    eventually("all are known dead", async || standings(&edge) == ["unhealthy"; 3]).await;
    // Best of ten: a single one may meet a busy machine.
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        let answer = client.get("/").await;
        fastest = fastest.min(begun.elapsed());
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        assert_eq!(answer.header("pointsman-error"), Some("PM0501"));
        assert!(answer.text().contains("no backend available"), "{}", answer.text());
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    // Best of three, for the same reason.
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        b.revive();
        let begun = Instant::now();
        eventually("it serves again", async || client.get("/").await.status == StatusCode::OK).await;
        fastest = fastest.min(begun.elapsed());
        b.kill();
        eventually("it is known dead again", async || standings(&edge) == ["unhealthy"; 3]).await;
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_starts_dead_serves_when_a_backend_comes() {
    let late = Origin::dead(|_| Reply::named("late"));
    let edge = edge::plain().pool("shop", &[&late]).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    late.revive();
    eventually("it serves", async || client.get("/").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_path_takes_out_who_answers_ill() {
    let well = Origin::named("well");
    let ill = Origin::new(|seen| match seen.target.as_str() {
        "/healthz" => Reply::status(500, ""),
        _ => Reply::named("ill"),
    });
    let edge = edge::plain().pool("shop", &[&well, &ill]);
    let edge = edge.with(|pool| {
        pool.health.check = HealthCheck::get("/healthz");
        pool.health.interval = Duration::from_millis(100);
    });
    let edge = edge.start();
    eventually("the ill one is out", async || standings(&edge) == ["ready", "unhealthy"]).await;
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "well");
    }
    assert!(edge.pool("shop").backends[1].last_check.contains("500"), "{:?}", edge.pool("shop").backends[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_plugin_and_with_reject_is_503() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).balancer("nobody-knows-it");
    let edge = edge.with(|pool| pool.fallback = Fallback::Reject).start();
    let mut client = Client::plain(edge.address()).await;
    let answer = client.send(client::request(Method::GET, "/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((origin.requests(), edge.pool("shop").serving.as_str()), (0, "fallback"));
}
