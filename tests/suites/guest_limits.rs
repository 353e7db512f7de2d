//! Plugins that misbehave while they serve: the request is answered all the same, the fault is counted by its kind and told,
//! and whoever goes on is taken out. Each guest of `tests/guests` is named in this suite or in `admission` and `guests_see`.

use http::{Request, StatusCode};
use http_body_util::Full;
use pointsman::{
    admin::api::Plugin,
    config::model,
    plugin::{Artifact, Kind, Membership, Origin as From, Runtime},
};
use pointsman_tests::{
    alone,
    client::{Answer, Client},
    edge::{self, Edge},
    guests,
    origin::{self, Origin},
    plugins::Plugins,
    story::{eventually, within},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Pool `shop` of three, chosen by the guest `misbehaves` under the name `ours`.
struct Scene {
    origins: [Origin; 3],
    plugins: Plugins,
    edge: Edge,
}

fn misbehaving(workers: usize, settings: &str) -> Scene {
    let origins = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("misbehaves"));
    let [a, b, c] = &origins;
    let edge = edge::plain().workers(workers).pool("shop", &[a, b, c]).balancer("ours").plugins(&plugins);
    // Little memory: filling it takes far less than a deadline.
    let edge = edge.with(|pool| pool.settings = settings.into()).limits(|limits| limits.memory = 4 << 20).start();
    assert_eq!(edge.plugin("ours").generation, Some(1), "{:?}", edge.plugin("ours").problem);
    Scene { origins, plugins, edge }
}

impl Scene {
    fn ours(&self) -> Plugin {
        self.edge.plugin("ours")
    }

    /// Asks, with the header that has the guest do it.
    async fn ask(&self, client: &mut Client, act: &str) -> Answer {
        let request = Request::get("/").header("x-misbehave", act).body(Full::default()).unwrap();
        client.send(request).await.unwrap_or_else(|failure| panic!("{act}: {failure}"))
    }

    async fn client(&self) -> Client {
        Client::plain(self.edge.address()).await
    }
}

/// Kinds that occurred, and how often.
fn kinds(plugin: &Plugin) -> BTreeMap<&str, u64> {
    plugin.faults_by_kind.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (kind.as_str(), *count)).collect()
}

