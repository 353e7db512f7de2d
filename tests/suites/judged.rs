//! What programs say that somebody else wrote: clients that speak HTTP in their own way, attackers, examiners of TLS. Each
//! is the real one, and asks Pointsman over sockets.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pointsman::config::model::{HealthCheck, Protocol, Tls};
use pointsman_tests::{
    certs::{self, Certificate},
    client::Client,
    edge::{self, Edge},
    judges::{self, Serving},
    origin::{Origin, Reply},
    story::eventually,
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::timeout;

/// How long a judge may take: the longest takes half a minute by itself.
const TAKES_MOST: Duration = Duration::from_secs(240);

/// A backend that sends bodies back.
fn echoing() -> Origin {
    Origin::new(|seen| {
        let body = if seen.body.is_empty() { b"nothing" } else { seen.body.as_slice() };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        Reply::bytes(if seen.method == "HEAD" { head.into_bytes() } else { [head.as_bytes(), body].concat() })
    })
}

/// A plain listener, and a TLS one for `shop.test`.
fn both(origin: &Origin) -> Edge {
    edge::plain().listen("tls", Some(certs::shop())).pool("shop", &[origin]).start()
}

/// Runs a judge to its end, and gives what it printed; what it complained about comes before that.
async fn says(mut judge: Command) -> (bool, String) {
    judge.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = judge.spawn().expect("it starts");
    let ending = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = timeout(TAKES_MOST, ending).await.unwrap_or_else(|_| panic!("{judge:?} does not end"));
    let output = output.expect("no panic").expect("it ends");
    let words = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), words.concat())
}

