//! Clients that send far too much of what costs them nothing: each is told to calm down and goes, and who shares the worker
//! with it does not notice. The numbers are those of the acceptance list.

use pointsman::config::model::ByteRate;
use pointsman_tests::{
    client::{CANCEL, Client, ENHANCE_YOUR_CALM, Frames, PROTOCOL_ERROR, PSEUDO, StreamEnd, frame, head},
    edge::{self, Edge},
    origin::{Gate, Origin, Reply},
    story::{PATIENCE, eventually},
};
use std::time::Duration;
use tokio::time::timeout;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 99;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const GET: &[(&str, &str)] = &[(":method", "GET"), PSEUDO[1], PSEUDO[2], PSEUDO[3]];

/// More than any client is allowed.
const MANY: u32 = 20_000;

/// One worker, which all clients share.
fn edge(origin: &Origin) -> Edge {
    edge::tls().workers(1).pool("shop", &[origin]).start()
}

/// This many of something, with the stream's number.
fn many(count: u32, one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|number| one(2 * number + 1)).collect()
}

/// Sends it beside a client that is served as before.
async fn ended_by(edge: &Edge, bytes: &[u8]) -> Option<StreamEnd> {
    let mut other = Client::h2(edge.address()).await;
    assert_eq!(other.get("/before").await.text(), "a");
    let mut attacker = Frames::connect(edge.address()).await;
    let (end, ()) = tokio::join!(attacker.flood(bytes, PATIENCE), async {
        for _ in 0..20 {
            assert_eq!(other.get("/meanwhile").await.text(), "a");
        }
    });
    assert_eq!(other.get("/after").await.text(), "a");
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn case_62_a_rapid_reset_is_ended_and_asks_the_backend_for_little() {
    let origin = Origin::named("a");
    let edge = edge(&origin);
    let reset = |stream| [head(stream, GET, true), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat();
    let end = ended_by(&edge, &many(MANY, reset)).await;
    assert_eq!(end, Some(StreamEnd::Gone(Some(ENHANCE_YOUR_CALM))));
    eventually("the backend has done with it", async || origin.open_requests() == 0).await;
    assert!(origin.requests() < u64::from(MANY) / 10, "{}", origin.requests());
    let metrics = edge.admin().await.get("/metrics").await.text();
    assert!(metrics.contains("pointsman_listener_connections_sent_away_total{listener=\"tls\"} 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_62_resets_that_the_server_is_made_to_send_count_as_well() {
    let origin = Origin::new(|_| Reply::silence());
    let edge = edge(&origin);
    let window = 0x7fff_ffff_u32.to_be_bytes();
    let whole = |stream| head(stream, GET, true);
    let of_length = |stream| head(stream, &[PSEUDO, &[("content-length", "1")]].concat(), false);
    // Some mistakes are so grave that one is enough.
    for (name, bytes, code) in [
        (
            "a window beyond its limit",
            many(MANY, |stream| [whole(stream), frame(WINDOW_UPDATE, 0, stream, &window)].concat()),
            ENHANCE_YOUR_CALM,
        ),
        (
            "a dependency on itself",
            many(MANY, |n| [whole(n), frame(PRIORITY, 0, n, &[&n.to_be_bytes()[..], &[1]].concat())].concat()),
            ENHANCE_YOUR_CALM,
        ),
        (
            "more than was announced",
            many(MANY, |stream| [of_length(stream), frame(DATA, 0, stream, b"abc")].concat()),
            ENHANCE_YOUR_CALM,
        ),
        (
            "a window that opens by nothing",
            many(MANY, |stream| [whole(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()),
            PROTOCOL_ERROR,
        ),
        (
            "data behind the end",
            many(MANY, |stream| [whole(stream), frame(DATA, 0, stream, b"abc")].concat()),
            PROTOCOL_ERROR,
        ),
    ] {
        let mut attacker = Frames::connect(edge.address()).await;
        let end = attacker.flood(&bytes, PATIENCE).await;
        assert_eq!(end, Some(StreamEnd::Gone(Some(code))), "{name}");
        eventually("the backend has done with it", async || origin.open_requests() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_62_who_gives_up_what_it_has_under_way_is_no_attacker() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |_| Reply::open_until(&open, Duration::from_millis(10)));
    let edge = edge(&origin);
    let mut client = Frames::connect(edge.address()).await;
    for stream in (0..200).map(|number| 2 * number + 1) {
        client.head(stream, GET, true).await;
    }
    eventually("all are under way", async || origin.open_requests() == 200).await;
    for stream in (0..200).map(|number| 2 * number + 1) {
        client.reset(stream, CANCEL).await;
    }
    eventually("the backend has done with them", async || origin.open_requests() == 0).await;
    gate.open();
    client.head(401, GET, true).await;
    assert_eq!(client.end_of(401, PATIENCE).await, StreamEnd::Answered(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_63_floods_of_frames_are_ended() {
    let origin = Origin::named("a");
    let edge = edge(&origin);
    let open = head(1, PSEUDO, false);
    let after = |bytes: Vec<u8>| [open.clone(), bytes].concat();
    let priority = [0_u32.to_be_bytes().as_slice(), &[16]].concat();
    for (name, bytes) in [
        ("SETTINGS", many(MANY, |_| frame(SETTINGS, 0, 0, &[]))),
        ("SETTINGS that change windows", many(MANY, |n| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, (n >> 8) as u8, 1]))),
        ("answers to no PING", many(MANY, |_| frame(PING, 1, 0, &[0; 8]))),
        ("PING", many(MANY, |_| frame(PING, 0, 0, &[0; 8]))),
        ("PRIORITY", many(MANY, |stream| frame(PRIORITY, 0, stream, &priority))),
        ("WINDOW_UPDATE", many(MANY, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("unknown frames", many(MANY, |_| frame(UNKNOWN, 0, 0, b"abc"))),
        ("empty DATA", after(many(MANY, |_| frame(DATA, 0, 1, &[])))),
        ("empty HEADERS", many(MANY, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &[]))),
        (
            "CONTINUATION",
            [frame(HEADERS, END_STREAM, 1, &[]), many(MANY, |_| frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"))].concat(),
        ),
        (
            "empty CONTINUATION",
            [frame(HEADERS, END_STREAM, 1, &[]), many(MANY, |_| frame(CONTINUATION, 0, 1, &[]))].concat(),
        ),
    ] {
        let end = ended_by(&edge, &bytes).await;
        assert_eq!(end, Some(StreamEnd::Gone(Some(ENHANCE_YOUR_CALM))), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_63_a_flood_is_ended_while_all_places_are_taken() {
    let origin = Origin::new(|_| Reply::silence());
    // No request ends by itself.
    let edge = edge::tls().workers(1).pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.timeout.head = Duration::from_secs(3600)).start();
    let mut attacker = Frames::connect(edge.address()).await;
    attacker.say(&many(256, |stream| head(stream, GET, true))).await;
    eventually("no further request has a place", async || origin.open_requests() == 256).await;
    let end = attacker.flood(&many(MANY, |_| frame(PING, 0, 0, &[0; 8])), PATIENCE).await;
    assert_eq!(end, Some(StreamEnd::Gone(Some(ENHANCE_YOUR_CALM))));
    eventually("the backend has done with it", async || origin.open_requests() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_64_a_head_that_unpacks_to_far_more_is_refused() {
    let origin = Origin::named("a");
    let edge = edge(&origin);
    for (name, times, end) in [("over the limit", 20, Some(StreamEnd::Answered(431))), ("far over it", 16_000, None)] {
        let mut client = Frames::connect(edge.address()).await;
        client.say(&bomb(times)).await;
        match end {
            Some(end) => assert_eq!(client.end_of(1, PATIENCE).await, end, "{name}"),
            None => {
                let end = client.end_of(1, PATIENCE).await;
                assert_eq!(end, StreamEnd::Gone(Some(ENHANCE_YOUR_CALM)), "{name}");
            }
        }
    }
    assert_eq!(origin.requests(), 0);
    assert_eq!(Client::h2(edge.address()).await.get("/").await.text(), "a");
}

/// A request with a header of four thousand bytes, which is named so many times more with a byte each.
fn bomb(times: usize) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let mut block = Vec::new();
    for (name, value) in GET {
        block.extend([&[0][..], &text(name), &text(value)].concat());
    }
    // A literal that goes into the table; its length, 4000, takes two bytes more than seven bits hold.
    block.extend([&[0x40][..], &text("x-bomb"), &[0x7f, 0xa1, 0x1e], &[b'a'; 4000]].concat());
    // The newest entry of the table.
    block.extend(std::iter::repeat_n(0xbe, times));
    let (first, rest) = block.split_at(block.len().min(16_000));
    let ends = if rest.is_empty() { END_HEADERS } else { 0 };
    let mut bytes = frame(HEADERS, END_STREAM | ends, 1, first);
    if !rest.is_empty() {
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, rest));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn case_65_a_window_that_stays_closed_ends_the_answer() {
    let origin = Origin::new(|_| Reply::status(200, &"x".repeat(1_000_000)));
    let edge = edge::tls().listener(|listener| listener.timeout.idle = Duration::from_millis(300));
    let edge = edge.workers(1).pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    // No byte of any answer.
    client.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    client.head(1, GET, true).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(200));
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Reset(CANCEL));
    eventually("the backend is let go", async || origin.open_requests() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_65_a_window_that_opens_a_byte_at_a_time_ends_the_answer() {
    let origin = Origin::new(|_| Reply::status(200, &"x".repeat(1_000_000)));
    let edge = edge::tls().listener(|listener| {
        listener.timeout.idle = Duration::from_millis(300);
        listener.timeout.least_rate = ByteRate(Some(100_000));
    });
    let edge = edge.workers(1).pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    client.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    client.head(1, GET, true).await;
    assert_eq!(client.end_of(1, PATIENCE).await, StreamEnd::Answered(200));
    let mut taken = 0;
    loop {
        client.frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()).await;
        if let Ok(end) = timeout(Duration::from_millis(10), client.end_of(1, PATIENCE)).await {
            break assert_eq!(end, StreamEnd::Reset(CANCEL));
        }
        taken += 1;
        assert!(taken < 10_000, "it goes on for ever");
    }
    eventually("the backend is let go", async || origin.open_requests() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_65_who_reads_nothing_is_cut() {
    let origin = Origin::new(|_| Reply::status(200, &"x".repeat(16 << 20)));
    let edge = edge::tls().listener(|listener| listener.timeout.idle = Duration::from_millis(300));
    let edge = edge.workers(1).pool("shop", &[&origin]).start();
    let mut client = Frames::connect(edge.address()).await;
    // All windows are open as wide as can be.
    client.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    client.frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()).await;
    for stream in [1, 3, 5] {
        client.head(stream, GET, true).await;
    }
    eventually("they are under way", async || origin.requests() == 3).await;
    eventually("the backend is let go", async || origin.open_requests() == 0).await;
    assert_eq!(Client::h2(edge.address()).await.get("/").await.body.len(), 16 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_that_never_rest_do_not_starve_their_worker() {
    let origin = Origin::named("a");
    let edge = edge(&origin);
    let (mut busy, mut other) = (Frames::connect(edge.address()).await, Client::h2(edge.address()).await);
    let served = async {
        for _ in 0..50 {
            assert_eq!(other.get("/").await.text(), "a");
        }
    };
    tokio::select! {
        () = busy.keep_asking(GET, 100) => {}
        served = timeout(PATIENCE, served) => served.expect("its turn comes"),
    }
}
