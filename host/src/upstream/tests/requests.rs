//! Requests on their way out: how they are framed, what goes on side by side, and what a backend sees when they break off.

use super::*;
use crate::{
    net::{BodyError, Headers, Side},
    upstream::{ErrorKind, Retry},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin that answers every request with `ok` and tells what it read.
async fn listening() -> (Origin, UnboundedReceiver<String>) {
    let (told, requests) = unbounded_channel();
    let origin = Origin::new(move |mut stream, _| {
        let told = told.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                told.send(request).unwrap();
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (origin, requests)
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn bodies_are_framed_by_what_is_known_of_them() {
    let (origin, mut requests) = listening().await;
    let scene = Scene::to(origin.address);
    let head = "POST / HTTP/1.1\r\nhost: shop.example\r\n";

    scene.send(Ask { method: Method::POST, body: Body::full("hello"), ..Ask::default() }).await.unwrap();
    assert_eq!(within(requests.recv()).await.unwrap(), format!("{head}content-length: 5\r\n\r\nhello"));

    let (pieces, body) = streamed(None);
    for piece in [data("hel"), data(""), data("lo, you")] {
        pieces.send(piece).unwrap();
    }
    drop(pieces);
    scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    assert_eq!(
        within(requests.recv()).await.unwrap(),
        format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n7\r\nlo, you\r\n0\r\n\r\n")
    );
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn case_31_legal_trailers_follow_a_chunked_body() {
    let (origin, mut requests) = listening().await;
    let scene = Scene::to(origin.address);
    let (pieces, body) = streamed(None);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    trailers.insert("content-length", HeaderValue::from_static("5"));
    trailers.insert("host", HeaderValue::from_static("elsewhere"));
    pieces.send(data("hello")).unwrap();
    pieces.send(Ok(Frame::trailers(trailers))).unwrap();
    drop(pieces);
    scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    let request = within(requests.recv()).await.unwrap();
    assert!(request.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn a_large_body_gets_through_while_the_backend_is_slow_to_read() {
    let body = "0123456789abcdef".repeat(200_000);
    let length = body.len();
    let origin = Origin::new(move |mut stream, _| async move {
        let (mut read, mut buffer) = (0, vec![0; 9_999]);
        while read < length {
            read += stream.read(&mut buffer).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    let scene = Scene::to(origin.address);
    let answer = scene.send(Ask { method: Method::PUT, body: Body::full(body), ..Ask::default() }).await.unwrap();
    assert_eq!(whole(answer).await.body, "ok");
}

/// An echo: the answer begins before the request has ended, and each side waits for the other.
#[tokio::test]
async fn both_bodies_stream_at_the_same_time() {
    let origin = Origin::new(|mut stream, _| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut piece = [0; 64];
        loop {
            let n = stream.read(&mut piece).await.unwrap();
            // What was chunked stays chunked.
            stream.write_all(&piece[..n]).await.unwrap();
            if n == 0 {
                return;
            }
        }
    })
    .await;
    let scene = Scene::to(origin.address);
    let (pieces, body) = streamed(None);
    let answer = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    let mut echo = answer.body;
    for word in ["one", "two", "three"] {
        pieces.send(data(word)).unwrap();
        assert_eq!(within(echo.frame()).await.unwrap().unwrap().into_data().unwrap(), word);
    }
    assert_eq!(scene.in_flight(), 1);
    drop(pieces);
    assert!(within(echo.frame()).await.is_none());
    assert_eq!(scene.in_flight(), 0);
    scene.connections.checkout(&scene.pool.backends[0], &head(), Purpose::Exchange, &scene.pool.timeout).await.unwrap();
    assert_eq!(origin.accepted(), 1, "both messages were complete");
}

/// An origin that begins its answer, reads the request to its end, tells of that, and ends the answer.
async fn early() -> (Origin, UnboundedReceiver<()>) {
    let (told, is_whole) = unbounded_channel();
    let origin = Origin::new(move |mut stream, _| {
        let told = told.clone();
        async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsome").await.unwrap();
            while !request.ends_with(b"0\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            told.send(()).unwrap();
            let _ = stream.write_all(b"more").await;
        }
    })
    .await;
    (origin, is_whole)
}

/// A client may take nothing of an early answer until its request is out.
#[tokio::test]
async fn a_request_goes_on_while_nobody_takes_its_answer() {
    let (origin, mut is_whole) = early().await;
    let scene = Scene::to(origin.address);
    let (pieces, body) = streamed(None);
    let mut answer = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    pieces.send(data("body")).unwrap();
    drop(pieces);
    let going_on = std::future::poll_fn(|cx| match answer.body.go_on(cx) {
        Ok(()) => is_whole.poll_recv(cx),
        Err(error) => panic!("{error}"),
    });
    within(going_on).await.unwrap();
    assert_eq!(whole(answer).await.body, "somemore");
}

/// A client that takes its answer too slowly does not hold a backend's connection for longer than `total`.
#[tokio::test]
async fn the_total_time_counts_while_nobody_takes_the_answer() {
    let (origin, _is_whole) = early().await;
    let scene = Scene { total: Some(Duration::from_millis(200)), ..Scene::to(origin.address) };
    let (_pieces, body) = streamed(None);
    let mut answer = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    let over = std::future::poll_fn(|cx| match answer.body.go_on(cx) {
        Ok(()) => std::task::Poll::Pending,
        Err(error) => std::task::Poll::Ready(error),
    });
    assert_eq!(within(over).await.side, Side::Upstream);
}

#[tokio::test]
async fn an_answer_before_the_request_has_ended_ends_the_connection() {
    let (origin, mut seen) = Origin::watching("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let scene = Scene::to(origin.address);
    for round in 1..=2 {
        let (pieces, body) = streamed(None);
        pieces.send(data("the beginning")).unwrap();
        let answer = whole(scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str(), answer.broken), (413, "no", None));
        assert!(pieces.is_closed(), "nobody reads the request any more");
        assert!(!within(seen.recv()).await.unwrap().ends_with("0\r\n\r\n"));
        assert_eq!(origin.accepted(), round);
    }
}

/// The backend refuses to read on, and says why: its answer counts, not the failed write.
#[tokio::test]
async fn an_answer_counts_even_if_the_backend_closes_on_the_rest_of_the_request() {
    let origin = Origin::new(|mut stream, _| async move {
        stream.read_exact(&mut [0; 64]).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    })
    .await;
    let scene = Scene::to(origin.address);
    let body = Body::full("x".repeat(8 << 20));
    match scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await {
        Ok(answer) => assert_eq!(answer.status, 413),
        // With unread bytes in its socket the backend's close is a reset, which may overtake the answer.
        Err(error) => assert!(matches!(error.error.kind, ErrorKind::Broken(_)), "{error}"),
    }
}

#[tokio::test]
async fn case_39_a_request_that_breaks_off_never_looks_complete() {
    let (origin, mut seen) = Origin::watching("").await;
    let scene = Scene::to(origin.address);
    let (pieces, body) = streamed(None);
    pieces.send(data("hello")).unwrap();
    pieces.send(Err(BodyError::new(Side::Downstream, "the client left"))).unwrap();
    let error = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::RequestBody(_)), "{error}");
    assert_eq!((error.error.side(), error.error.retry()), (Side::Downstream, Retry::No));
    assert_eq!(scene.failures(), 0, "the backend is not to blame");
    let seen = within(seen.recv()).await.unwrap();
    assert!(!seen.ends_with("0\r\n\r\n"), "{seen}");
}

/// A body of a known length that ends early, or goes on behind its end.
#[tokio::test]
async fn case_44_a_body_unlike_its_length_never_looks_complete() {
    for sent in [&["hel"][..], &["hel", "lo!"], &["hello", "!"], &["hello!"]] {
        let (origin, mut seen) = Origin::watching("").await;
        let (pieces, body) = streamed(Some(5));
        for &piece in sent {
            pieces.send(data(piece)).unwrap();
        }
        drop(pieces);
        let scene = Scene::to(origin.address);
        let error = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap_err();
        assert!(matches!(error.error.kind, ErrorKind::RequestBody(_)), "{sent:?}: {error}");
        let seen = within(seen.recv()).await.unwrap();
        let body = seen.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(body.len() < 5, "{sent:?}: the backend saw {body:?}");
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_during_the_answer_breaks_the_answer() {
    let (origin, mut seen) = Origin::watching("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun").await;
    let scene = Scene::to(origin.address);
    let (pieces, body) = streamed(None);
    let mut answer = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap().body;
    assert_eq!(within(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), "begun");
    pieces.send(Err(BodyError::new(Side::Downstream, "the client left"))).unwrap();
    let error = within(answer.frame()).await.unwrap().unwrap_err();
    assert_eq!(error.side, Side::Downstream);
    assert!(!within(seen.recv()).await.unwrap().ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_stops_sending_runs_out_of_time() {
    let origin = Origin::answering("", Last::Stay).await;
    let timeout = model::PoolTimeout { idle: Duration::from_millis(60), ..Default::default() };
    let scene = Scene::with(origin.address, timeout);
    let (pieces, body) = streamed(None);
    pieces.send(data("hello")).unwrap();
    let error = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::RequestTimeout(_)), "{error}");
    assert_eq!(scene.failures(), 0);
}

#[tokio::test]
async fn a_client_that_sends_a_byte_at_a_time_runs_out_of_time() {
    let origin = Origin::answering("", Last::Stay).await;
    let timeout = model::PoolTimeout { idle: Duration::from_millis(60), ..Default::default() };
    let scene = Scene { least: 1000, ..Scene::with(origin.address, timeout) };
    let (pieces, body) = streamed(None);
    tokio::spawn(async move {
        while pieces.send(data("x")).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let error = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::RequestTimeout(_)), "{error}");
    assert_eq!(scene.failures(), 0);
}

#[tokio::test]
async fn a_backend_that_stops_reading_runs_out_of_time() {
    let origin = Origin::new(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let timeout = model::PoolTimeout { idle: Duration::from_millis(60), ..Default::default() };
    let scene = Scene::with(origin.address, timeout);
    let body = Body::full("x".repeat(64 << 20));
    let error = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::SendTimeout(_)), "{error}");
    assert!(error.error.is_timeout());
    assert_eq!(scene.failures(), 1);
}

/// The head's time is not used up by a long upload: it counts from its end.
#[tokio::test]
async fn a_long_upload_leaves_the_backend_its_time_to_answer() {
    let (origin, mut requests) = listening().await;
    let scene = Scene { head: Duration::from_secs(1), ..Scene::to(origin.address) };
    let (pieces, body) = streamed(None);
    let sender = tokio::spawn(async move {
        for _ in 0..12 {
            pieces.send(data("piece")).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let answer = scene.send(Ask { method: Method::POST, body, ..Ask::default() }).await.unwrap();
    assert_eq!(answer.status, 200);
    sender.await.unwrap();
    assert_eq!(within(requests.recv()).await.unwrap().matches("piece").count(), 12);
}

/// The client's slowness is not the backend's: an upload that began long ago says nothing about the answer's latency.
#[tokio::test]
async fn latency_counts_from_the_end_of_the_upload() {
    let origin = Origin::answering(OK, Last::Stay).await;
    let long = Duration::from_secs(3600);
    for (body, from_its_end) in [(Body::Empty, false), (Body::full("abc"), true), (streamed_whole("abc"), true)] {
        let scene = Scene::to(origin.address);
        let backend = &scene.pool.backends[0];
        let begun = Instant::now().checked_sub(long).unwrap();
        let attempt = Attempt::begin(backend.figures.clone(), begun);
        let connection =
            scene.connections.checkout(backend, &head(), Purpose::Exchange, &scene.pool.timeout).await.unwrap();
        let outgoing = Outgoing {
            method: &Method::POST,
            target: &PathAndQuery::from_static("/"),
            authority: &HeaderValue::from_static("shop.example"),
            headers: &Headers::default(),
        };
        let limits = Limits {
            head: Instant::now() + PATIENCE,
            idle: PATIENCE,
            least: 1,
            end: None,
            tunnel: PATIENCE,
            stall: None,
        };
        within(connection.exchange(outgoing, body, attempt, limits, &|_| {})).await.unwrap();
        let latency = Duration::from_micros(backend.figures.latency_us().into());
        assert_eq!(latency < long, from_its_end, "{latency:?}");
    }
}

fn streamed_whole(text: &'static str) -> Body {
    let (pieces, body) = streamed(None);
    pieces.send(Ok(Frame::data(text.into()))).unwrap();
    body
}