#[test]
fn each_guest_has_its_story() {
    let suites = [
        include_str!("guest_limits.rs"),
        include_str!("admission.rs"),
        include_str!("guests_see.rs"),
        include_str!("feedback.rs"),
        include_str!("hand_over.rs"),
        include_str!("shared.rs"),
        include_str!("probes.rs"),
        include_str!("filters.rs"),
    ];
    for name in guests::names() {
        let quoted = format!("\"{name}\"");
        assert!(suites.iter().any(|suite| suite.contains(&quoted)), "no suite puts the guest {name} to the test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_58_a_fault_costs_its_request_the_plugins_choice_and_nothing_else() {
    for (act, kind, words) in [
        ("panic", "trap", "asked to panic in pick"),
        ("overflow", "trap", "stack overflow"),
        ("grow", "memory", "more than 4 MiB of memory"),
        ("loop", "deadline", "stopped after "),
        ("lie", "answer", "picked index 3 of a pool of 3"),
        ("narrow", "answer", "narrowed to subset 0"),
        ("reject-badly", "answer", "rejected with status 99"),
    ] {
        let scene = misbehaving(1, "{}");
        let mut client = scene.client().await;
        assert_eq!(client.get("/").await.status, StatusCode::OK);
        assert_eq!(scene.ask(&mut client, act).await.status, StatusCode::OK, "{act}");
        let after = scene.ours();
        assert_eq!((kinds(&after), after.fallbacks), ([(kind, 1)].into(), 1), "{act}");
        assert_eq!(after.state, "serving", "{act}: one fault is no reason to take it out");
        // A fresh instance goes on where the shared counter stands.
        eventually("the plugin picks again", async || {
            assert_eq!(client.get("/").await.status, StatusCode::OK);
            scene.ours().picks > after.picks + 3
        })
        .await;
        assert_eq!(scene.ours().faults, 1, "{act}");
        let told = scene.ours().problem.expect("the fault is told");
        let told = format!("{}\n{}", told.headline, told.notes.join("\n"));
        assert!(told.contains(words), "{act}: {words:?} is not in what is told:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_58_the_thousandth_pick_traps_as_the_first_does() {
    let scene = misbehaving(1, r#"{"act":"panic","nth":1000}"#);
    let mut client = scene.client().await;
    for number in 1..=1100 {
        assert_eq!(client.get("/").await.status, StatusCode::OK, "request {number}");
        assert_eq!(scene.ours().faults, u64::from(number >= 1000), "after request {number}");
    }
    assert_eq!(kinds(&scene.ours()), [("trap", 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_58_a_looping_plugin_costs_five_deadlines_and_is_taken_out() {
    let scene = misbehaving(1, "{}");
    let mut client = scene.client().await;
    // While a fresh instance is built, the fallback serves: not each request meets the plugin.
    eventually("it is taken out", async || {
        assert_eq!(scene.ask(&mut client, "loop").await.status, StatusCode::OK);
        scene.ours().state == "quarantined"
    })
    .await;
    let ours = scene.ours();
    assert_eq!((kinds(&ours), ours.state.as_str()), ([("deadline", 5)].into(), "quarantined"));
    assert_eq!(scene.edge.pool("shop").serving, "fallback");
    // The fallback spreads evenly; nobody asks the plugin any more.
    scene.origins.iter().for_each(Origin::forget);
    for _ in 0..30 {
        assert_eq!(scene.ask(&mut client, "loop").await.status, StatusCode::OK);
    }
    let [a, b, c] = &scene.origins;
    assert_eq!(origin::spread(&[a, b, c]), [10, 10, 10]);
    assert_eq!((scene.ours().faults, scene.ours().picks), (5, ours.picks));

    // Other bytes come back in; the same bytes would not.
    scene.plugins.put("ours", &guests::numbered(&guests::guest("misbehaves"), 1));
    eventually("other bytes serve", async || {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
        scene.edge.pool("shop").serving == "plugin" && scene.ours().picks > 0
    })
    .await;
    assert_eq!((scene.ours().generation, scene.ours().faults), (Some(2), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_cost_at_most_one_deadline_more() {
    let scene = misbehaving(2, "{}");
    // Many connections, so that both workers have some; all at once, so that one may be in its fifth while the other is in
    // its sixth.
    let asks = (0..20).map(|_| async {
        let mut client = scene.client().await;
        eventually("it is taken out", async || {
            assert_eq!(scene.ask(&mut client, "loop").await.status, StatusCode::OK);
            scene.ours().state == "quarantined"
        })
        .await;
    });
    within("all are answered", all(asks)).await;
    let ours = scene.ours();
    assert!((5..=6).contains(&ours.faults) && ours.state == "quarantined", "{} faults, {}", ours.faults, ours.state);
}

/// All of them, at once, on this task.
async fn all(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_58_a_pools_looping_plugin_is_its_own_affair() {
    let scene_origins = origin::three();
    let [a, b, other] = &scene_origins;
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("misbehaves"));
    let edge = edge::plain().workers(1).pool("looping", &[a, b]).balancer("ours").pool("other", &[other]);
    let edge = edge.with(|pool| pool.settings = "{}".into()).route("/loop", "looping").route("/", "other");
    let edge = edge.plugins(&plugins).start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..10 {
        let request = Request::get("/loop").header("x-misbehave", "loop").body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status, StatusCode::OK);
        assert_eq!(client.get("/").await.text(), "c");
    }
    let stock = edge.plugin("round-robin");
    assert_eq!((stock.picks, stock.faults, stock.fallbacks), (10, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_far_apart_do_not_add_up() {
    let origins = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("misbehaves"));
    let edge = edge::plain().workers(1).pool("shop", &[&origins[0]]).balancer("ours").plugins(&plugins);
    let edge = edge.limits(|limits| limits.faults.window = Duration::from_millis(100)).start();
    let mut client = Client::plain(edge.address()).await;
    for number in 1..=8 {
        let request = Request::get("/").header("x-misbehave", "panic").body(Full::default()).unwrap();
        let begun = Instant::now();
        assert_eq!(client.send(request).await.unwrap().status, StatusCode::OK);
        assert_eq!(edge.plugin("ours").faults, number);
        // Four in a window would be fine; one a window surely is.
        eventually("the window is over", async || begun.elapsed() > Duration::from_millis(150)).await;
        eventually("the plugin picks again", async || {
            let before = edge.plugin("ours").picks;
            assert_eq!(client.get("/").await.status, StatusCode::OK);
            edge.plugin("ours").picks > before
        })
        .await;
    }
    assert_eq!(edge.plugin("ours").state, "serving");
}

#[tokio::test(flavor = "multi_thread")]
async fn pass_and_reject_are_answers_and_no_faults() {
    let scene = misbehaving(1, "{}");
    let mut client = scene.client().await;
    assert_eq!(scene.ask(&mut client, "pass").await.status, StatusCode::OK);
    assert_eq!(scene.ask(&mut client, "reject").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(client.get("/").await.status, StatusCode::OK, "the connection goes on");
    assert_eq!((scene.ours().faults, scene.ours().picks), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_update_listed_as_ill_may_not_be_chosen() {
    let scene = misbehaving(1, "{}");
    let mut client = scene.client().await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    scene.origins[2].kill();
    eventually("one is out", async || scene.edge.pool("shop").backends[2].standing == "unhealthy").await;
    // The instance learns of it with its next update, before its next pick.
    eventually("the choice counts as a fault", async || {
        assert_eq!(scene.ask(&mut client, "ineligible").await.status, StatusCode::OK);
        kinds(&scene.ours()).contains_key("answer")
    })
    .await;
    let ours = scene.ours();
    assert_eq!((kinds(&ours), ours.fallbacks), ([("answer", 1)].into(), 1));
    let told = ours.problem.expect("the fault is told").headline;
    assert!(told.contains("picked index 2 (") && told.contains("not eligible"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_prints_is_in_its_log() {
    // On one worker: its thread's runtime is one that nothing may block.
    for (settings, act, call) in [
        ("{}", "print", "pick"),
        (r#"{"act":"print","at":"update","nth":0}"#, "obey", "update"),
        (r#"{"act":"print","at":"configure"}"#, "obey", "configure"),
    ] {
        let scene = misbehaving(1, settings);
        let mut client = scene.client().await;
        assert_eq!(scene.ask(&mut client, act).await.status, StatusCode::OK);
        if call == "update" {
            scene.origins[2].kill();
            eventually("a backend is out", async || scene.edge.pool("shop").backends[2].standing == "unhealthy").await;
            assert_eq!(client.get("/").await.status, StatusCode::OK);
        }
        for text in ["printed in ", "a long line in ", "complained in "].map(|text| format!("{text}{call}")) {
            eventually(&format!("{text:?} is in the log"), async || {
                scene.edge.log("ours").await.iter().any(|line| line.contains(&text))
            })
            .await;
        }
        assert_eq!((scene.ours().faults, scene.ours().picks > 0), (0, true), "printing in {call} is no fault");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_update_while_it_serves_is_in_its_log() {
    let scene = misbehaving(1, r#"{"act":"panic","at":"update","nth":2}"#);
    let mut client = scene.client().await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    assert_eq!(scene.ours().faults, 0);
    scene.origins[2].kill();
    eventually("the update has trapped", async || {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
        kinds(&scene.ours()).get("trap") == Some(&1)
    })
    .await;
    let log = scene.edge.log("ours").await.join("\n");
    assert!(log.contains("asked to panic in update"), "{log}");
    // The next instance begins with the new membership, as its first update.
    let before = scene.ours().picks;
    eventually("the plugin picks again", async || {
        assert_eq!(client.get("/").await.status, StatusCode::OK);
        scene.ours().picks > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_is_bounded_and_counted() {
    let scene = misbehaving(1, r#"{"amount":2000}"#);
    let mut client = scene.client().await;
    for _ in 0..5 {
        assert_eq!(scene.ask(&mut client, "flood").await.status, StatusCode::OK);
    }
    let (ours, kept) = (scene.ours(), scene.edge.log("ours").await.len() as u64);
    assert!(kept > 0 && kept < 2000, "{kept} lines are kept");
    assert!(ours.log_dropped > 0 && ours.log_dropped + kept <= 10_000, "{} were dropped", ours.log_dropped);
    assert_eq!(ours.state, "serving");
}

/// Threads that want the processors too.
struct Crowd(Arc<AtomicBool>);

impl Crowd {
    fn of(threads: usize) -> Crowd {
        let ends = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let ends = ends.clone();
            std::thread::spawn(move || {
                while !ends.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Crowd(ends)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// As many rounds of `work` as take about a millisecond of CPU here.
fn rounds_of_a_millisecond() -> u64 {
    let runtime = Runtime::new(&model::Plugins::default(), 1, "", None).unwrap();
    let artifact = Artifact::new("ours", guests::guest("misbehaves"), From::Embedded);
    let generation = runtime.admit(&runtime.compile(artifact).unwrap(), Kind::Balancer, &[]).unwrap();
    // In `update`, which is timed.
    let takes = |rounds: u64| {
        let settings = format!(r#"{{"act":"work","at":"update","nth":0,"amount":{rounds}}}"#);
        generation.balancer(&"shop".into(), 0, &settings, Membership::default()).unwrap().update_time()
    };
    let mut rounds = 1000;
    while takes(rounds) < Duration::from_micros(700) {
        rounds *= 2;
    }
    rounds
}

/// In a process of its own, so that nothing but its own crowd wants the processors.
#[tokio::test(flavor = "multi_thread")]
async fn time_that_others_took_is_not_held_against_a_plugin() {
    if !alone::here("guest_limits::time_that_others_took_is_not_held_against_a_plugin") {
        return;
    }
    // Each pick works hard for about a millisecond of its own; `plugins.deadline` is five.
    let rounds = rounds_of_a_millisecond();
    let scene = misbehaving(1, &format!(r#"{{"act":"work","nth":0,"amount":{rounds}}}"#));
    let mut client = scene.client().await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
    let crowd = Crowd::of(4 * std::thread::available_parallelism().map_or(2, usize::from));
    let mut long = 0;
    within("enough picks that took longer than the deadline", async {
        while long < 50 {
            let begun = Instant::now();
            assert_eq!(client.get("/").await.status, StatusCode::OK);
            long += u32::from(begun.elapsed() > Duration::from_millis(10));
        }
    })
    .await;
    drop(crowd);
    // Ten times the deadline by the clock on the wall is too long whoever took it: that is said, and is not meant here.
    let told = scene.ours().problem.map(|problem| problem.headline);
    assert!(told.as_ref().is_none_or(|told| told.contains("of them CPU")), "{told:?}");
}