/// The same, for one that must be content.
async fn content(judge: Command) -> String {
    let line = format!("{judge:?}");
    let (well, words) = says(judge).await;
    assert!(well, "{line}\n{words}");
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_served_in_every_version() {
    let origin = echoing();
    let edge = both(&origin);
    let room = tempfile::tempdir().unwrap();
    let (root, file) = (room.path().join("root.pem"), room.path().join("file"));
    std::fs::write(&root, certs::authority_pem()).unwrap();
    std::fs::write(&file, "0123456789".repeat(100_000)).unwrap();
    let tls = edge.listener("tls");
    for (version, told) in [("--http1.0", "1.0"), ("--http1.1", "1.1"), ("--http2", "2")] {
        let curl = |arguments: &[&str]| {
            let mut curl = judges::debian("curl");
            curl.args(["-sS", "--fail", version, "--cacert"]).arg(&root).args(arguments);
            curl.args(["--resolve", &format!("shop.test:{}:127.0.0.1", tls.port())]);
            curl.args(["-w", "\n%{http_code} over %{http_version}"]).arg(format!("https://shop.test:{}/", tls.port()));
            curl
        };
        // An HTTP/1.0 client is answered in the version that we speak.
        let told = if told == "1.0" { "1.1" } else { told };
        let end = format!("\n200 over {told}");
        assert_eq!(content(curl(&[])).await, format!("nothing{end}"), "{version}");
        assert!(content(curl(&["-I"])).await.ends_with(&end), "{version}");
        let upload = format!("@{}", file.display());
        for more in [&["--data-binary", &upload][..], &["-H", "Expect: 100-continue", "--data-binary", &upload]] {
            let echoed = content(curl(more)).await;
            assert!(echoed.len() == 1_000_000 + end.len() && echoed.ends_with(&end), "{version} {more:?}");
        }
        if version != "--http1.0" {
            let chunked = content(curl(&["-H", "Transfer-Encoding: chunked", "--data-binary", &upload])).await;
            assert!(chunked.len() == 1_000_000 + end.len(), "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nghttp_and_h2load_find_nothing_wrong() {
    let origin = echoing();
    let edge = both(&origin);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789".repeat(2_000)).unwrap();
    let url = |name: &str| format!("{}://{}/", if name == "tls" { "https" } else { "http" }, edge.listener(name));
    let mut nghttp = judges::debian("nghttp");
    nghttp.args(["-v", "-y", "-n", "-m", "20"]).arg("-d").arg(file.path()).arg(url("tls"));
    let said = content(nghttp).await;
    assert_eq!(said.matches(":status: 200").count(), 20, "{said}");
    assert!(!said.contains("RST_STREAM") && said.contains("error_code=NO_ERROR"), "{said}");
    for (more, name) in [(&["-m", "30"][..], "tls"), (&["--h1"], "tls"), (&["--h1"], "plain")] {
        for upload in [false, true] {
            let mut h2load = judges::debian("h2load");
            h2load.args(["-n", "1500", "-c", "6"]).args(more).arg(url(name));
            if upload {
                h2load.arg("-d").arg(file.path());
            }
            let said = content(h2load).await;
            assert!(said.contains("1500 succeeded, 0 failed, 0 errored, 0 timeout"), "{more:?} {name}: {said}");
            assert!(said.contains("status codes: 1500 2xx"), "{more:?} {name}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_of_python_finds_no_breach() {
    let origin = echoing();
    let edge = both(&origin);
    let address = edge.listener("tls");
    let mut judge = judges::python("talk_h2.py");
    judge.args([address.ip().to_string(), address.port().to_string()]);
    assert_eq!(content(judge).await, "50 answered\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_of_python_talk_to_each_other() {
    let backend = Serving::start("serve_websockets.py").await;
    let edge = edge::plain().listen("tls", Some(certs::shop())).pool("shop", &[&backend.address()]).start();
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(root.path(), certs::authority_pem()).unwrap();
    let mut plain = judges::python("talk_websockets.py");
    plain.arg(format!("ws://{}/", edge.listener("plain")));
    assert_eq!(content(plain).await, "echoed\n");
    let mut tls = judges::python("talk_websockets.py");
    tls.arg(format!("wss://{}/", edge.listener("tls"))).arg(root.path());
    assert_eq!(content(tls).await, "echoed\n");
}

/// Heads that never end, bodies that never end, answers that nobody reads: who behaves is served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn slowhttptest_keeps_nobody_else_from_being_served() {
    let origin = Origin::new(|_| Reply::status(200, &"0123456789".repeat(10_000)));
    let edge = edge::plain().listener(|listener| {
        listener.timeout.head = Duration::from_secs(2);
        listener.timeout.idle = Duration::from_secs(2);
    });
    let edge = edge.pool("shop", &[&origin]).with(|pool| pool.timeout.idle = Duration::from_secs(2)).start();
    let attack = |kind: &str, more: &[&str]| {
        let mut attack = judges::debian("slowhttptest");
        attack
            .args([kind, "-c", "150", "-r", "150", "-l", "20", "-p", "5", "-u"])
            .arg(format!("http://{}/", edge.address()));
        attack.args(more);
        attack
    };
    let (heads, bodies, reads) = tokio::join!(
        says(attack("-H", &["-i", "1"])),
        says(attack("-B", &["-i", "4", "-s", "8192"])),
        says(attack("-X", &["-w", "10", "-y", "20", "-n", "4", "-z", "5"])),
    );
    for (kind, (_, words)) in [("heads", &heads), ("bodies", &bodies), ("reads", &reads)] {
        assert!(words.contains("service available:") && !words.contains(":   NO"), "{kind}: {words}");
    }
    // All of those are closed in time, and that ends the test.
    for (kind, (_, words)) in [("heads", heads), ("bodies", bodies)] {
        assert!(words.contains("No open connections left"), "{kind}: {words}");
    }
}

/// A certificate with an RSA key is not asked for: everything else would stand on it.
fn tls_alone(origin: &Origin) -> (Edge, SocketAddr) {
    let certificate = Certificate::new(&["shop.test", "localhost"]);
    let edge = edge::plain().listen("tls", Some(Tls::from(vec![certificate.source()])));
    let edge = edge.pool("shop", &[origin]).start();
    let address = edge.listener("tls");
    (edge, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn sslyze_finds_only_what_is_safe() {
    let origin = echoing();
    let (_edge, address) = tls_alone(&origin);
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut sslyze = judges::python_program("python");
    sslyze.args(["-m", "sslyze", "--quiet"]).arg(format!("--json_out={}", said.path().display()));
    for scan in
        ["sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3", "heartbleed", "reneg", "robot", "compression"]
    {
        sslyze.arg(format!("--{scan}"));
    }
    sslyze.args(["--fallback", "--openssl_ccs", "--early_data"]).arg(address.to_string());
    content(sslyze).await;
    let said: Value = serde_json::from_slice(&std::fs::read(said.path()).unwrap()).expect("JSON");
    let found = |scan: &str| said["server_scan_results"][0]["scan_result"][scan]["result"].clone();
    let accepted = |version: &str| {
        let result = found(&format!("{version}_cipher_suites"));
        let suites = result["accepted_cipher_suites"].as_array().unwrap_or_else(|| panic!("{version}: {result}"));
        suites.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert!(accepted(old).is_empty(), "{old}");
    }
    for new in ["tls_1_2", "tls_1_3"] {
        let suites = accepted(new);
        let strong = |suite: &String| suite.contains("GCM") || suite.contains("CHACHA20");
        assert!(!suites.is_empty() && suites.iter().all(strong), "{new}: {suites:?}");
        assert!(new == "tls_1_3" || suites.iter().all(|suite| suite.contains("ECDHE")), "{new}: {suites:?}");
    }
    assert_eq!(found("heartbleed")["is_vulnerable_to_heartbleed"], false);
    assert_eq!(found("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"], false);
    assert_eq!(found("tls_compression")["supports_compression"], false);
    assert_eq!(found("tls_fallback_scsv")["supports_fallback_scsv"], true);
    assert_eq!(found("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"], false);
    assert_eq!(found("tls_1_3_early_data")["supports_early_data"], false);
    assert!(found("robot")["robot_result"].as_str().unwrap().starts_with("NOT_VULNERABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn testssl_finds_the_right_protocols() {
    let origin = echoing();
    let (_edge, address) = tls_alone(&origin);
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("said.json");
    let mut testssl = judges::debian("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "off", "-p", "-s", "--jsonfile"]).arg(&file);
    testssl.arg(address.to_string()).env("TMPDIR", room.path());
    // It ends with how many findings there are.
    let (_, words) = says(testssl).await;
    let said: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).expect(&words)).expect("JSON");
    let of = |id: &str| said.iter().find(|found| found["id"] == id).unwrap_or_else(|| panic!("{id}: {words}"));
    for (id, finding) in
        [("SSLv2", "not offered"), ("SSLv3", "not offered"), ("TLS1", "not offered"), ("TLS1_1", "not offered")]
    {
        assert_eq!(of(id)["finding"], finding, "{id}");
    }
    assert!(
        ["TLS1_2", "TLS1_3"].iter().all(|id| of(id)["finding"].as_str().unwrap().starts_with("offered")),
        "{words}"
    );
    let bad = |found: &&Value| ["LOW", "MEDIUM", "HIGH", "CRITICAL"].iter().any(|level| found["severity"] == *level);
    let bad: Vec<_> = said.iter().filter(bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Its server takes PINGs for abuse that come while it has nothing to say: the fourth one ends the connection.
#[tokio::test(flavor = "multi_thread")]
async fn grpcio_lets_a_silent_stream_go_on() {
    let backend = Serving::start("serve_grpc.py").await;
    let edge = edge::tls().workers(1).pool("quiet", &[&backend.address()]).with(|pool| {
        pool.protocol = Protocol::Http2;
        pool.timeout.ping = Some(Duration::from_millis(50));
    });
    let edge = edge.start();
    let request =
        Request::post("/demo.Quiet/Watch").header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(Full::from(Bytes::from_static(b"\0\0\0\0\x041500"))).unwrap();
    let answer = Client::h2(edge.address()).await.send(request).await.expect("it comes to its end");
    assert_eq!(answer.body, &b"\0\0\0\0\x03one\0\0\0\0\x03two"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_tells_whether_it_serves() {
    let backend = Serving::start("serve_grpc.py").await;
    for (service, standing, said) in [
        ("", "ready", "gRPC health: SERVING in "),
        ("demo.Quiet", "ready", "gRPC health of \"demo.Quiet\": SERVING in "),
        ("demo.Ill", "unhealthy", "gRPC health of \"demo.Ill\": NOT_SERVING"),
        (
            "demo.Other",
            "unhealthy",
            "gRPC health of \"demo.Other\": NOT_FOUND: it knows no such service (unknown service)",
        ),
    ] {
        let edge = edge::tls().pool("quiet", &[&backend.address()]).with(|pool| {
            pool.protocol = Protocol::Http2;
            pool.health.check = HealthCheck::Grpc(service.into());
        });
        let edge = edge.start();
        let backend = || edge.pool("quiet").backends[0].clone();
        eventually("it was checked", async || backend().standing == standing).await;
        assert!(backend().last_check.starts_with(said), "{}", backend().last_check);
    }
}
