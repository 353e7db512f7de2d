//! The load that backends report with their answers, and those who choose by it.

use pointsman::config::model::{Protocol, Reported};
use pointsman_tests::{
    client::Client,
    edge,
    h2_origin::{Act, H2Origin},
    origin::{Origin, Reply, spread},
    story::eventually,
};

/// Reports this with each answer.
fn reporting(name: &'static str, header: &'static str, report: &'static str) -> Origin {
    Origin::new(move |_| Reply::named(name).with(header, report))
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_report_less_load_for_their_work_get_more_of_it() {
    let a = reporting("a", "endpoint-load-metrics", "rps_fractional:100,cpu_utilization:0.9");
    let b = reporting("b", "endpoint-load-metrics-json", r#"{"rps_fractional":100,"cpu_utilization":0.1}"#);
    let edge = edge::plain().workers(2).pool("shop", &[&a, &b]).balancer("reported-weights");
    let edge = edge.with(|pool| {
        pool.reported = Some(Reported::default());
        pool.settings = r#"{"period_ms": 100, "blackout_ms": 0}"#.into();
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    // Nine times as much, as soon as both have reported and a tick has seen it.
    eventually("one gets far more", async || {
        [&a, &b].into_iter().for_each(Origin::forget);
        for _ in 0..40 {
            assert_eq!(client.get("/").await.status, 200);
        }
        let spread = spread(&[&a, &b]);
        spread[0] > 0 && spread[1] > spread[0] * 4
    })
    .await;
    assert_eq!(edge.plugin("reported-weights").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_trailers_counts_as_one_in_a_head() {
    let answer = |trailers: &'static [_]| move |_: &_| Act::Answer("ok".into(), trailers, Default::default());
    let busy = answer(&[("grpc-status", "0"), ("endpoint-load-metrics", "named_metrics.queue:9")]);
    let idle = answer(&[("grpc-status", "0"), ("endpoint-load-metrics", "named_metrics.queue:1")]);
    let (a, b) = (H2Origin::new(100, busy).await, H2Origin::new(100, idle).await);
    let edge = edge::plain().workers(1).pool("llm", &[&a, &b]).balancer("llm-queue");
    let edge = edge.with(|pool| {
        pool.protocol = Protocol::Http2;
        pool.reported = Some(Reported::default());
        pool.settings = r#"{"queue": "named_metrics.queue"}"#.into();
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    eventually("what they said counts", async || {
        let before = [&a, &b].map(|origin| origin.asked().len());
        for _ in 0..20 {
            assert_eq!(client.get("/").await.status, 200);
        }
        [&a, &b].map(|origin| origin.asked().len()) == [before[0], before[1] + 20]
    })
    .await;
    assert_eq!((edge.plugin("llm-queue").faults, edge.plugin("llm-queue").fallbacks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_heeded_that_a_header_tells_of_and_only_where_the_pool_listens() {
    let reported = Reported {
        orca: false,
        headers: vec![("queue".into(), "x-queue-depth".parse().unwrap())],
        ..Reported::default()
    };
    for (listens, reported) in [(true, Some(reported)), (false, None)] {
        let (a, b) = (reporting("a", "x-queue-depth", "9"), reporting("b", "x-queue-depth", "1"));
        let edge = edge::plain().workers(1).pool("llm", &[&a, &b]).balancer("llm-queue");
        let edge = edge.with(|pool| {
            pool.reported = reported;
            pool.settings = r#"{"queue": "queue"}"#.into();
        });
        let edge = edge.start();
        let mut client = Client::plain(edge.address()).await;
        eventually("both have answered", async || {
            assert!(client.get("/").await.header("x-queue-depth").is_some(), "it is passed on");
            a.requests() > 0 && b.requests() > 0
        })
        .await;
        eventually("what they said counts", async || {
            [&a, &b].into_iter().for_each(Origin::forget);
            for _ in 0..20 {
                client.get("/").await;
            }
            let spread = spread(&[&a, &b]);
            if listens { spread == [0, 20] } else { spread[0] > 0 && spread[1] > 0 }
        })
        .await;
        assert_eq!((edge.plugin("llm-queue").faults, edge.plugin("llm-queue").fallbacks), (0, 0));
    }
}
