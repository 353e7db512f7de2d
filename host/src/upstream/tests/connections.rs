//! Kept connections: when they serve again, and when they must not.

use super::*;
use crate::upstream::{opening, transport::Transport};
use crate::{
    drain::Drain,
    upstream::{ErrorKind, Retry},
};
use std::collections::HashMap;
use tokio::sync::Notify;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn one_after_the_other_they_share_a_connection() {
    let origin = Origin::answering(OK, Last::Stay).await;
    let scene = Scene::to(origin.address);
    for _ in 0..50 {
        assert_eq!(scene.ask(Method::GET).await.unwrap().body, "ok");
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn at_the_same_time_each_has_its_own() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha", Last::Stay).await;
    let scene = Scene::to(origin.address);
    let one = scene.send(Ask::default()).await.unwrap();
    let two = scene.send(Ask::default()).await.unwrap();
    assert_eq!((origin.accepted(), scene.in_flight()), (2, 2));
    // Dropped before their end, so neither can serve again.
    drop((one, two));
    assert_eq!(scene.in_flight(), 0);
    scene.send(Ask::default()).await.unwrap();
    assert_eq!(origin.accepted(), 3);
}

#[tokio::test]
async fn the_one_used_last_serves_first() {
    let origin = Origin::new(|mut stream, number| async move {
        while read_request(&mut stream).await.is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{number}\r\n0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let scene = Scene::to(origin.address);
    let zero = scene.send(Ask::default()).await.unwrap();
    let one = scene.send(Ask::default()).await.unwrap();
    assert_eq!((whole(one).await.body, whole(zero).await.body), ("1".into(), "0".into()));
    assert_eq!(scene.ask(Method::GET).await.unwrap().body, "0");
}

#[tokio::test]
async fn case_50_bytes_that_come_later_are_for_nobody_either() {
    let (answered, poison) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let script = (answered.clone(), poison.clone());
    let origin = Origin::new(move |mut stream, number| {
        let (answered, poison) = script.clone();
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
            if number == 0 {
                poison.notified().await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON").await.unwrap();
                answered.notify_one();
            }
            let _ = read_request(&mut stream).await;
        }
    })
    .await;
    let scene = Scene::to(origin.address);
    assert_eq!(scene.ask(Method::GET).await.unwrap().body, "ok");
    poison.notify_one();
    within(answered.notified()).await;
    assert_eq!(scene.ask(Method::GET).await.unwrap().body, "ok");
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn one_that_was_closed_meanwhile_is_not_used() {
    let origin = Origin::answering(OK, Last::Close).await;
    let scene = Scene::to(origin.address);
    for round in 1..=5 {
        assert_eq!(scene.ask(Method::GET).await.unwrap().body, "ok", "round {round}");
        // The close is on its way; what shows it is that a look at the socket finds it.
        let end = Instant::now() + PATIENCE;
        while scene.connections.kept() > 0 {
            assert!(Instant::now() < end);
            scene.connections.sweep(Instant::now());
            tokio::task::yield_now().await;
        }
        assert_eq!(origin.accepted(), round);
    }
}

/// It died after it was taken out and before a byte of the answer: nobody is to blame, and the proxy may try again.
#[tokio::test]
async fn case_54_one_that_dies_of_age_says_so() {
    let origin = Origin::new(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        // The second request is read, and not answered.
        let _ = read_request(&mut stream).await;
    })
    .await;
    let scene = Scene::to(origin.address);
    scene.ask(Method::GET).await.unwrap();
    let error = scene.ask(Method::GET).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::Closed | ErrorKind::Broken(_)), "{error}");
    assert!(error.reused && !error.answered && error.error.sent);
    assert_eq!(error.error.retry(), Retry::Idempotent);
    assert_eq!((scene.failures(), scene.in_flight()), (0, 0));
    // A new one that dies the same way is the backend's failure.
    let origin = Origin::answering("", Last::Close).await;
    let scene = Scene::to(origin.address);
    let error = scene.ask(Method::GET).await.unwrap_err();
    assert!(!error.reused && !error.answered);
    assert_eq!(scene.failures(), 1);
}

#[tokio::test]
async fn a_refused_connect_has_sent_nothing() {
    // Bound and not listening: nobody else gets the port, and connects to it are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let scene = Scene::to(socket.local_addr().unwrap());
    let error = scene
        .connections
        .checkout(&scene.pool.backends[0], &head(), Purpose::Exchange, &scene.pool.timeout)
        .await
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Connect(_)), "{error}");
    assert_eq!((error.retry(), error.sent), (Retry::Unsent, false));
}

#[tokio::test]
async fn unused_ones_are_closed_in_time_and_the_others_kept() {
    let origin = Origin::answering(OK, Last::Stay).await;
    let idle = Duration::from_secs(60);
    let scene = Scene::with(origin.address, model::PoolTimeout { idle, ..Default::default() });
    let start = Instant::now();
    scene.connections.sweep(start);
    scene.ask(Method::GET).await.unwrap();
    scene.connections.sweep(start + idle - Duration::from_millis(1));
    assert_eq!(scene.connections.kept(), 1);
    scene.connections.sweep(start + idle);
    assert_eq!(scene.connections.kept(), 0);
    scene.ask(Method::GET).await.unwrap();
    assert_eq!(origin.accepted(), 2);
}

