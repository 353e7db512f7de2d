//! What a plugin sees: the request, the backends and their figures; and that its clock ticks.

use http::Request;
use http_body_util::Full;
use pointsman::config::model::{HashKey, OnFault};
use pointsman_tests::{
    certs,
    client::Client,
    edge, guests,
    origin::{self, Origin},
    plugins::Plugins,
    story::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_sees_the_request_and_the_figures() {
    let [a, b, dead] = origin::three();
    dead.kill();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("looks"));
    plugins.put("marks", &guests::guest("edits"));
    let mark = r#"{"do":[["set-tag","mark","tagged"]]}"#;
    let edge = edge::tls().workers(1).pool("shop", &[&a, &b, &dead]).balancer("ours").plugins(&plugins);
    let edge = edge.with(|pool| {
        pool.hash = Some(HashKey::Header("x-user".into()));
        pool.backends[0].metadata = vec![("rack".into(), "r1".into())];
        pool.backends[0].zone = "eu".into();
        pool.backends[1].name = "bee".into();
    });
    let edge = edge.route("/", "shop").filter("marks", mark, OnFault::Reject).start();
    eventually("the dead one is out", async || edge.pool("shop").backends[2].standing == "unhealthy").await;
    let mut client = Client::h2(edge.address()).await;
    let ask = |look: &str, want: &str| {
        let request = Request::get("/some/../path?q=7").header("x-look", look).header("x-want", want);
        let request = request.header("x-user", "joe").header("cookie", "a=1; session=s1");
        request.header("x-many", "1").header("x-many", "2").body(Full::default()).unwrap()
    };
    assert_eq!(client.send(ask("request", "bee")).await.unwrap().text(), "b", "it was sent where it was wanted");
    assert_eq!(client.send(ask("figures", "bee")).await.unwrap().text(), "b");
    let log = edge.log("ours").await;
    let line =
        |start: &str| log.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {log:#?}"));
    let request = line("GET ");
    for part in [
        "GET https shop.test Some(\"/path\") Some(\"q=7\") x-many=2 Some(\"s1\") Some(\"tagged\")",
        "Some(\"127.0.0.1\") Some(\"shop.test\") Some(\"h2\")",
    ] {
        assert!(request.contains(part), "{part} is not in {request}");
    }
    // xxh64 of `joe` with seed 0, once as the pool's key and once asked for: machines must agree on it.
    let joe = xxhash_rust::xxh64::xxh64(b"joe", 0);
    assert!(request.ends_with(&format!("key=Some({joe})")) && request.contains(&format!("[Some({joe}),")), "{request}");
    assert!(line("total ").starts_with("total 0 "), "one request at a time: {}", line("total "));
    assert!(log.iter().any(|line| line.contains("\"eu\"") && line.contains("[(\"rack\", \"r1\")]")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("Unhealthy")), "{log:#?}");
    assert_eq!(edge.plugin("ours").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_request_is_rejected_is_told_why_and_when_to_come_back() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("looks"));
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    let mut client = Client::plain(edge.address()).await;
    for (words, status, after, text) in [
        ("429 7 the tills are closed", 429, Some("7"), "the tills are closed"),
        ("503 90 in a while", 503, Some("90"), "in a while"),
        ("503 - no time is known", 503, Some("1"), "no time is known"),
        ("403 - come never", 403, None, "come never"),
        ("451", 451, None, "rejected"),
    ] {
        let request = Request::get("/").header("x-reject", words).body(Full::default()).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, after), "{words}");
        let told = answer.text();
        assert!(told.starts_with(&format!("{text}\nrequest ")), "{told}");
    }
    assert_eq!((edge.plugin("ours").faults, origin.requests()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticker_ticks_between_picks() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("ticks"));
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).start();
    let mut client = Client::plain(edge.address()).await;
    // Its picks follow the count of its ticks: with time, all backends are chosen; in between no request is needed.
    eventually("the ticks went round", async || {
        assert_eq!(client.get("/").await.status, 200);
        origin::spread(&[&a, &b, &c]).iter().all(|&requests| requests > 0)
    })
    .await;
    assert_eq!((edge.plugin("ours").faults, edge.plugin("ours").fallbacks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_traps_is_a_fault_and_the_next_instance_ticks_on() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("ticks"));
    let edge = edge::plain().workers(1).pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins);
    let edge = edge.with(|pool| pool.settings = r#"{"panics_at":3}"#.into()).start();
    let mut client = Client::plain(edge.address()).await;
    eventually("ticks have trapped", async || {
        assert_eq!(client.get("/").await.status, 200);
        edge.plugin("ours").faults_by_kind.get("trap").is_some_and(|&traps| traps >= 2)
    })
    .await;
    assert!(edge.log("ours").await.iter().any(|line| line.contains("asked to panic in tick")));
    // Five within ten seconds: out.
    eventually("it is taken out", async || {
        assert_eq!(client.get("/").await.status, 200);
        edge.plugin("ours").state == "quarantined"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_edits_reach_later_filters_and_the_backend() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    plugins.put("first", &guests::guest("edits"));
    plugins.put("second", &guests::guest("edits"));
    let first = r#"{"do":[["set-header","x-set","1"],["append-header","x-more","2"],["append-header","x-more","3"],
        ["remove-header","x-secret"],["set-tag","mark","said"],["set-path","/a/../else?where"],["set-authority","in.test"]]}"#;
    let second =
        r#"{"do":[["tag-to-header","mark","x-tag"],["path-to-header","x-path"],["client-to-header","x-client"]]}"#;
    let edge = edge::plain().listen("tls", Some(certs::shop())).pool("shop", &[&origin]).route("/", "shop");
    let edge = edge.filter("first", first, OnFault::Reject).filter("second", second, OnFault::Reject);
    let edge = edge.plugins(&plugins).start();
    for mut client in [Client::plain(edge.listener("plain")).await, Client::h2(edge.listener("tls")).await] {
        origin.forget();
        let request = Request::get("/old").header("x-secret", "1").header("x-set", "0").body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().text(), "a");
        let seen = origin.only();
        assert_eq!((seen.target.as_str(), seen.header("host")), ("/else?where", Some("in.test")));
        assert_eq!(
            (seen.header("x-set"), seen.all("x-more"), seen.has("x-secret")),
            (Some("1"), vec!["2", "3"], false)
        );
        assert_eq!((seen.header("x-tag"), seen.header("x-path")), (Some("said"), Some("/else")));
        assert_eq!(seen.header("x-client"), Some("127.0.0.1"));
        assert!(!seen.headers.iter().any(|(name, _)| name.contains("mark")), "tags stay inside");
    }
}
