//! Filters: the stock one, edits, and what a fault costs.

use http::{Request, StatusCode};
use http_body_util::Full;
use pointsman::config::model::OnFault;
use pointsman_tests::{
    certs,
    client::{Answer, Client},
    edge, guests,
    origin::Origin,
    plugins::Plugins,
    story::eventually,
};

const TOKEN: &str = r#"{"header":"x-token","value":"secret","add":"x-filtered: 1"}"#;

async fn with_token(client: &mut Client, token: Option<&str>) -> Answer {
    let mut request = Request::get("/");
    if let Some(token) = token {
        request = request.header("x-token", token);
    }
    client.send(request.body(Full::default()).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn require_token_lets_pass_who_has_it() {
    let origin = Origin::named("a");
    let edge = edge::plain().listen("tls", Some(certs::shop())).pool("shop", &[&origin]).route("/", "shop");
    let edge = edge.filter("require-token", TOKEN, OnFault::Reject).start();
    let clients = [Client::plain(edge.listener("plain")).await, Client::h2(edge.listener("tls")).await];
    for mut client in clients {
        origin.forget();
        assert_eq!(with_token(&mut client, None).await.status, StatusCode::FORBIDDEN);
        assert_eq!(with_token(&mut client, Some("wrong")).await.status, StatusCode::FORBIDDEN);
        assert_eq!(with_token(&mut client, Some("secret, secret")).await.status, StatusCode::FORBIDDEN);
        assert_eq!(origin.requests(), 0);
        assert_eq!(with_token(&mut client, Some("secret")).await.text(), "a");
        assert_eq!(origin.only().header("x-filtered"), Some("1"));
    }
    let filter = edge.plugin("require-token");
    assert_eq!((filter.picks, filter.faults, filter.kind.as_deref()), (8, 0, Some("filter")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_answer_leaves_the_connection_in_step() {
    let origin = Origin::named("a");
    let settings = r#"{"header":"x-token","value":"secret","status":401}"#;
    let edge = edge::plain().pool("shop", &[&origin]).route("/", "shop");
    let edge = edge.filter("require-token", settings, OnFault::Reject).start();
    let mut client = Client::plain(edge.address()).await;
    // The body of a request that is answered early is not taken for the next request.
    for _ in 0..3 {
        let request = Request::post("/").body(Full::from("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        match client.send(request).await {
            Ok(answer) => assert_eq!(answer.status, StatusCode::UNAUTHORIZED),
            Err(_) => client = Client::plain(edge.address()).await,
        }
        if client.is_closed() {
            client = Client::plain(edge.address()).await;
        }
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_each_routes_own() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]);
    let edge =
        edge.route("/one", "shop").filter("require-token", r#"{"header":"x-token","value":"one"}"#, OnFault::Reject);
    let edge =
        edge.route("/two", "shop").filter("require-token", r#"{"header":"x-token","value":"two"}"#, OnFault::Reject);
    let edge = edge.route("/", "shop").start();
    let mut client = Client::plain(edge.address()).await;
    for (target, token, status) in
        [("/one", "one", 200), ("/one", "two", 403), ("/two", "two", 200), ("/two", "one", 403), ("/", "none", 200)]
    {
        let request = Request::get(target).header("x-token", token).body(Full::default()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status, status, "{target} with {token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_never_loaded_fails_closed_unless_told_otherwise() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]);
    let edge = edge.route("/", "shop").filter("nobody-knows-it", "{}", OnFault::Reject);
    let edge = edge.route("/open", "shop").filter("nobody-knows-it", "{}", OnFault::Continue).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(origin.requests(), 0);
    assert_eq!(client.get("/open").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_filter_is_live_once_its_file_is_mended() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    plugins.put("guard", &guests::core_module());
    let edge = edge::plain().pool("shop", &[&origin]).route("/", "shop").filter("guard", TOKEN, OnFault::Reject);
    let edge = edge.plugins(&plugins).start();
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(with_token(&mut client, Some("secret")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    plugins.put("guard", &guests::stock("require-token"));
    eventually("the filter serves", async || with_token(&mut client, Some("secret")).await.status == 200).await;
    assert_eq!(with_token(&mut client, None).await.status, StatusCode::FORBIDDEN);
}

/// A route `/` that fails closed and a route `/open` that goes on, both with the guest `edits`, which does it only for
/// requests with `x-now`: so it passes its admission.
fn with_edits(origin: &Origin, steps: &str) -> (Plugins, edge::Edge) {
    let plugins = Plugins::new();
    plugins.put("edits", &guests::guest("edits"));
    let settings = format!(r#"{{"do":[["only-if","x-now"],{steps}]}}"#);
    let edge = edge::plain().workers(1).pool("shop", &[origin]).plugins(&plugins);
    let edge = edge.route("/", "shop").filter("edits", &settings, OnFault::Reject);
    let edge = edge.route("/open", "shop").filter("edits", &settings, OnFault::Continue).start();
    assert_eq!(edge.plugin("edits").generation, Some(1), "{:?}", edge.plugin("edits").problem);
    (plugins, edge)
}

async fn now(client: &mut Client, target: &str) -> Answer {
    client.send(Request::get(target).header("x-now", "1").body(Full::default()).unwrap()).await.unwrap()
}

/// Waits until a fresh instance has taken the dead one's place; until then the filter fails closed.
async fn back(client: &mut Client) {
    eventually("a fresh instance goes on", async || client.get("/").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_fault_is_503_unless_told_otherwise() {
    for (steps, kind) in [
        (r#"["panic"]"#, "trap"),
        (r#"["loop"]"#, "deadline"),
        // `responded` without an answer.
        (r#"["responded"]"#, "answer"),
        (r#"["set-header","content-length","1"]"#, "trap"),
        (r#"["set-header","host","evil.test"]"#, "trap"),
        (r#"["set-header","transfer-encoding","chunked"]"#, "trap"),
        (r#"["set-header","connection","x-a"]"#, "trap"),
        (r#"["set-header","x-a","1\r\nsmuggled: 1"]"#, "trap"),
        (r#"["set-header","x a","1"]"#, "trap"),
        (r#"["set-header",":path","/"]"#, "trap"),
        (r#"["set-path","no-slash"]"#, "trap"),
        (r#"["set-path","/../above"]"#, "trap"),
        (r#"["set-authority","a b"]"#, "trap"),
        (r#"["respond","99","x"]"#, "trap"),
    ] {
        let origin = Origin::named("a");
        let (_plugins, edge) = with_edits(&origin, steps);
        let mut client = Client::plain(edge.address()).await;
        assert_eq!(client.get("/").await.status, StatusCode::OK, "{steps}");
        assert_eq!(now(&mut client, "/").await.status, StatusCode::SERVICE_UNAVAILABLE, "{steps}");
        assert_eq!(origin.requests(), 1, "{steps}: it fails closed");
        back(&mut client).await;
        assert_eq!(now(&mut client, "/open").await.status, StatusCode::OK, "{steps}");
        let seen = origin.seen().pop().unwrap();
        assert!(!seen.has("smuggled") && seen.all("host") == ["shop.test"], "{steps}: {seen:?}");
        let faults: u64 = edge.plugin("edits").faults_by_kind.get(kind).copied().unwrap_or(0);
        assert_eq!(faults, 2, "{steps}: {:?}", edge.plugin("edits").faults_by_kind);
        back(&mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_answer_is_the_clients() {
    let origin = Origin::named("a");
    let (_plugins, edge) = with_edits(&origin, r#"["respond","418","short and stout"]"#);
    let mut client = Client::plain(edge.address()).await;
    let answer = now(&mut client, "/").await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::IM_A_TEAPOT, "short and stout"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!((origin.requests(), edge.plugin("edits").faults), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_verdict_does_not_speak_of_is_forgotten() {
    let origin = Origin::named("a");
    let (_plugins, edge) = with_edits(&origin, r#"["respond-unsaid","418","never"]"#);
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(now(&mut client, "/").await.text(), "a");
    assert_eq!(edge.plugin("edits").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_prints_is_in_its_log() {
    let origin = Origin::named("a");
    let (_plugins, edge) = with_edits(&origin, r#"["print"]"#);
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(now(&mut client, "/").await.text(), "a");
    let log = edge.log("edits").await.join("\n");
    assert!(log.contains("printed in on-request") && log.contains("complained in on-request"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_faults_take_a_filter_out_and_closed_stays_closed() {
    let origin = Origin::named("a");
    let (plugins, edge) = with_edits(&origin, r#"["loop"]"#);
    let mut client = Client::plain(edge.address()).await;
    eventually("it is taken out", async || {
        assert_eq!(now(&mut client, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
        edge.plugin("edits").state == "quarantined"
    })
    .await;
    assert_eq!(edge.plugin("edits").faults, 5);
    assert_eq!(client.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE, "also for requests it would let pass");
    assert_eq!(client.get("/open").await.status, StatusCode::OK);
    plugins.put("edits", &guests::numbered(&guests::guest("edits"), 1));
    eventually("other bytes serve", async || client.get("/").await.status == StatusCode::OK).await;
}
