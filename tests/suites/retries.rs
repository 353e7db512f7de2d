//! What is sent once more, what never is, and how much of it a pool bears.

use bytes::Bytes;
use http::{Method, StatusCode};
use pointsman::config::model::Protocol;
use pointsman_tests::{
    certs,
    client::{self, Client, Raw},
    edge::{self, Edge},
    h2_origin::{Act, H2Origin},
    load::{Load, Pace, Target},
    origin::{Gate, Origin, Reply, Seen, Step},
    story::{PATIENCE, eventually},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// Reads each request to its end and closes without an answer.
fn rude() -> Origin {
    Origin::new(|_| Reply::default().then(Step::Close))
}

/// Reads each request to its end and never answers.
fn hanging() -> Origin {
    Origin::new(|_| Reply::silence())
}

/// Reads each request to its end and answers with what is no HTTP.
fn garbling() -> Origin {
    Origin::new(|_| Reply::bytes("SSH-2.0-OpenSSH_9.9\r\n"))
}

/// No health check comes in between.
fn unchecked(builder: edge::Builder) -> edge::Builder {
    builder.with(|pool| pool.health.interval = Duration::from_secs(3600))
}

/// Requests of a story, without health checks.
fn asked(origins: &[&Origin]) -> u64 {
    origins.iter().map(|origin| origin.requests()).sum()
}

fn put(body: impl Into<Bytes>) -> http::Request<http_body_util::Full<Bytes>> {
    let mut request = client::body("/", body);
    *request.method_mut() = Method::PUT;
    request
}

/// Asks until the first of the two was met first.
async fn meet(edge: &Edge, first: &Origin, mut ask: impl AsyncFnMut(&Edge)) {
    first.forget();
    for _ in 0..4 {
        ask(edge).await;
        if first.requests() > 0 {
            return;
        }
    }
    panic!("it was never asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_body_in_the_replay_buffer_goes_whole_to_another_backend() {
    let (rude, well) = (rude(), Origin::named("well"));
    let edge = unchecked(edge::plain().workers(1).pool("shop", &[&rude, &well]).listen("tls", Some(certs::shop())));
    let edge = edge.start();
    // As long as the buffer is; by length, over HTTP/2, and in chunks with trailers.
    let long = "x".repeat(64 << 10);
    meet(&edge, &rude, async |edge| {
        let answer = Client::plain(edge.address()).await.send(put(long.clone())).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"));
    })
    .await;
    meet(&edge, &rude, async |edge| {
        let answer = Client::h2(edge.listener("tls")).await.send(put(long.clone())).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"));
    })
    .await;
    assert!(well.seen().iter().all(|seen| seen.complete && seen.body == long.as_bytes()), "each came whole");
    well.forget();
    meet(&edge, &rude, async |edge| {
        let mut client = Raw::plain(edge.address()).await;
        client.say(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        client.say(b"6\r\n, you!\r\n0\r\nX-Sum: 7\r\n\r\n").await;
        assert_eq!(client.hear(PATIENCE).await.answer().status, 200);
    })
    .await;
    let as_sent = |seen: &Seen| seen.complete && seen.body == b"hello, you!" && seen.trailers.len() == 1;
    assert!(well.seen().iter().all(as_sent), "{:?}", well.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_body_beyond_the_replay_buffer_reaches_one_backend() {
    let (rude, other) = (rude(), self::rude());
    let edge = unchecked(edge::plain().workers(1).pool("shop", &[&rude, &other]));
    let edge = edge.with(|pool| pool.retry.replay = 100).start();
    for (length, backends) in [(100, 2), (101, 1), (1 << 20, 1)] {
        let before = asked(&[&rude, &other]);
        let answer = Client::plain(edge.address()).await.send(put(vec![b'x'; length])).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{length}");
        assert_eq!(asked(&[&rude, &other]) - before, backends, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_retries_as_configured_each_at_another_backend() {
    // The head of the answer is too large wherever it is asked for.
    let boasting = || Origin::new(|_| Reply::status(200, "").with("x-long", &"x".repeat(256 << 10)));
    for (most, ill) in [(0, rude as fn() -> Origin), (2, rude), (3, rude), (0, garbling), (2, garbling), (2, boasting)]
    {
        let origins = [(); 4].map(|()| ill());
        let [a, b, c, d] = &origins;
        let edge = unchecked(edge::plain().workers(1).pool("shop", &[a, b, c, d]));
        let edge = edge.with(|pool| pool.retry.most = most).start();
        assert_eq!(Client::plain(edge.address()).await.get("/").await.status, StatusCode::BAD_GATEWAY);
        let mut asked = origins.each_ref().map(Origin::requests);
        asked.sort_unstable();
        assert_eq!(asked.iter().sum::<u64>(), u64::from(most) + 1);
        assert_eq!(asked[3], 1, "nobody twice: {asked:?}");
        assert_eq!(edge.pool("shop").retries, u64::from(most));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_one_backend_it_is_asked_again() {
    let moody = Origin::new({
        let asked = AtomicU64::new(0);
        move |_| match asked.fetch_add(1, Relaxed) % 2 {
            0 => Reply::default().then(Step::Close),
            _ => Reply::named("well"),
        }
    });
    let edge = unchecked(edge::plain().workers(1).pool("shop", &[&moody])).start();
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "well");
    assert_eq!(Client::plain(edge.address()).await.send(client::body("/", "")).await.unwrap().status, 502);
    assert_eq!(moody.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_in_trouble_is_not_met_by_twice_the_load() {
    let (a, b) = (rude(), rude());
    let edge = unchecked(edge::plain().workers(2).pool("shop", &[&a, &b]));
    let edge = edge.with(|pool| (pool.retry.budget, pool.retry.backoff) = (0, Duration::ZERO)).start();
    let begun = Instant::now();
    const REQUESTS: u64 = 400;
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").await.status, StatusCode::BAD_GATEWAY);
    }
    // Ten a second, and what those of ten seconds are at the start.
    let most = 100 + 10 * (begun.elapsed().as_secs() + 1);
    let pool = edge.pool("shop");
    assert!(pool.retries <= most, "{} of {most}", pool.retries);
    assert_eq!((pool.retries + pool.retries_refused, asked(&[&a, &b])), (REQUESTS, REQUESTS + pool.retries));
}

/// Speaks HTTP/2 until it is asked something, and then nonsense.
async fn garbling_h2() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(garble(stream));
        }
    });
    address
}

async fn garble(mut stream: TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await?;
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        if frame[3] == 1 {
            // A head on this stream, of which no line can be unpacked.
            stream.write_all(&[b"\0\0\x04\x01\x05", &frame[5..], b"\xff\xff\xff\xff"].concat()).await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_one_of_three_that_talks_garbage_fails_no_request_that_may_be_repeated() {
    let garbling = garbling();
    let (b, c) = (Origin::named("b"), Origin::named("c"));
    let edge = edge::plain().pool("shop", &[&garbling, &b, &c]);
    let time = Duration::from_millis(500);
    let edge = edge.with(|pool| pool.eject.as_mut().expect("the default").time = time).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
    eventually("it is out for the second time", async || edge.pool("shop").backends[0].why.ends_with("out for 1s"))
        .await;
    load.stop().await.assert_all_answered();
    let pool = edge.pool("shop");
    assert!(pool.retries > 0 && pool.backends[0].failures > 0);
    assert_eq!(pool.retries_refused, 0, "{} retries", pool.retries);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_what_may_not_be_done_twice_is_not_repeated_for_garbage() {
    let (h1, h2) = (garbling(), garbling_h2().await);
    let good_h2 = H2Origin::new(100, |_| Act::says("well")).await;
    let good_h1 = Origin::named("well");
    let over_h1 = edge::plain().workers(1).pool("shop", &[&h1, &good_h1]);
    let over_h2 = edge::plain().workers(1).pool("shop", &[&h2, &good_h2]).with(|pool| pool.protocol = Protocol::Http2);
    for edge in [over_h1, over_h2] {
        let edge = unchecked(edge).with(|pool| pool.eject = None).start();
        let ask = async |method| {
            let answer = Client::plain(edge.address()).await.send(client::request(method, "/")).await.unwrap();
            answer.status.as_u16()
        };
        let mut statuses = [ask(Method::POST).await, ask(Method::POST).await];
        statuses.sort_unstable();
        assert_eq!((statuses, edge.pool("shop").retries), ([200, 502], 0));
        for method in [Method::GET, Method::DELETE] {
            assert_eq!([ask(method.clone()).await, ask(method).await], [200, 200]);
        }
        assert!(edge.pool("shop").retries > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_54_a_client_that_was_told_something_is_told_by_nobody_else() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    for (says, version, status) in [
        (HINT, "1.1", 502),
        // Nothing of these reaches the client.
        (HINT, "1.0", 200),
        ("HTTP/1.1 100 Continue\r\n\r\n", "1.1", 200),
        ("HTTP/1.1 200 OK\r\nX-Cut: of", "1.1", 200),
    ] {
        let cut = Origin::new(move |_| Reply::bytes(says).then(Step::Close));
        let well = Origin::named("well");
        let edge = unchecked(edge::plain().workers(1).pool("shop", &[&cut, &well])).start();
        meet(&edge, &cut, async |edge| {
            well.forget();
            let mut client = Raw::plain(edge.address()).await;
            client.say(format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
            let heard = String::from_utf8(client.drain(PATIENCE).await).unwrap();
            let expected = if cut.requests() > 0 { status } else { 200 };
            assert!(heard.contains(&format!("HTTP/1.1 {expected} ")), "{says:?} {version}: {heard}");
            assert_eq!(well.requests() == 0, expected == 502);
        })
        .await;
    }
}

/// With the budget and the ejection that hold with no key written, but for how long one is out.
#[tokio::test(flavor = "multi_thread")]
async fn case_54_one_of_three_that_loses_its_requests_fails_none_of_them() {
    for all in [true, false] {
        let asked = AtomicU64::new(0);
        let ill = Origin::new(move |_| match all || asked.fetch_add(1, Relaxed) % 4 < 2 {
            true => Reply::default().then(Step::Close),
            false => Reply::named("ill"),
        });
        let (b, c) = (Origin::named("b"), Origin::named("c"));
        let edge = edge::plain().pool("shop", &[&ill, &b, &c]);
        let time = Duration::from_millis(500);
        let edge = edge.with(|pool| pool.eject.as_mut().expect("the default").time = time).start();
        let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(300));
        if all {
            eventually("it is out for the third time", async || {
                edge.pool("shop").backends[0].why.ends_with("out for 1.5s")
            })
            .await;
        } else {
            // Never five in a row: it stays. Two at a time, for one on a kept connection is tried over a new one first.
            eventually("many are lost", async || edge.pool("shop").retries > 60).await;
        }
        load.stop().await.assert_all_answered();
        let pool = edge.pool("shop");
        assert_eq!(pool.retries_refused, 0, "{} retries", pool.retries);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_53_a_backend_that_hangs_costs_one_attempt_s_time_and_then_another_answers() {
    let (hanging, well) = (hanging(), Origin::named("well"));
    let edge = unchecked(edge::plain().workers(1).pool("shop", &[&hanging, &well]));
    let edge = edge.with(|pool| pool.timeout.per_try = Some(Duration::from_millis(200))).start();
    meet(&edge, &hanging, async |edge| {
        let begun = Instant::now();
        let answer = Client::plain(edge.address()).await.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "well"));
        assert!(begun.elapsed() < PATIENCE / 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_again_is_not_cut_short() {
    let gates = [Gate::default(), Gate::default()];
    let [a, b] = gates.each_ref().map(|gate| {
        let gate = gate.clone();
        Origin::new(move |_| Reply::named("slow").once_open(&gate))
    });
    let edge = unchecked(edge::plain().workers(1).pool("shop", &[&a, &b]));
    let edge = edge.with(|pool| {
        pool.timeout.per_try = Some(Duration::from_millis(100));
        (pool.retry.replay, pool.eject) = (10, None);
    });
    let edge = edge.start();
    let ask = |request| {
        let address = edge.address();
        tokio::spawn(async move { Client::plain(address).await.send(request).await.unwrap() })
    };
    let begun = Instant::now();
    let asking = [ask(client::body("/", "buy")), ask(put("a long body")), ask(client::request(Method::GET, "/"))];
    eventually("the one that may be is sent again", async || asked(&[&a, &b]) == 4).await;
    eventually("twice its time has passed", async || begun.elapsed() > Duration::from_millis(300)).await;
    gates.iter().for_each(Gate::open);
    for answer in asking {
        assert_eq!(answer.await.unwrap().status, StatusCode::OK, "the last attempt has all the time that is left");
    }
    assert_eq!(asked(&[&a, &b]), 4);
}
