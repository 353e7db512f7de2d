//! What became of each decision comes back to the plugin that took it: once, in the words of the contract, or it is counted
//! why not.

use http::{Method, StatusCode};
use pointsman::admin::api::Outcomes;
use pointsman_tests::{
    client::{self, Client},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Gate, Origin, Reply, Step},
    plugins::Plugins,
    story::{arrives, eventually},
};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

fn listening(plugins: &Plugins, backends: &[&dyn edge::Backend], settings: &str) -> edge::Builder {
    plugins.put("hears", &guests::guest("hears"));
    let builder = edge::plain().pool("shop", backends).balancer("hears").plugins(plugins);
    builder.with(|pool| {
        pool.settings = settings.into();
        pool.health.interval = Duration::from_secs(3600);
    })
}

/// Waits until nothing is under way, nor waits to be told.
async fn settled(edge: &Edge) -> Outcomes {
    arrives("every attempt is told of, or counted why not", async || {
        let all = edge.plugin("hears").feedback.expect("it wants to hear").all_generations;
        let settled = all.delivered + all.undelivered.values().sum::<u64>();
        assert!(settled <= all.attempts, "{all:?}");
        (settled == all.attempts).then_some(all)
    })
    .await
}

/// Waits for a line that begins so; the name of the backend before it is cut off.
async fn told(edge: &Edge, expected: &str) {
    eventually(expected, async || {
        let lines = edge.log("hears").await;
        lines.iter().any(|line| line.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(expected)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_is_told_in_the_words_of_the_contract() {
    let gate = Gate::default();
    let until = gate.clone();
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/ill" => Reply::status(503, "ill"),
        "/rude" => Reply::default().then(Step::Close),
        "/garbage" => Reply::bytes("SSH-2.0-OpenSSH_9.9\r\n"),
        "/cut" => Reply::bytes("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour").then(Step::Close),
        "/open" => Reply::open_until(&until, Duration::from_millis(20)),
        "/silence" | "/held" => Reply::silence(),
        _ => Reply::status(200, "ok"),
    });
    let plugins = Plugins::new();
    let edge = listening(&plugins, &[&origin], r#"{"tells": true}"#).with(|pool| {
        pool.timeout.head = Duration::from_secs(1);
        pool.eject = None;
    });
    let edge = edge.start();
    let mut asked = 0;
    for (path, status, expected) in [
        ("/ok", 200, "200 Failure::Nothing 0 5 2"),
        ("/ill", 503, "503 Failure::Nothing 0 5 3"),
        ("/rude", 502, "0 Failure::Reset 0 5 0"),
        ("/garbage", 502, "0 Failure::BadResponse 0 5 0"),
        ("/silence", 504, "0 Failure::RequestTimeout 0 5 0"),
    ] {
        // Nothing but a body that nobody asks for twice.
        let answer = Client::plain(edge.address()).await.send(client::body(path, "hello")).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{path}");
        told(&edge, expected).await;
        asked += 1;
    }
    assert!(Client::plain(edge.address()).await.send(client::body("/cut", "hello")).await.is_err());
    told(&edge, "200 Failure::Reset 0 5 4").await;

    let mut held = Box::pin(async { Client::plain(edge.address()).await.send(client::body("/held", "hello")).await });
    let seen = || origin.seen().iter().any(|seen| seen.target == "/held" && seen.complete);
    tokio::select! {
        _ = &mut held => panic!("it is answered"),
        () = eventually("the backend has it", async || seen()) => {}
    }
    drop(held);
    told(&edge, "0 Failure::ClientGone 0 5 0").await;

    let mut client = Client::plain(edge.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/open")).await.unwrap();
    assert_eq!(answer.piece().await.unwrap().as_deref(), Some(&b"first"[..]));
    drop((answer, client));
    told(&edge, "200 Failure::ClientGone 0 0").await;

    origin.kill();
    let answer = Client::plain(edge.address()).await.send(client::body("/ok", "hello")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    told(&edge, "0 Failure::Refused 0 0 0").await;
    let all = settled(&edge).await;
    assert_eq!((all.attempts, all.delivered, edge.plugin("hears").faults), (asked + 4, asked + 4, 0), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_go_where_the_plugin_ranked_them_under_one_token_and_without_asking_again() {
    let rude = || Origin::new(|_| Reply::default().then(Step::Close));
    let (a, b, well) = (rude(), rude(), Origin::named("well"));
    let plugins = Plugins::new();
    let edge = listening(&plugins, &[&a, &b, &well], r#"{"tells": true, "ranks": true}"#).workers(1);
    let edge = edge.with(|pool| (pool.retry.most, pool.eject) = (2, None)).start();
    for _ in 0..3 {
        assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "well");
    }
    // Round robin begins with another one each time: none, one and two retries.
    let all = settled(&edge).await;
    assert_eq!((edge.plugin("hears").picks, all.attempts, all.delivered), (3, 6, 6));
    for expected in ["0 Failure::Reset 0", "0 Failure::Reset 1", "200 Failure::Nothing 2"] {
        told(&edge, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_of_age_and_its_successor_are_one_attempt() {
    let is_old = AtomicBool::new(true);
    let origin = Origin::new(move |seen| match seen.target.as_str() {
        "/dies" if is_old.swap(false, Relaxed) => Reply::default().then(Step::Close),
        _ => Reply::named("a"),
    });
    let plugins = Plugins::new();
    let edge = listening(&plugins, &[&origin], r#"{"tells": true}"#).workers(1);
    let edge = edge.with(|pool| pool.retry.most = 0).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    assert_eq!(client.get("/dies").await.status, StatusCode::OK);
    let all = settled(&edge).await;
    assert_eq!((all.attempts, all.delivered), (2, 2));
    let lines = edge.log("hears").await;
    assert_eq!(lines.iter().filter(|line| line.contains("200 Failure::Nothing 0")).count(), 2, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_asked_the_slower_one_is_told_of_as_outrun() {
    let (slow, quick) = (Origin::slow("slow", Duration::from_secs(600)), Origin::named("quick"));
    let plugins = Plugins::new();
    let edge = listening(&plugins, &[&slow, &quick], r#"{"tells": true}"#).workers(1);
    let edge = edge.with(|pool| pool.hedge = Some(Duration::from_millis(50))).start();
    for _ in 0..2 {
        assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "quick");
    }
    told(&edge, "0 Failure::Outrun 0").await;
    let all = settled(&edge).await;
    assert_eq!((all.attempts, all.delivered), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_are_asked_one_that_fails_is_told_of_at_once() {
    let (fails, answers) = (Gate::default(), Gate::default());
    let (rude, slow) = (fails.clone(), answers.clone());
    let rude = Origin::new(move |_| Reply::default().once_open(&rude).then(Step::Close));
    let slow = Origin::new(move |_| Reply::named("slow").once_open(&slow));
    let plugins = Plugins::new();
    let edge = listening(&plugins, &[&rude, &slow], r#"{"tells": true}"#).workers(1);
    let edge = edge.with(|pool| (pool.hedge, pool.eject) = (Some(Duration::from_millis(50)), None)).start();
    let mut held = Box::pin(async { Client::plain(edge.address()).await.get("/").await.text() });
    let both = async || eventually("both are asked", async || rude.requests() + slow.requests() == 2).await;
    tokio::select! {
        text = &mut held => panic!("{text}"),
        () = both() => {}
    }
    fails.open();
    // While the other one still takes its time.
    tokio::select! {
        text = &mut held => panic!("{text}"),
        () = told(&edge, "0 Failure::Reset") => {}
    }
    answers.open();
    assert_eq!(held.await, "slow");
    assert_eq!(settled(&edge).await.delivered, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_lost_through_faults_and_swaps() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    let settings = r#"{"panics_at": 20, "picks_fail": 301}"#;
    let edge = listening(&plugins, &[&a, &b, &c], settings).limits(|limits| limits.faults.limit = u32::MAX).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(1000));
    for generation in 2..6 {
        eventually("there were faults", async || edge.plugin("hears").faults > 1).await;
        plugins.put("hears", &guests::numbered(&guests::guest("hears"), generation));
        eventually("the next serves", async || {
            let plugin = edge.plugin("hears");
            plugin.generation == Some(generation) && plugin.picks > 100
        })
        .await;
    }
    load.stop().await.assert_all_answered();
    let all = settled(&edge).await;
    println!("{all:?}");
    let why = |reason: &str| all.undelivered[reason];
    assert!(all.delivered > 1000 && why("fault") > 0 && why("full") == 0, "{all:?}");
    let page = edge.admin().await.get("/metrics").await.text();
    for row in ["attempts", "outcomes_delivered", "outcomes_undelivered"] {
        assert!(page.contains(&format!("pointsman_plugin_{row}_total{{plugin=\"hears\",generation=\"5\"")), "{page}");
    }
}
