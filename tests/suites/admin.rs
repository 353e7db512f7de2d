//! The admin API: who may call, and what it says. The numbers are those of the acceptance list.

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use pointsman::admin::Status;
use pointsman_tests::{
    alone,
    client::{self, Client},
    edge, guests,
    origin::{self, Origin},
    plugins::Plugins,
    story::eventually,
};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_process_is_doing() {
    let [a, b, c] = origin::three();
    let edge = edge::tls().pool("shop", &[&a, &b, &c]).weights(&[2, 1, 1]).start();
    let mut client = Client::tls(edge.address()).await;
    for _ in 0..8 {
        client.get("/").await;
    }
    let answer = edge.admin().await.get("/v1/status").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("application/json")));
    let status: Status = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((status.pid, status.version.as_str()), (std::process::id(), env!("CARGO_PKG_VERSION")));
    assert_eq!((status.listeners[0].name.as_str(), status.listeners[0].tls), ("tls", true));
    assert_eq!(status.listeners[0].address, edge.address().to_string());
    let pool = &status.pools[0];
    let backends: Vec<_> =
        pool.backends.iter().map(|b| (b.standing.as_str(), b.weight, b.in_flight, b.attempts, b.failures)).collect();
    assert_eq!(backends, [("ready", 2, 0, 4, 0), ("ready", 1, 0, 2, 0), ("ready", 1, 0, 2, 0)]);
    assert!(pool.backends.iter().all(|backend| backend.latency_us > 0));
    let plugin = status.plugins.iter().find(|plugin| plugin.name == "round-robin").unwrap();
    assert_eq!((plugin.picks, plugin.faults, plugin.fallbacks), (8, 0, 0));
    // The first call of each worker is timed, and its calls of the host are told with it; two instances have memory.
    let costs = plugin.costs;
    assert!(costs.timed >= 1 && costs.host_calls >= 1 && costs.memory >= 2 << 16, "{costs:?}");
    assert!(costs.p50_ns > 0 && costs.p50_ns <= costs.p99_ns && costs.mean_ns > 0, "{costs:?}");
    assert_eq!((plugin.origin.as_deref(), plugin.kind.as_deref()), (Some("embedded"), Some("balancer")));
    let balancer = pool.balancer.as_ref().unwrap();
    assert_eq!((balancer.plugin.as_str(), Some(&balancer.hash)), ("round-robin", plugin.hash.as_ref()));
    assert_eq!(plugin.pools, ["shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_socket_is_the_users_own() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let socket = edge.admin_socket();
    let metadata = std::fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    edge.stop().await;
    assert!(!socket.exists(), "it is gone with the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_not_know_it_says() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let mut admin = edge.admin().await;
    assert_eq!(admin.get("/").await.status, StatusCode::NOT_FOUND);
    let mut admin = edge.admin().await;
    assert_eq!(admin.get("/v1/plugins/nobody/log").await.status, StatusCode::NOT_FOUND);
    let mut admin = edge.admin().await;
    let wrong = admin.send(client::request(Method::DELETE, "/v1/status")).await.unwrap();
    assert_eq!(wrong.status, StatusCode::NOT_FOUND, "there is no such call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescan_finds_a_file_at_once() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins);
    let edge = edge.options(|options| options.notify = false).start();
    plugins.put("ours", &guests::stock("random"));
    let answer = edge.admin().await.send(client::request(Method::POST, "/v1/plugins/rescan")).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    eventually("it is live", async || edge.plugin("ours").generation == Some(1)).await;
}

/// Alone, for the token goes to the user's runtime directory.
#[tokio::test(flavor = "multi_thread")]
async fn case_74_on_tcp_only_local_programs_may_call() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path().to_str().unwrap();
    let story = "admin::case_74_on_tcp_only_local_programs_may_call";
    if !alone::with_environment(story, &[("XDG_RUNTIME_DIR", runtime)]) {
        return;
    }
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).admin_on_tcp().start();
    let runtime = std::path::PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap());
    let file = runtime.join(format!("pointsman/admin-{}.token", edge.admin_port()));
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bearer = format!("Bearer {token}");
    let local = ("host", "localhost:1");
    for (method, target, headers, status) in [
        (Method::GET, "/v1/status", &[local][..], 200),
        (Method::GET, "/v1/status", &[("host", "127.0.0.1")], 200),
        (Method::GET, "/v1/status", &[("host", "evil.example")], 403),
        (Method::GET, "/v1/status", &[("host", "127.0.0.1.evil.example")], 403),
        (Method::GET, "/v1/status", &[local, ("origin", "http://localhost")], 403),
        (Method::GET, "/v1/status", &[local, ("origin", "null")], 403),
        (Method::POST, "/v1/plugins/rescan", &[local], 401),
        (Method::POST, "/v1/plugins/rescan", &[local, ("authorization", "Bearer wrong")], 401),
        (Method::POST, "/v1/plugins/rescan", &[("host", "evil.example"), ("authorization", &bearer)], 403),
        (Method::POST, "/v1/plugins/rescan", &[local, ("authorization", &bearer)], 202),
    ] {
        let mut request = Request::builder().method(&method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).unwrap();
        let answer = edge.admin().await.send(request).await.unwrap();
        assert_eq!(answer.status, status, "{method} {target} {headers:?}");
    }
}
