//! The stock balancers under real traffic: who gets how much. Each spread is the plugin's own: the picks of its
//! generation are as many as the requests, with no fault, and nothing chosen by the fallback.

use pointsman_tests::{
    client::{Client, Raw},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Origin, Reply, spread},
    plugins::Plugins,
    story::{PATIENCE, eventually},
};
use std::time::Duration;

/// Asks so many times over several connections, so that the kernel spreads them over the workers.
async fn ask(edge: &Edge, times: u64) {
    for _ in 0..times.div_ceil(10) {
        let mut client = Client::plain(edge.address()).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.status, 200);
        }
    }
}

/// Demands that the plugin of this name chose for each of so many requests.
fn chosen_by(edge: &Edge, name: &str, requests: u64) {
    let plugin = edge.plugin(name);
    let counts = (plugin.picks, plugin.faults, plugin.fallbacks, plugin.state.as_str());
    assert_eq!(counts, (requests, 0, 0, "serving"), "picks, faults, fallbacks of {name}");
    assert_eq!(edge.pool("shop").serving, "plugin");
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_is_exact_across_two_workers() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b, &c]).balancer("round-robin").start();
    ask(&edge, 300).await;
    assert_eq!(spread(&[&a, &b, &c]), [100, 100, 100]);
    chosen_by(&edge, "round-robin", 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_honours_weights_exactly_and_smoothly() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b, &c]).weights(&[3, 2, 1]).start();
    let mut client = Client::plain(edge.address()).await;
    let mut order = String::new();
    for _ in 0..60 {
        order.push_str(&client.get("/").await.text());
    }
    assert_eq!(spread(&[&a, &b, &c]), [30, 20, 10]);
    assert!(!order.contains("aaa") && !order.contains("bbb"), "smoothly, not in runs: {order}");
    ask(&edge, 300).await;
    assert_eq!(spread(&[&a, &b, &c]), [180, 120, 60]);
    chosen_by(&edge, "round-robin", 360);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_of_nought_gets_nothing() {
    let [a, b, c] = origin::three();
    for balancer in ["round-robin", "random", "least-request", "power-of-two"] {
        let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer(balancer).weights(&[1, 0, 1]).start();
        ask(&edge, 100).await;
        assert_eq!(b.requests(), 0, "{balancer}");
        chosen_by(&edge, balancer, 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_spreads_by_weight() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("random").weights(&[1, 1, 2]).start();
    ask(&edge, 1000).await;
    let spread = spread(&[&a, &b, &c]);
    // Six standard deviations of a binomial distribution: 6·√(1000·¼·¾) = 82, and 6·√(1000·½·½) = 95.
    for (found, expected, tolerance) in [(spread[0], 250, 82), (spread[1], 250, 82), (spread[2], 500, 95)] {
        assert!(found.abs_diff(expected) <= tolerance, "{spread:?}");
    }
    chosen_by(&edge, "random", 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn least_request_breaks_ties_fairly() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("least-request").start();
    // One client at a time: nothing is ever in flight at a pick, so all is ties.
    ask(&edge, 300).await;
    let spread = spread(&[&a, &b, &c]);
    // Six standard deviations around a third: 6·√(300·⅓·⅔) = 49.
    assert!(spread.iter().all(|&found| found.abs_diff(100) <= 49), "{spread:?}");
    chosen_by(&edge, "least-request", 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn least_request_and_power_of_two_spare_the_slow() {
    for balancer in ["least-request", "power-of-two"] {
        let fast = ["a", "b"].map(|name| Origin::slow(name, Duration::from_millis(5)));
        let slow = Origin::slow("slow", Duration::from_millis(100));
        let edge = edge::plain().pool("shop", &[&fast[0], &fast[1], &slow]).balancer(balancer).start();
        let load = Load::start(Target::plain(edge.address()), Pace::Parallel(8));
        eventually("some hundred requests are answered", async || fast[0].requests() + fast[1].requests() > 600).await;
        let report = load.stop().await;
        report.assert_all_answered();
        let spread = spread(&[&fast[0], &fast[1], &slow]);
        assert!(spread[2] * 4 < spread[0] && spread[2] * 4 < spread[1], "{balancer}: {spread:?}");
        assert!(spread[2] > 0, "{balancer}: the slow one is spared, not forgotten");
        chosen_by(&edge, balancer, report.sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn least_request_sees_what_is_in_flight_on_other_workers() {
    let gate = origin::Gate::default();
    let open = gate.clone();
    // Both hold each request until the gate opens.
    let hold = move |name: &'static str, gate: origin::Gate| {
        Origin::new(move |_| {
            let wait = origin::Step::Drip { piece: "".into(), every: Duration::from_secs(1), until: gate.clone() };
            let mut reply = origin::Reply::named(name);
            reply.0.insert(0, wait);
            reply
        })
    };
    let (a, b) = (hold("a", open.clone()), hold("b", open));
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b]).balancer("least-request").start();
    let mut clients = Vec::new();
    for number in 1..=20_u64 {
        // A connection each: the kernel gives them to either worker.
        let mut client = Raw::plain(edge.address()).await;
        client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        eventually("it is in flight", async || a.requests() + b.requests() == number).await;
        clients.push(client);
    }
    assert_eq!(spread(&[&a, &b]), [10, 10]);
    gate.open();
    for mut client in clients {
        assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_plugins_serve_from_files_as_they_do_embedded() {
    for balancer in ["round-robin", "random", "least-request", "power-of-two"] {
        let origins = origin::three();
        let plugins = Plugins::new();
        let bytes = guests::stock(balancer);
        plugins.put("copy", &bytes);
        let edge =
            edge::plain().pool("shop", &[&origins[0], &origins[1], &origins[2]]).balancer("copy").plugins(&plugins);
        let edge = edge.start();
        ask(&edge, 30).await;
        chosen_by(&edge, "copy", 30);
        assert_eq!(edge.plugin("copy").origin.as_deref(), Some("file"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pools_picks_are_not_anothers() {
    let [a, b, _] = origin::three();
    let [c, d, _] = ["c", "d", "e"].map(Origin::named);
    let edge = edge::plain().pool("shop", &[&a, &b]).pool("static", &[&c, &d]).route("/", "shop").route("/s", "static");
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    // Interleaved: were the shared counter one for both pools, each pool would see every other number only.
    for _ in 0..20 {
        client.get("/").await;
        client.get("/s").await;
    }
    assert_eq!(spread(&[&a, &b, &c, &d]), [10, 10, 10, 10]);
}

/// Shares of a backend that joins later, through the plugins; the fallback has a test of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_joins_gets_a_growing_share() {
    for balancer in ["round-robin", "random", "least-request", "power-of-two"] {
        let mut shares = Vec::new();
        for slow_start in [Duration::from_secs(3600), Duration::from_millis(300)] {
            let (old, new) = (Origin::named("old"), Origin::dead(|_| Reply::named("new")));
            let edge = edge::plain().workers(1).pool("shop", &[&old, &new]).balancer(balancer);
            let edge = edge.with(|pool| pool.slow_start = Some(slow_start)).start();
            let mut client = Client::plain(edge.address()).await;
            assert_eq!(client.get("/").await.text(), "old");
            new.revive();
            eventually("it is ready", async || edge.pool("shop").backends[1].standing == "ready").await;
            let mut of_400 = async || {
                let before = new.requests();
                for _ in 0..400 {
                    assert_eq!(client.get("/").await.status, 200);
                }
                new.requests() - before
            };
            if slow_start > PATIENCE {
                shares.push(of_400().await);
            } else {
                eventually("half of them are its", async || of_400().await > 150).await;
            }
            assert_eq!((edge.plugin(balancer).faults, edge.plugin(balancer).fallbacks), (0, 0), "{balancer}");
        }
        // A tenth of its weight is an eleventh of all; of all that are idle least-request gives it a twentieth.
        assert!((3..80).contains(&shares[0]), "{balancer}: {shares:?}");
    }
}
