//! Stories of single connections, on a paused clock and without sockets.

use super::*;
use crate::{
    config::model::ByteRate,
    net::{Body, BodyError, Interim, Interims, Request, Response, Side, h1::BadMessage},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use http_body::Frame;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{advance, sleep},
};

const LIMITS: ListenTimeout = ListenTimeout {
    handshake: Duration::from_secs(1),
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    least_rate: ByteRate(Some(10)),
};

/// Tunnels after a drain.
const TUNNELS: Duration = Duration::from_secs(10);

/// A client of a connection whose service answers by the request's path.
struct Client {
    stream: DuplexStream,
    pulse: Rc<Pulse>,
    served: JoinHandle<()>,
}

/// What is spoken with it.
enum Protocol {
    /// What its first words say.
    Any,
    Http2,
}

impl Client {
    fn new(protocol: Protocol) -> Client {
        let (stream, server) = duplex(64 << 10);
        let pulse = Pulse::new();
        let of_server = pulse.clone();
        let served = spawn_local(async move {
            let limits = Limits { listen: &LIMITS, limit: HeadLimit::default() };
            match protocol {
                Protocol::Any => serve_either(server, &of_server, limits, ByPath).await,
                Protocol::Http2 => serve_http2(server, &of_server, limits, ByPath).await,
            }
        });
        Client { stream, pulse, served }
    }

    async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until this end comes.
    async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut bytes = [0; 1024];
            let read = self.stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        text
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

struct ByPath;

impl Abort for DuplexStream {
    fn abort(&self) {}
}

impl Service for ByPath {
    async fn serve(&self, request: Request, interims: &Interims) -> Response {
        let body = match request.uri.path() {
            "/slow" => {
                sleep(Duration::from_secs(1000)).await;
                Body::full("slow")
            }
            "/breaks" => Body::Stream(Box::pin(Breaks(Box::pin(sleep(Duration::from_secs(1))), false))),
            "/hints" => {
                interims.put(Interim::new(StatusCode::EARLY_HINTS, Version::HTTP_11, HeaderMap::new()).unwrap());
                sleep(Duration::from_secs(10)).await;
                Body::full("ok")
            }
            "/large" => Body::full("x".repeat(200_000)),
            "/echo" => request.body,
            _ => Body::full("ok"),
        };
        Response::new(StatusCode::OK, body)
    }

    fn refuse(&self, bad: BadMessage) -> Response {
        let status = match bad {
            BadMessage::HeadTooLarge | BadMessage::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Response::new(status, Body::full(bad.to_string()))
    }

    fn sent_away(&self, _: &dyn Display) {}

    fn tunnels(&self) -> Duration {
        TUNNELS
    }
}

/// Two bytes, a pause in which they are sent, and an error.
struct Breaks(Pin<Box<Sleep>>, bool);

impl crate::net::Streaming for Breaks {}

impl http_body::Body for Breaks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !std::mem::replace(&mut self.1, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from("ab")))));
        }
        ready!(self.0.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::new(Side::Upstream, "gone"))))
    }
}

/// Runs a story on a paused clock; time passes only when everybody waits.
fn story(story: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, story);
}

fn seconds_since(start: Instant) -> u64 {
    (Instant::now() - start).as_secs()
}

#[test]
fn an_idle_connection_is_closed_after_its_last_request() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        for _ in 0..3 {
            sleep(Duration::from_secs(50)).await;
            client.send("GET / HTTP/1.1\r\n\r\n").await;
            client.read_until("\r\n\r\nok").await;
        }
        let start = Instant::now();
        assert_eq!(client.rest().await, "");
        assert_eq!(seconds_since(start), 75);
    });
}

#[test]
fn half_a_head_is_cut_ten_seconds_after_its_first_byte() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        sleep(Duration::from_secs(40)).await;
        let start = Instant::now();
        client.send("GET / HT").await;
        sleep(Duration::from_secs(6)).await;
        client.send("TP/1.1\r\n").await;
        assert_eq!(client.rest().await, "");
        assert_eq!(seconds_since(start), 10);
    });
}

#[test]
fn a_request_under_way_has_no_limit_here() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        client.send("GET /slow HTTP/1.1\r\n\r\n").await;
        client.read_until("\r\n\r\nslow").await;
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        // Their answers are more than the pipe holds.
        let start = Instant::now();
        let requests = "GET / HTTP/1.1\r\n\r\n".repeat(3000);
        client.send(&requests).await;
        client.served.await.unwrap();
        assert_eq!(seconds_since(start), 75);
    });
}

