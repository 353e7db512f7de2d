//! How much at the same time, of a backend, a pool and the whole process; and who waits for it.

use super::upgrades;
use http::StatusCode;
use pointsman::config::model::{PoolLimit, Protocol};
use pointsman_tests::{
    cli::Room,
    client::{self, Answer, Client, Raw},
    edge::{self, Edge},
    h2_origin::{Act, H2Origin},
    load::{Load, Pace, Target},
    origin::{Gate, Origin, Reply},
    story::{PATIENCE, eventually},
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

/// Answers with its name when the gate is open.
fn gated(name: &str, gate: &Gate) -> Origin {
    let (name, gate) = (name.to_owned(), gate.clone());
    Origin::new(move |_| Reply::named(&name).once_open(&gate))
}

fn limit(change: impl FnOnce(&mut PoolLimit)) -> Option<PoolLimit> {
    let mut limit = PoolLimit { wait: PATIENCE, ..PoolLimit::default() };
    change(&mut limit);
    Some(limit)
}

/// Asks once, over a connection of its own.
fn ask(address: SocketAddr) -> JoinHandle<Answer> {
    ask_for("/", address)
}

fn ask_for(target: &'static str, address: SocketAddr) -> JoinHandle<Answer> {
    tokio::spawn(async move { Client::plain(address).await.get(target).await })
}

fn queued(edge: &Edge) -> usize {
    edge.pool("shop").queued
}

fn assert_refused(answer: &Answer, code: &str) {
    let found = (answer.status, answer.header("retry-after"), answer.header("pointsman-error"));
    assert_eq!(found, (StatusCode::SERVICE_UNAVAILABLE, Some("1"), Some(code)), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_a_pool_s_requests_waits_and_all_are_answered() {
    let gate = Gate::default();
    let origin = gated("a", &gate);
    let edge = edge::plain().pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.limit = limit(|limit| limit.requests = Some(2))).start();
    let asking: Vec<_> = (0..10).map(|_| ask(edge.address())).collect();
    eventually("eight wait, and two are under way", async || (queued(&edge), origin.requests()) == (8, 2)).await;
    gate.open();
    for answer in asking {
        assert_eq!(answer.await.unwrap().text(), "a");
    }
    assert_eq!((queued(&edge), origin.requests()), (0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_has_no_more_than_its_requests_and_who_waits_gets_the_first_that_is_free() {
    // Only one of these knows how many requests a backend has.
    for balancer in ["round-robin", "least-request"] {
        let gates = [(); 2].map(|()| Gate::default());
        let (a, b) = (gated("a", &gates[0]), gated("b", &gates[1]));
        let edge = edge::plain().pool("shop", &[&a, &b]).balancer(balancer);
        let edge = edge.with(|pool| pool.limit = limit(|limit| limit.backend_requests = Some(2))).start();
        let asking: Vec<_> = (0..5).map(|_| ask(edge.address())).collect();
        eventually("one waits", async || queued(&edge) == 1).await;
        eventually("the others are under way", async || (a.requests(), b.requests()) == (2, 2)).await;
        gates[1].open();
        eventually("it was b's", async || b.requests() == 3).await;
        assert_eq!((queued(&edge), a.requests()), (0, 2));
        gates[0].open();
        for answer in asking {
            assert_eq!(answer.await.unwrap().status, StatusCode::OK);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_is_503_at_once_and_one_that_waits_in_vain_is_503_in_time() {
    let gate = Gate::default();
    let origin = gated("a", &gate);
    let edge = edge::plain().pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.limit = limit(|limit| (limit.requests, limit.queue) = (Some(1), 1))).start();
    let served = ask(edge.address());
    eventually("one is under way", async || origin.requests() == 1).await;
    let waits = ask(edge.address());
    eventually("one waits", async || queued(&edge) == 1).await;
    let begun = Instant::now();
    assert_refused(&Client::plain(edge.address()).await.get("/").await, "PM0502");
    assert!(begun.elapsed() < PATIENCE / 2);
    // A client that leaves takes its request out of the line.
    waits.abort();
    eventually("the place is free", async || queued(&edge) == 0).await;
    gate.open();
    assert_eq!(served.await.unwrap().status, StatusCode::OK);

    let gate = Gate::default();
    let origin = gated("a", &gate);
    let short = |limit: &mut PoolLimit| (limit.requests, limit.wait) = (Some(1), Duration::from_millis(50));
    let edge = edge::plain().pool("shop", &[&origin]).with(|pool| pool.limit = limit(short)).start();
    let served = ask(edge.address());
    eventually("one is under way", async || origin.requests() == 1).await;
    assert_refused(&Client::plain(edge.address()).await.get("/").await, "PM0502");
    gate.open();
    assert_eq!((served.await.unwrap().status, origin.requests()), (StatusCode::OK, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_one_line_and_nobody_is_forgotten_in_it() {
    let origins = ["a", "b"].map(|name| Origin::slow(name, Duration::from_millis(1)));
    let edge = edge::plain().workers(4).pool("shop", &[&origins[0], &origins[1]]);
    let edge = edge.with(|pool| {
        pool.limit = limit(|limit| (limit.requests, limit.backend_requests) = (Some(3), Some(2)));
    });
    let edge = edge.start();
    let load = Load::start(Target::plain(edge.address()), Pace::Parallel(24));
    eventually("many were answered", async || load.so_far().answered.get(&200).is_some_and(|&n| n > 1000)).await;
    load.stop().await.assert_all_answered();
    assert_eq!(queued(&edge), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_process_s_requests_it_is_503_and_the_listeners_answer_on() {
    let gate = Gate::default();
    let origin = gated("a", &gate);
    let edge = edge::plain().requests(2).pool("shop", &[&origin]).start();
    let served = [ask(edge.address()), ask(edge.address())];
    eventually("two are under way", async || origin.requests() == 2).await;
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..3 {
        assert_refused(&client.get("/").await, "PM0503");
    }
    gate.open();
    for answer in served {
        assert_eq!(answer.await.unwrap().status, StatusCode::OK);
    }
    eventually("it serves again", async || client.get("/").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_counts_as_a_request_until_it_ends() {
    let willing = || Origin::new(|seen| if seen.has("upgrade") { upgrades::echo("") } else { Reply::named("a") });
    let origin = willing();
    let edge = edge::plain().requests(1).pool("shop", &[&origin]).start();
    let mut tunnel = Raw::plain(edge.address()).await;
    upgrades::opened(&mut tunnel).await;
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..3 {
        assert_refused(&client.get("/").await, "PM0503");
    }
    upgrades::echoes(&mut tunnel, b"still there").await;
    drop(tunnel);
    eventually("there is room again", async || client.get("/").await.status == StatusCode::OK).await;

    let origin = willing();
    let edge = edge::plain().pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.limit = limit(|limit| limit.requests = Some(1))).start();
    let mut tunnel = Raw::plain(edge.address()).await;
    upgrades::opened(&mut tunnel).await;
    let waits = ask(edge.address());
    eventually("it waits", async || queued(&edge) == 1).await;
    upgrades::echoes(&mut tunnel, b"still there").await;
    drop(tunnel);
    assert_eq!(waits.await.unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_has_no_more_connections_than_it_may_and_who_finds_none_waits() {
    let gate = Gate::default();
    let origin = gated("a", &gate);
    let edge = edge::plain().workers(4).pool("shop", &[&origin]).with(|pool| {
        pool.limit = limit(|limit| limit.backend_connections = Some(3));
        pool.health.interval = Duration::from_secs(3600);
    });
    let edge = edge.start();
    let asking: Vec<_> = (0..8).map(|_| ask(edge.address())).collect();
    eventually("five wait", async || (origin.open_requests(), queued(&edge)) == (3, 5)).await;
    assert_eq!(origin.open_connections(), 3);
    gate.open();
    for answer in asking {
        assert_eq!(answer.await.unwrap().text(), "a");
    }
    eventually("no more are kept", async || origin.open_connections() <= 3).await;
    let load = Load::start(Target::plain(edge.address()), Pace::Parallel(16));
    eventually("many were answered", async || load.so_far().answered.get(&200).is_some_and(|&n| n > 500)).await;
    load.stop().await.assert_all_answered();
    assert_eq!(edge.pool("shop").backends[0].failures, 0);
}

/// Each client is served by a worker of its own accord; the connection that the last one's worker keeps has to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_another_worker_keeps_unused_makes_room() {
    let origin = Origin::named("a");
    let edge = edge::plain().workers(4).pool("shop", &[&origin]).with(|pool| {
        pool.limit = limit(|limit| limit.backend_connections = Some(1));
        pool.health.interval = Duration::from_secs(3600);
    });
    let edge = edge.start();
    for _ in 0..20 {
        assert_eq!(ask(edge.address()).await.unwrap().text(), "a");
        eventually("there is one", async || origin.open_connections() == 1).await;
    }
    let origin = H2Origin::new(100, |_| Act::says("a")).await;
    let edge = edge::plain().workers(4).pool("shop", &[&origin]).with(|pool| {
        pool.protocol = Protocol::Http2;
        pool.limit = limit(|limit| limit.backend_connections = Some(1));
    });
    let edge = edge.start();
    for _ in 0..20 {
        assert_eq!(ask(edge.address()).await.unwrap().text(), "a");
        eventually("there is one", async || origin.open_connections() == 1).await;
    }
}

/// A process that has no files left closes idle connections, on both sides, and serves on.
#[tokio::test(flavor = "multi_thread")]
async fn without_files_idle_connections_make_room_for_new_ones() {
    let origin = Origin::named("a");
    serves_without_files(origin.address(), "h1").await;
    let origin = H2Origin::new(100, |_| Act::says("a")).await;
    serves_without_files(origin.address(), "h2").await;
    assert_eq!(origin.used_connections(), 1, "what is shared stays");
}

async fn serves_without_files(backend: SocketAddr, protocol: &str) {
    let (room, port) = (Room::new(), pointsman_tests::sockets::Place::new());
    room.write(
        "pointsman.toml",
        &format!(
            "[[listen]]\naddress = \"{}\"\n[pool.shop]\nbackends = [\"{backend}\"]\nprotocol = \"{protocol}\"\n\
             [server]\nworkers = 1\n",
            port.address()
        ),
    );
    let running = room.start(&["run"]);
    eventually("it serves", async || tokio::net::TcpStream::connect(port.address()).await.is_ok()).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut client = Client::plain(port.address()).await;
        assert_eq!(client.get("/").await.text(), "a");
        idle.push(client);
    }
    let pid = Pid::from_raw(running.pid().cast_signed()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap().count() as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open), maximum }).unwrap();
    for _ in 0..30 {
        let mut client = Client::plain(port.address()).await;
        assert_eq!(timeout(PATIENCE, client.get("/")).await.expect("it is taken in").text(), "a");
        idle.push(client);
    }
    running.logs("no connection can be accepted for now").await;
    assert!(idle.iter().any(Client::is_closed), "some had to go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_is_asked_of_a_second_backend_where_it_may_be_repeated() {
    let gate = Gate::default();
    let (slow, well) = (gated("slow", &gate), Origin::named("well"));
    let edge = edge::plain().workers(1).pool("shop", &[&slow, &well]);
    let edge = edge.with(|pool| {
        pool.hedge = Some(Duration::from_millis(50));
        pool.health.interval = Duration::from_secs(3600);
    });
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    let mut asked = 0;
    for body in ["", "a body"] {
        for _ in 0..2 {
            let mut request = client::body("/", body);
            *request.method_mut() = http::Method::PUT;
            assert_eq!(client.send(request).await.unwrap().text(), "well");
        }
        assert!(slow.requests() > asked, "one of two at the least was asked of it first");
        asked = slow.requests();
    }
    eventually("who was slower is let go", async || slow.open_requests() == 0).await;
    eventually("nothing is under way", async || edge.pool("shop").backends.iter().all(|b| b.in_flight == 0)).await;
    let pool = edge.pool("shop");
    // On a busy machine the other one may be slow as well, and answer before it was asked a second time.
    assert!(pool.hedges >= asked && pool.retries == 0, "{asked} were asked: {pool:?}");
    assert!(pool.backends.iter().all(|backend| backend.failures == 0), "{pool:?}");
    // A POST waits for the one that has it.
    slow.forget();
    well.forget();
    let posts = [(); 2].map(|()| {
        let address = edge.address();
        tokio::spawn(async move { Client::plain(address).await.send(client::body("/", "buy")).await.unwrap().text() })
    });
    eventually("one is answered, one is not", async || (slow.requests(), well.requests()) == (1, 1)).await;
    gate.open();
    let mut names = Vec::new();
    for post in posts {
        names.push(post.await.unwrap());
    }
    names.sort_unstable();
    assert_eq!((names, edge.pool("shop").hedges), (vec!["slow".to_owned(), "well".to_owned()], pool.hedges));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_goes_to_a_backend_that_is_taken_in_again() {
    let gate = Gate::default();
    let (full, back) = (gated("full", &gate), Origin::dead(|_| Reply::named("back")));
    let edge = edge::plain().pool("shop", &[&full, &back]);
    let edge = edge.with(|pool| pool.limit = limit(|limit| limit.backend_requests = Some(1))).start();
    let asking = ask(edge.address());
    eventually("one is under way", async || full.requests() == 1).await;
    let waits = ask(edge.address());
    eventually("one waits", async || queued(&edge) == 1).await;
    back.revive();
    assert_eq!(timeout(PATIENCE, waits).await.expect("it is called").unwrap().text(), "back");
    gate.open();
    assert_eq!(asking.await.unwrap().text(), "full");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_share_a_connection_are_counted_one_by_one() {
    let origin = H2Origin::new(100, |head| if head.uri.path() == "/" { Act::says("a") } else { Act::Silence }).await;
    let edge = edge::plain().pool("shop", &[&origin]).with(|pool| {
        pool.protocol = Protocol::Http2;
        pool.limit = limit(|limit| limit.backend_requests = Some(2));
    });
    let edge = edge.start();
    let silent = [ask_for("/silent", edge.address()), ask_for("/silent", edge.address())];
    eventually("two are under way", async || origin.open() == 2).await;
    let waits = ask(edge.address());
    eventually("one waits", async || queued(&edge) == 1).await;
    assert_eq!(origin.most_open(), 2);
    silent[0].abort();
    assert_eq!(waits.await.unwrap().text(), "a");
    silent[1].abort();
    eventually("their streams are reset", async || origin.open() == 0).await;
    eventually("their places are free", async || edge.pool("shop").backends[0].in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slower_loses_its_stream_and_not_its_connection() {
    let slow = H2Origin::new(100, |_| Act::Silence).await;
    let well = H2Origin::new(100, |_| Act::says("well")).await;
    let edge = edge::plain().workers(1).pool("shop", &[&slow, &well]);
    let edge = edge.with(|pool| (pool.protocol, pool.hedge) = (Protocol::Http2, Some(Duration::from_millis(50))));
    let edge = edge.start();
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.text(), "well");
    }
    let hedges = edge.pool("shop").hedges;
    assert!(hedges > 0);
    eventually("who was slower is let go", async || (slow.open(), slow.asked().len() as u64) == (0, hedges)).await;
    assert_eq!(slow.used_connections(), 1);
}
