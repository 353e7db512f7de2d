//! What the instances of a plugin share, whichever worker they live on: cells, a table, and the bound that a reservation
//! keeps.

use http::Request;
use http_body_util::Full;
use pointsman::config::model::HashKey;
use pointsman_tests::{
    client::{Client, Raw},
    edge, guests,
    origin::{self, Gate, Origin, Reply, spread},
    plugins::Plugins,
    story::{PATIENCE, eventually},
};

/// Holds each request until the gate opens.
fn holding(name: &'static str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::new(move |_| Reply::named(name).once_open(&gate))
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_and_the_table_are_one_for_all_workers_and_outlive_a_swap() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("shares"));
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).start();
    let ask = async |user: Option<&str>| {
        // A connection each: the kernel gives them to either worker.
        let mut client = Client::plain(edge.address()).await;
        let request = Request::get("/");
        let request = user.iter().fold(request, |request, user| request.header("x-user", *user));
        client.send(request.body(Full::default()).unwrap()).await.unwrap().text()
    };
    let ann = ask(Some("ann")).await;
    for _ in 0..29 {
        ask(None).await;
    }
    assert_eq!(spread(&[&a, &b, &c]), [10, 10, 10]);
    let generation = edge.plugin("ours").generation;
    plugins.put("ours", &guests::numbered(&guests::guest("shares"), 2));
    eventually("the next generation serves", async || edge.plugin("ours").generation != generation).await;
    for _ in 0..9 {
        assert_eq!(ask(Some("ann")).await, ann, "she is remembered");
    }
    for _ in 0..21 {
        ask(None).await;
    }
    assert_eq!(spread(&[&a, &b, &c]), [20, 20, 20], "those who have more wait for the others");
    assert_eq!(edge.plugin("ours").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reserved_counts_and_what_is_not_used_does_not() {
    let gate = Gate::default();
    let (a, b, unused) = (holding("a", &gate), holding("b", &gate), holding("unused", &gate));
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("shares"));
    let edge = edge::plain().workers(4).pool("shop", &[&a, &b, &unused]).balancer("ours").plugins(&plugins).start();
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Raw::plain(edge.address()).await;
        client.say(b"GET / HTTP/1.1\r\nHost: shop.test\r\nx-bound: 7\r\n\r\n").await;
        clients.push(client);
    }
    // All at once, on four workers: seven each, to the last one, and the rest are sent away.
    eventually("all are under way or sent away", async || {
        let under_way: u32 = edge.pool("shop").backends.iter().map(|backend| backend.in_flight).sum();
        let is_asked = edge.plugin("ours").picks >= 40;
        is_asked && under_way == 14 && a.open_requests() + b.open_requests() == 14
    })
    .await;
    gate.open();
    let mut statuses = Vec::new();
    for mut client in clients {
        statuses.push(client.hear(PATIENCE).await.status());
    }
    let count = |status| statuses.iter().filter(|&&found| found == Some(status)).count();
    assert_eq!((count(200), count(503)), (14, 26));
    assert_eq!(spread(&[&a, &b, &unused]), [7, 7, 0]);
    eventually("nothing is left", async || edge.pool("shop").backends.iter().all(|backend| backend.in_flight == 0))
        .await;
    let attempts: Vec<u64> = edge.pool("shop").backends.iter().map(|backend| backend.attempts).collect();
    assert_eq!(attempts, [7, 7, 0], "what was reserved and not used was no attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_fills_its_backend_to_the_bound_and_no_further() {
    let gate = Gate::default();
    let origins = ["a", "b", "c", "d"].map(|name| holding(name, &gate));
    let [a, b, c, d] = &origins;
    let edge = edge::plain().workers(4).pool("shop", &[a, b, c, d]).balancer("bounded-load");
    let edge = edge.with(|pool| pool.hash = Some(HashKey::Path)).start();
    let mut clients = Vec::new();
    for number in 1..=40_u64 {
        let mut client = Raw::plain(edge.address()).await;
        client.say(b"GET /hot HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        eventually("it is in flight", async || origins.iter().map(Origin::requests).sum::<u64>() == number).await;
        // 1.25 times its share of all.
        let bound = (number * 5).div_ceil(16);
        let spread = spread(&[a, b, c, d]);
        assert!(spread.iter().all(|&requests| requests <= bound), "{spread:?} of {number}");
        clients.push(client);
    }
    let mut spread = spread(&[a, b, c, d]);
    spread.sort_unstable();
    assert!(spread[3] >= 12 && spread[0] < 10, "as much as may be goes to where the key belongs: {spread:?}");
    gate.open();
    for mut client in clients {
        assert_eq!(client.hear(PATIENCE).await.status(), Some(200));
    }
    assert_eq!((edge.plugin("bounded-load").faults, edge.plugin("bounded-load").fallbacks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_counts_over_its_pools_limits_over_its_workers_and_shows_its_numbers() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("our-own", &guests::guest("shares"));
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b]).balancer("our-own").route("/", "shop");
    let edge = edge.pool("cart", &[&c]).balancer("our-own").route("/cart", "cart");
    let edge = edge.plugins(&plugins).metrics().start();
    let ask = async |path: &str, burst: &str| {
        let mut client = Client::plain(edge.address()).await;
        let request = Request::get(path).header("x-burst", burst).body(Full::default()).unwrap();
        client.send(request).await.unwrap().status
    };
    for _ in 0..3 {
        assert_eq!(ask("/cart", "100").await, 200);
    }
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(ask("/", "4").await.as_u16());
    }
    let served = statuses.iter().filter(|&&status| status == 200).count();
    assert!((4..12).contains(&served) && statuses[..4] == [200; 4], "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    let page = Client::plain(edge.metrics()).await.get("/metrics").await.text();
    for row in [
        "# TYPE pointsman_custom_our_own_asked gauge",
        "# HELP pointsman_custom_our_own_asked How often any of its pools was asked",
        "pointsman_custom_our_own_asked{plugin=\"our-own\",pool=\"shop\"} 23.0",
        "pointsman_custom_our_own_picks_total{plugin=\"our-own\",pool=\"cart\"} 3.0",
        "pointsman_custom_our_own_picks_total{plugin=\"our-own\",pool=\"shop\"} 20.0",
        "pointsman_custom_our_own_attempt_count{plugin=\"our-own\",pool=\"shop\"} 20",
    ] {
        assert!(page.lines().any(|line| line == row), "{row} is not in\n{page}");
    }
    assert_eq!(edge.plugin("our-own").faults, 0);
}
