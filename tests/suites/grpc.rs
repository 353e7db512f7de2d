//! gRPC from end to end: HTTP/2 on both sides, trailers, streams that nothing holds back, and errors in gRPC's words. One
//! judge is somebody else's: Python's grpcio, with the programs of the example.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use pointsman::config::model::{HealthCheck, Protocol};
use pointsman_tests::{
    client::handshake,
    edge::{self, Edge, Program},
    h2_origin::{Act, H2Origin},
    judges,
    sockets::Place,
    story::{eventually, within},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

fn to(origin: &H2Origin) -> Edge {
    edge::tls().workers(1).pool("echo", &[origin]).with(|pool| pool.protocol = Protocol::Http2).start()
}

async fn client(edge: &Edge) -> SendRequest<Bytes> {
    let (stream, _) = handshake(edge.address(), "shop.test", &["h2"]).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("https://shop.test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// A whole answer to a call with one message.
async fn ask(edge: &Edge, path: &str) -> (StatusCode, HeaderMap, Vec<u8>, HeaderMap) {
    let (answer, mut body) = client(edge).await.send_request(call(path), false).unwrap();
    // Refused where the answer came first.
    let _ = body.send_data(Bytes::from_static(b"\0\0\0\0\x05hello"), true);
    let (head, mut body) = within("an answer", answer).await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = within("a piece", body.data()).await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    let trailers = within("the trailers", body.trailers()).await.unwrap().unwrap_or_default();
    (head.status, head.headers, bytes, trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_with_its_trailers() {
    let trailers: &[_] = &[("grpc-status", "0"), ("grpc-message", "fine"), ("content-length", "7")];
    let origin = H2Origin::new(100, move |_| Act::Answer("answer".into(), trailers, Default::default())).await;
    let edge = to(&origin);
    let (status, _, body, trailers) = ask(&edge, "/demo.Echo/Say").await;
    assert_eq!((status.as_u16(), body.as_slice()), (200, &b"answer"[..]));
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"0".parse().unwrap(), &"fine".parse().unwrap())
    );
    assert!(!trailers.contains_key("content-length"), "what frames a message is no trailer");
    let asked = origin.asked();
    assert_eq!(asked[0].head.headers["te"], "trailers");
    assert_eq!(asked[0].head.headers["content-type"], "application/grpc");
    assert_eq!(asked[0].body, b"\0\0\0\0\x05hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_held_back_nowhere() {
    let origin = H2Origin::new(100, |_| Act::Echo).await;
    let edge = to(&origin);
    let (answer, mut up) = client(&edge).await.send_request(call("/demo.Echo/Talk"), false).unwrap();
    let mut down = within("a head", answer).await.unwrap().into_body();
    for number in 0..20_u8 {
        up.send_data(Bytes::from(vec![number; 100]), false).unwrap();
        let mut came = 0;
        while came < 100 {
            let piece = within("its echo", down.data()).await.unwrap().unwrap();
            assert!(piece.iter().all(|&byte| byte == number));
            down.flow_control().release_capacity(piece.len()).unwrap();
            came += piece.len();
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    up.send_trailers(trailers).unwrap();
    assert!(within("the end", down.data()).await.is_none());
    let trailers = within("the trailers", down.trailers()).await.unwrap().unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["x-sum"]), (&"0".parse().unwrap(), &"7".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_a_head_alone_stays_one() {
    let head: &[_] = &[("content-type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "not here")];
    let origin = H2Origin::new(100, move |_| Act::Head(200, head)).await;
    let (status, head, body, trailers) = ask(&to(&origin), "/demo.Echo/Say").await;
    assert_eq!((status.as_u16(), body.len(), trailers.len()), (200, 0, 0));
    assert_eq!((&head["grpc-status"], &head["grpc-message"]), (&"5".parse().unwrap(), &"not here".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_errors_are_told_in_grpc_words() {
    let gone = Place::new().address();
    let edge = edge::tls()
        .pool("echo", &[&gone])
        .with(|pool| pool.protocol = Protocol::Http2)
        .route("/demo.Echo", "echo")
        .start();
    for (path, code) in [("/demo.Echo/Say", "14"), ("/other.Service/Say", "12")] {
        let (status, head, body, _) = ask(&edge, path).await;
        assert_eq!((status.as_u16(), body.len()), (200, 0), "{path}");
        assert_eq!(head["content-type"], "application/grpc");
        assert_eq!(head["grpc-status"], code, "{path}");
        assert!(head["grpc-message"].to_str().unwrap().contains("%0Arequest "), "{head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_says_it_does_not_serve_is_out_until_it_does() {
    let serves = Arc::new(AtomicBool::new(true));
    let script = serves.clone();
    let origin = H2Origin::new(100, move |head| match head.uri.path() {
        "/grpc.health.v1.Health/Check" => {
            let answer: &[u8] = if script.load(Relaxed) { b"\0\0\0\0\x02\x08\x01" } else { b"\0\0\0\0\x02\x08\x02" };
            Act::Answer(Bytes::from_static(answer), &[("grpc-status", "0")], Duration::ZERO)
        }
        _ => Act::Head(200, &[("grpc-status", "12"), ("grpc-message", "no")]),
    })
    .await;
    let edge = edge::tls().pool("echo", &[&origin]).with(|pool| {
        pool.protocol = Protocol::Http2;
        pool.health.interval = Duration::from_millis(50);
        pool.health.check = HealthCheck::Grpc("demo.Echo".into());
    });
    let edge = edge.start();
    let stands = || edge.pool("echo").backends[0].standing.clone();
    assert_eq!(stands(), "ready");
    for (now, standing) in [(false, "unhealthy"), (true, "ready")] {
        serves.store(now, Relaxed);
        eventually(standing, async || stands() == standing).await;
    }
    let asked = origin.asked();
    assert_eq!(
        (asked[0].body.as_slice(), &asked[0].head.headers["te"]),
        (&b"\0\0\0\0\x0b\x0a\x09demo.Echo"[..], &"trailers".parse().unwrap())
    );
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/grpc").join(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio_calls_and_talks_through_the_example() {
    let places = [Place::new(), Place::new()];
    let _servers = places.each_ref().map(|place| {
        Program::python(&judges::python_path(), &example("server.py"), &[&place.address().port().to_string()])
    });
    let edge = edge::example(&example("pointsman.toml"), &[&places[0].address(), &places[1].address()]).start();
    let ready = || edge.pool("echo").backends.iter().filter(|backend| backend.standing == "ready").count();
    eventually("both are ready", async || ready() == 2).await;
    let asking = tokio::task::spawn_blocking(move || {
        let client =
            Command::new(judges::python_path()).arg(example("client.py")).arg(edge.address().to_string()).output();
        (client.expect("python starts"), edge)
    });
    let (said, _edge) = asking.await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let lines: Vec<&str> = out.lines().collect();
    assert!(said.status.success() && lines.len() == 6, "{out}{err}");
    assert!(lines[0].starts_with("HELLO {") && lines[0].contains("'served-by': '"), "{out}");
    assert_eq!(lines[1..], ["ONE", "TWO", "THREE", "the end", "UNIMPLEMENTED"]);
}