#[test]
fn a_client_that_takes_a_byte_at_a_time_is_cut() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        let start = Instant::now();
        client.send("GET /large HTTP/1.1\r\n\r\n").await;
        while !client.served.is_finished() {
            sleep(Duration::from_secs(1)).await;
            client.stream.read_exact(&mut [0]).await.unwrap();
            assert!(seconds_since(start) < 100, "it goes on for ever");
        }
        assert!((75..=76).contains(&seconds_since(start)));
    });
}

#[test]
fn a_client_that_takes_little_and_enough_is_served() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        client.send("GET /large HTTP/1.1\r\n\r\n").await;
        let mut taken = 0;
        while taken < 80_000 {
            sleep(Duration::from_secs(10)).await;
            client.stream.read_exact(&mut [0; 200]).await.unwrap();
            taken += 200;
        }
        assert!(!client.served.is_finished());
    });
}

#[test]
fn a_drain_answers_what_is_under_way_and_closes_what_is_idle() {
    story(async {
        let mut idle = Client::new(Protocol::Any);
        let mut busy = Client::new(Protocol::Any);
        let mut mid_head = Client::new(Protocol::Any);
        idle.send("GET / HTTP/1.1\r\n\r\n").await;
        idle.read_until("ok").await;
        busy.send("GET /slow HTTP/1.1\r\n\r\n").await;
        mid_head.send("GET / HTTP/1.1\r\n").await;
        sleep(Duration::from_secs(1)).await;
        for client in [&idle, &busy, &mid_head] {
            client.pulse.drain();
        }
        let start = Instant::now();
        assert_eq!(idle.rest().await, "");
        assert_eq!(seconds_since(start), 0);
        mid_head.send("\r\n").await;
        for client in [&mut mid_head, &mut busy] {
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
        }
        // Each waits for its client to close too, but not for long.
        for client in [idle, busy, mid_head] {
            client.served.await.unwrap();
        }
    });
}

#[test]
fn what_is_said_before_an_answer_does_not_wait_for_it() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        let start = Instant::now();
        client.send("GET /hints HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.read_until("\r\n\r\n").await, "HTTP/1.1 103 Early Hints\r\n\r\n");
        assert_eq!(seconds_since(start), 0);
        assert!(client.read_until("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
        client.send("GET /hints HTTP/1.0\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.1 200 OK\r\n"), "it knows of no such thing");
    });
}

#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        client.send("GET /breaks HTTP/1.1\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.ends_with("\r\n\r\n2\r\nab\r\n"), "{answer}");
    });
}

#[test]
fn what_came_late_of_a_body_is_no_head() {
    story(async {
        for late in ["0123456789", "\r\n"] {
            let mut client = Client::new(Protocol::Any);
            let length = if late == "\r\n" { 0 } else { late.len() };
            client.send(&format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n")).await;
            client.read_until("\r\n\r\nok").await;
            client.send(late).await;
            let start = Instant::now();
            assert_eq!(client.rest().await, "");
            assert_eq!(seconds_since(start), 75, "{late:?}");
        }
    });
}

#[test]
fn at_a_drain_a_first_request_that_has_come_is_answered() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        let idle = Client::new(Protocol::Any);
        for one in [&client, &idle] {
            one.pulse.drain();
        }
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
        let mut idle = idle;
        assert_eq!(idle.rest().await, "");
    });
}

#[test]
fn an_answer_may_be_the_requests_own_body() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        client.send("POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        client.read_until("3\r\nabc\r\n").await;
        client.send("2\r\nde\r\n0\r\n\r\n").await;
        assert_eq!(client.read_until("0\r\n\r\n").await, "2\r\nde\r\n0\r\n\r\n");
    });
}