#[tokio::test]
async fn draining_closes_the_unused_ones_and_keeps_no_more() {
    let origin = Origin::answering(OK, Last::Stay).await;
    let scene = Scene::to(origin.address);
    let (drain, live) = Drain::new();
    let run = scene.connections.clone().run(live);
    let story = async {
        scene.ask(Method::GET).await.unwrap();
        assert_eq!(scene.connections.kept(), 1);
        drain.start();
    };
    within(async { tokio::join!(run, story) }).await;
    assert_eq!((scene.connections.kept(), drain.live()), (0, 0));
    scene.ask(Method::GET).await.unwrap();
    assert_eq!((scene.connections.kept(), origin.accepted()), (0, 2));
}

#[tokio::test]
async fn there_is_a_limit_to_those_kept_for_a_backend() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Last::Stay).await;
    let scene = Scene::to(origin.address);
    let mut answers = Vec::new();
    for _ in 0..260 {
        answers.push(scene.send(Ask::default()).await.unwrap());
    }
    for answer in answers {
        whole(answer).await;
    }
    assert_eq!(scene.connections.kept(), 256);
}

/// A backend that kept its name and moved: nothing goes to the old address.
#[tokio::test]
async fn a_connection_to_an_old_address_is_not_used() {
    let (old, new) = (Origin::answering(OK, Last::Stay).await, Origin::answering(OK, Last::Stay).await);
    let figures = Figures::default();
    let mut config = model::Backend::new("mover", old.address);
    let transport = Arc::new(Transport::new(&model::Pool::new("shop", Vec::new())).unwrap());
    let backend = |config: &model::Backend| {
        Arc::new(crate::upstream::Backend::new("shop", 0, config, &transport, None, &figures, &HashMap::new()))
    };
    let before = backend(&config);
    config.address = new.address.into();
    let after = backend(&config);
    assert_eq!(before.id, after.id);
    let connections = Connections::new();
    let timeout = model::PoolTimeout::default();
    for (backend, accepted) in [(&before, (1, 0)), (&before, (1, 0)), (&after, (1, 1)), (&after, (1, 1))] {
        let connection = connections.checkout(backend, &head(), Purpose::Exchange, &timeout).await.unwrap();
        let now = Instant::now();
        let outgoing = Outgoing {
            method: &Method::GET,
            target: &PathAndQuery::from_static("/"),
            authority: &HeaderValue::from_static("shop.example"),
            headers: &crate::net::Headers::default(),
        };
        let limits =
            Limits { head: now + PATIENCE, idle: PATIENCE, least: 1, end: None, tunnel: PATIENCE, stall: None };
        let attempt = Attempt::begin(backend.figures.clone(), now);
        connection.exchange(outgoing, Body::Empty, attempt, limits, &|_| {}).await.unwrap();
        assert_eq!((old.accepted(), new.accepted()), accepted);
    }
}

#[tokio::test]
async fn as_many_unused_ones_are_closed_as_others_wait_for() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Last::Stay).await;
    let scene = Scene { pool: limited(origin.address, 2, None), ..Scene::to(origin.address) };
    let (one, two) = (scene.send(Ask::default()).await.unwrap(), scene.send(Ask::default()).await.unwrap());
    whole(one).await;
    whole(two).await;
    assert_eq!(scene.connections.kept(), 2);
    // From here on nothing comes over a socket, and no time passes until everybody waits for it.
    tokio::time::pause();
    let (drain, live) = Drain::new();
    let limit = Duration::from_millis(500);
    let open = || opening::open(&scene.pool.backends[0], Instant::now() + limit, limit);
    let story = async {
        let (one, two) = tokio::join!(open(), open());
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
        drain.start();
    };
    tokio::join!(scene.connections.clone().run(live), story);
}

#[tokio::test(start_paused = true)]
async fn who_had_to_wait_before_it_connects_blames_nobody_for_the_rest() {
    // It takes connections in, and says nothing in the handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = model::BackendTls { dangerous_skip_verification: true, ..model::BackendTls::default() };
    let pool = limited(listener.local_addr().unwrap(), 1, Some(tls));
    let (connections, backend, timeout) = (Connections::new(), &pool.backends[0], &pool.timeout);
    let head = head();
    let connect = || connections.connect(backend, &head, Purpose::Exchange, timeout);
    let error = connect().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ConnectTimeout(_)), "{error}");
    let other = opening::open(backend, Instant::now(), timeout.connect).await.unwrap();
    let leaves = async {
        tokio::time::sleep(timeout.connect / 2).await;
        drop(other);
    };
    let error = tokio::join!(connect(), leaves).0.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NoConnection(_)), "{error}");
}

/// A pool with one backend that may have so many connections.
fn limited(address: SocketAddr, connections: u32, tls: Option<model::BackendTls>) -> Arc<Pool> {
    let mut config = model::Pool::new("shop", vec![model::Backend::new("one", address)]);
    config.limit = Some(model::PoolLimit { backend_connections: Some(connections), ..model::PoolLimit::default() });
    config.tls = tls;
    let pool = Pool::new(&config, &Figures::default()).unwrap();
    pool.take_over();
    pool
}