#[test]
fn case_38_a_head_of_16_kb_is_served_and_a_larger_one_gets_its_answer_while_it_is_sent() {
    story(async {
        let mut client = Client::new(Protocol::Any);
        client.send(&format!("GET / HTTP/1.1\r\nx-a: {}\r\n\r\n", "a".repeat(16 << 10))).await;
        client.read_until("ok").await;
        for head in [format!("x-a: {}\r\n", "a".repeat(900 << 10)), "x: y\r\n".repeat(5000)] {
            let mut client = Client::new(Protocol::Any);
            client.send("GET / HTTP/1.1\r\n").await;
            client.send(&format!("{head}\r\n")).await;
            client.stream.shutdown().await.unwrap();
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    });
}

#[test]
fn a_thousand_requests_at_once_do_not_hold_up_another_connection() {
    story(async {
        let (mut greedy, mut other) = (Client::new(Protocol::Any), Client::new(Protocol::Any));
        // Both have come before either is looked at.
        greedy.send(&"GET / HTTP/1.1\r\n\r\n".repeat(1000)).await;
        other.send("GET / HTTP/1.1\r\n\r\n").await;
        other.read_until("\r\n\r\nok").await;
        let mut answers = vec![0; 64 << 10];
        let read = tokio::select! {
            biased;
            read = greedy.stream.read(&mut answers) => read.unwrap(),
            () = std::future::ready(()) => 0,
        };
        let before = answers[..read].windows(4).filter(|end| end == b"\r\nok").count();
        assert!(before <= h1::TURN_MOST as usize, "{before} requests came first");
    });
}

type H2Client = ::h2::client::SendRequest<Bytes>;

async fn h2(client: DuplexStream) -> (H2Client, JoinHandle<Result<(), ::h2::Error>>) {
    let (sender, connection) = ::h2::client::handshake(client).await.unwrap();
    (sender, spawn_local(connection))
}

async fn get(sender: &H2Client, path: &str) -> Result<Vec<u8>, ::h2::Error> {
    let request = http::Request::get(format!("http://a{path}")).body(()).unwrap();
    let (answer, _) = sender.clone().ready().await?.send_request(request, true)?;
    let mut body = answer.await?.into_body();
    let mut all = Vec::new();
    while let Some(piece) = body.data().await.transpose()? {
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[test]
fn http2_is_told_of_a_drain_and_finishes_its_streams() {
    story(async {
        let Client { stream, pulse, served } = Client::new(Protocol::Http2);
        let (sender, connection) = h2(stream).await;
        assert_eq!(get(&sender, "/").await.unwrap(), b"ok");
        let second = sender.clone();
        let slow = spawn_local(async move { get(&second, "/slow").await });
        sleep(Duration::from_secs(1)).await;
        pulse.drain();
        assert_eq!(slow.await.unwrap().unwrap(), b"slow");
        connection.await.unwrap().unwrap();
        served.await.unwrap();
        assert!(get(&sender, "/").await.is_err());
    });
}

#[test]
fn case_41_the_preface_of_h2_on_a_plain_connection_is_understood() {
    story(async {
        let Client { stream, served, .. } = Client::new(Protocol::Any);
        let (sender, connection) = h2(stream).await;
        assert_eq!(get(&sender, "/").await.unwrap(), b"ok");
        let start = Instant::now();
        connection.await.unwrap().unwrap();
        served.await.unwrap();
        assert_eq!(seconds_since(start), 75, "it has the limits of any other");
    });
}

#[test]
fn half_a_head_of_http2_is_cut_like_any_other() {
    story(async {
        let mut client = Client::new(Protocol::Http2);
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        sleep(Duration::from_secs(20)).await;
        let start = Instant::now();
        // A head that may go on in another frame.
        client.send("\0\0\0\x01\x01\0\0\0\x01").await;
        client.served.await.unwrap();
        assert_eq!(seconds_since(start), 10);
    });
}

#[test]
fn an_idle_http2_connection_ends_and_an_answer_that_breaks_off_is_reset() {
    story(async {
        let Client { stream, served, .. } = Client::new(Protocol::Http2);
        let (sender, connection) = h2(stream).await;
        assert!(get(&sender, "/breaks").await.is_err());
        assert_eq!(get(&sender, "/").await.unwrap(), b"ok");
        let start = Instant::now();
        connection.await.unwrap().unwrap();
        served.await.unwrap();
        assert_eq!(seconds_since(start), 75);
    });
}

#[test]
fn a_dead_http2_client_does_not_hold_a_drain() {
    story(async {
        let Client { mut stream, pulse, served } = Client::new(Protocol::Http2);
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        pulse.drain();
        let start = Instant::now();
        // It never answers the ping that follows the GOAWAY.
        served.await.unwrap();
        assert!(seconds_since(start) <= 5);
        advance(Duration::from_secs(1)).await;
    });
}
