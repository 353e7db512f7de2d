//! Answers of backends, by the number of the case: what is refused, what breaks off, and what may be reused after it.

use super::*;
use crate::{net::h1::BadMessage, upstream::ErrorKind};

/// What shall come of an answer.
enum Want {
    /// No answer: it is bad.
    Bad(BadMessage),
    /// No answer: the connection ended first.
    Closed,
    /// A status and a body, complete.
    Whole(u16, &'static str),
    /// A status and a body that breaks off behind this.
    Broken(u16, &'static str),
}

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    last: Last,
    want: Want,
    /// Whether the connection may serve again.
    reuse: bool,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, last: Last, want: Want) -> Case {
    Case { name, bytes: bytes.into(), last, want, reuse: false }
}

/// A complete answer on a connection that may serve again.
fn good(name: &'static str, bytes: impl Into<Vec<u8>>, want: Want) -> Case {
    Case { name, bytes: bytes.into(), last: Last::Stay, want, reuse: true }
}

/// Each case twice on one worker: the second request must fare like the first, over the same connection or a new one.
async fn check(cases: Vec<Case>) {
    for case in cases {
        let name = case.name;
        let origin = Origin::answering(case.bytes, case.last).await;
        let scene = Scene::to(origin.address);
        for _ in 0..2 {
            match (&case.want, scene.ask(Method::GET).await) {
                (Want::Bad(bad), Err(error)) => {
                    assert!(matches!(error.error.kind, ErrorKind::BadAnswer(b) if b == *bad), "{name}: {error}");
                    assert!(error.answered, "{name}");
                }
                (Want::Closed, Err(error)) => {
                    assert!(matches!(error.error.kind, ErrorKind::Closed | ErrorKind::Broken(_)), "{name}: {error}");
                }
                (Want::Whole(status, body), Ok(answer)) => {
                    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (*status, *body), "{name}");
                    assert_eq!(answer.broken, None, "{name}");
                }
                (Want::Broken(status, body), Ok(answer)) => {
                    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (*status, *body), "{name}");
                    assert!(answer.broken.is_some(), "{name} looks complete");
                }
                (_, outcome) => panic!("{name}: {outcome:?}"),
            }
            assert_eq!(scene.in_flight(), 0, "{name}");
        }
        assert_eq!(origin.accepted(), if case.reuse { 1 } else { 2 }, "{name}: connections");
    }
}

#[tokio::test]
async fn ordinary_answers() {
    use Want::Whole;
    check(vec![
        good("length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Whole(200, "ok")),
        good("empty", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Whole(200, "")),
        good("no reason", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", Whole(200, "ok")),
        good(
            "length said twice",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            Whole(200, "ok"),
        ),
        good(
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n",
            Whole(200, "ok!"),
        ),
        good("no chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", Whole(200, "")),
        good("odd status", "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok", Whole(999, "ok")),
        case("http/1.0", "HTTP/1.0 200 OK\r\n\r\nok", Last::Close, Whole(200, "ok")),
        case("http/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Last::Stay, Whole(200, "ok")),
        case("close-delimited", "HTTP/1.1 200 OK\r\n\r\nok", Last::Close, Whole(200, "ok")),
        case(
            "last one",
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
            Last::Stay,
            Whole(200, "ok"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn case_47_what_is_no_answer_is_refused() {
    use BadMessage::*;
    use Want::{Bad, Closed};
    let stay = Last::Stay;
    let big = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Big: {}\r\n\r\nok", "a".repeat(1_000_000));
    let many = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok", "X-1: y\r\n".repeat(3000));
    check(vec![
        case("garbage", "BANANA nonsense\r\n\r\n", stay, Bad(NotHttp)),
        case("another protocol's greeting", "SSH-2.0-OpenSSH_9.2\r\n", stay, Bad(NotHttp)),
        case("empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(NotHttp)),
        case("status 2x0", "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Status)),
        case("status 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Status)),
        case("status 2000", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Status)),
        case("http/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(NotHttp)),
        case("http/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", stay, Bad(NotHttp)),
        case(
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok",
            stay,
            Bad(ContentLength),
        ),
        case("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", stay, Bad(ContentLength)),
        case("signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", stay, Bad(ContentLength)),
        case("list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", stay, Bad(ContentLength)),
        case("empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", stay, Bad(ContentLength)),
        case("hex length", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", stay, Bad(ContentLength)),
        case(
            "length past 64 bits",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
            stay,
            Bad(ContentLength),
        ),
        case("nul in a header", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Malformed)),
        case(
            "bare CR in a header",
            "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok",
            stay,
            Bad(Malformed),
        ),
        case("DEL in a header", "HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Malformed)),
        case("obs-fold", "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Malformed)),
        case("space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", stay, Bad(Malformed)),
        case("no colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Malformed)),
        case("empty name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok", stay, Bad(Malformed)),
        case("bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", stay, Bad(BareLineFeed)),
        case("one bare LF", "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 2\r\n\r\nok", stay, Bad(BareLineFeed)),
        case("1 MB header", big, stay, Bad(HeadTooLarge)),
        case("3000 headers", many, stay, Bad(TooManyFields)),
        case(
            "101 unasked",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            stay,
            Bad(SwitchedProtocols),
        ),
        case("early close", "", Last::Close, Closed),
        case("half a head", "HTTP/1.1 200 OK\r\nContent-", Last::Close, Closed),
        case("half a head, reset", "HTTP/1.1 200 OK\r\nContent-", Last::Reset, Closed),
    ])
    .await;
}

#[tokio::test]
async fn case_48_an_ambiguous_end_is_refused() {
    use BadMessage::*;
    use Want::Bad;
    let stay = Last::Stay;
    let te = |coding: &str| format!("HTTP/1.1 200 OK\r\n{coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    check(vec![
        case("te+cl", te("Transfer-Encoding: chunked\r\nContent-Length: 2"), stay, Bad(LengthAndEncoding)),
        case("cl+te", te("Content-Length: 2\r\nTransfer-Encoding: chunked"), stay, Bad(LengthAndEncoding)),
        case("unknown coding", te("Transfer-Encoding: xchunked"), stay, Bad(TransferEncoding)),
        case("identity", te("Transfer-Encoding: identity"), stay, Bad(TransferEncoding)),
        case("gzip, chunked", te("Transfer-Encoding: gzip, chunked"), stay, Bad(TransferEncoding)),
        case("chunked not last", te("Transfer-Encoding: chunked, identity"), stay, Bad(TransferEncoding)),
        case(
            "chunked twice",
            te("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            stay,
            Bad(TransferEncoding),
        ),
        case("quoted", te("Transfer-Encoding: \"chunked\""), stay, Bad(TransferEncoding)),
        case("vertical tab", te("Transfer-Encoding: \x0bchunked"), stay, Bad(Malformed)),
        case("empty", te("Transfer-Encoding:"), stay, Bad(TransferEncoding)),
        case(
            "http/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            stay,
            Bad(TransferEncoding),
        ),
    ])
    .await;
}

#[tokio::test]
async fn case_49_a_truncated_answer_never_looks_complete() {
    use Want::Broken;
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort";
    check(vec![
        case("by length", short, Last::Close, Broken(200, "short")),
        case("half-close", short, Last::HalfClose, Broken(200, "short")),
        case("no byte of it", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Last::Close, Broken(200, "")),
        case("before the last chunk", chunked("5\r\nhello\r\n"), Last::Close, Broken(200, "hello")),
        case("in a chunk", chunked("5\r\nhel"), Last::Close, Broken(200, "hel")),
        case("in the last line", chunked("5\r\nhello\r\n0\r\n"), Last::Close, Broken(200, "hello")),
        case("in the trailers", chunked("5\r\nhello\r\n0\r\nx-a: b\r\n"), Last::Close, Broken(200, "hello")),
        case("bad size", chunked("ZZ\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("0x size", chunked("0x5\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("signed size", chunked("+5\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("no size", chunked("\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("size past 64 bits", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("space before the size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("space behind the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("bare LF behind the size", chunked("5\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("bare LF in an extension", chunked("5;a\nhello\r\n0\r\n\r\n"), Last::Stay, Broken(200, "")),
        case("bare LF behind the data", chunked("5\r\nhello\n0\r\n\r\n"), Last::Stay, Broken(200, "hello")),
        case("more data than said", chunked("5\r\nhello!\r\n0\r\n\r\n"), Last::Stay, Broken(200, "hello")),
        case("control in a trailer", chunked("5\r\nhello\r\n0\r\nx-a: \x01\r\n\r\n"), Last::Stay, Broken(200, "hello")),
        case(
            "huge extension",
            chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000))),
            Last::Stay,
            Broken(200, ""),
        ),
        case(
            "huge trailers",
            chunked(&format!("5\r\nhello\r\n0\r\nx-a: {}", "x".repeat(20_000))),
            Last::Stay,
            Broken(200, "hello"),
        ),
    ])
    .await;
}

/// The bytes that came before the reset may be lost with it.
#[tokio::test]
async fn case_49_a_reset_never_looks_complete() {
    let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(5000));
    let origin = Origin::answering(bytes, Last::Reset).await;
    match Scene::to(origin.address).ask(Method::GET).await {
        Ok(answer) => assert!(answer.broken.is_some()),
        Err(error) => assert!(matches!(error.error.kind, ErrorKind::Broken(_) | ErrorKind::Closed), "{error}"),
    }
}

#[tokio::test]
async fn case_50_bytes_after_the_answer_are_for_nobody() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 POISON\r\n\r\n";
    check(vec![
        case("extra data", bytes, Last::Stay, Want::Whole(200, "ok")),
        case("extra data after chunks", chunked, Last::Stay, Want::Whole(200, "ok")),
    ])
    .await;
}

#[tokio::test]
async fn case_51_no_body_where_none_can_be() {
    use Want::Whole;
    check(vec![
        good("204", "HTTP/1.1 204 No Content\r\n\r\n", Whole(204, "")),
        good("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Whole(304, "")),
        case(
            "204 with a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            Last::Stay,
            Whole(204, ""),
        ),
        case(
            "204 that announces one",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            Last::Stay,
            Whole(204, ""),
        ),
        case(
            "204 in chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            Last::Stay,
            Whole(204, ""),
        ),
        case(
            "304 with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
            Last::Stay,
            Whole(304, ""),
        ),
    ])
    .await;

    for (name, bytes, connections) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1),
        ("no length", "HTTP/1.1 200 OK\r\n\r\n", 1),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1),
        ("a body all the same", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 2),
    ] {
        let origin = Origin::answering(bytes, Last::Stay).await;
        let scene = Scene::to(origin.address);
        for _ in 0..2 {
            let answer = scene.ask(Method::HEAD).await.unwrap();
            assert_eq!((answer.body.as_str(), answer.broken), ("", None), "HEAD, {name}");
            assert_eq!(
                answer.headers.contains_key("content-length"),
                name != "no length" && name != "chunked",
                "{name}"
            );
        }
        assert_eq!(origin.accepted(), connections, "HEAD, {name}");
    }
}

#[tokio::test]
async fn case_52_interim_answers_are_bounded() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5000);
    check(vec![
        good("103", format!("{hint}{answer}"), Want::Whole(200, "ok")),
        good("16 of them", format!("{}{answer}", hint.repeat(16)), Want::Whole(200, "ok")),
        case("17 of them", format!("{}{answer}", hint.repeat(17)), Last::Stay, Want::Bad(BadMessage::TooManyInterims)),
        case("5000 of them", format!("{flood}{answer}"), Last::Stay, Want::Bad(BadMessage::TooManyInterims)),
    ])
    .await;
}

#[tokio::test]
async fn case_53_a_hanging_backend_ends_in_a_timeout() {
    let origin = Origin::answering("", Last::Stay).await;
    let scene = Scene { head: Duration::from_millis(50), ..Scene::to(origin.address) };
    let error = scene.ask(Method::GET).await.unwrap_err();
    assert!(matches!(error.error.kind, ErrorKind::HeadTimeout), "{error}");
    assert!(error.error.is_timeout() && error.error.sent && !error.answered);
    assert_eq!((scene.failures(), scene.in_flight()), (1, 0));
}

#[tokio::test]
async fn case_53_a_backend_that_falls_silent_ends_in_a_broken_body() {
    let idle = Duration::from_millis(50);
    for bytes in ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 200 OK\r\n\r\nhalf"] {
        let origin = Origin::answering(bytes, Last::Stay).await;
        let scene = Scene::with(origin.address, model::PoolTimeout { idle, ..Default::default() });
        let answer = scene.ask(Method::GET).await.unwrap();
        assert_eq!(answer.body, "half");
        assert_eq!(answer.broken.unwrap(), "the backend fell silent in the middle of its answer");
    }
}

#[tokio::test]
async fn case_53_a_trickling_backend_has_until_the_total_timeout() {
    let origin = Origin::new(|mut stream, _| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let timeout = model::PoolTimeout { idle: Duration::from_secs(10), ..Default::default() };
    let scene = Scene { total: Some(Duration::from_millis(500)), ..Scene::with(origin.address, timeout) };
    let answer = scene.ask(Method::GET).await.unwrap();
    assert!(!answer.body.is_empty());
    assert_eq!(answer.broken.unwrap(), "the answer took longer than the pool's total timeout");
}

/// Every answer of a list, cut at every byte: the outcome does not depend on how it comes.
#[tokio::test]
async fn answers_in_two_pieces_at_every_split() {
    for bytes in [
        &b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\nx-sum: 7\r\n\r\n",
    ] {
        let origin = Origin::new(move |mut stream, _| async move {
            for at in 1..bytes.len() {
                read_request(&mut stream).await.unwrap();
                let (one, two) = bytes.split_at(at);
                stream.set_nodelay(true).unwrap();
                stream.write_all(one).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(two).await.unwrap();
            }
        })
        .await;
        let scene = Scene::to(origin.address);
        for at in 1..bytes.len() {
            let answer = scene.ask(Method::GET).await.unwrap();
            assert_eq!((answer.body.as_str(), answer.broken), ("hello", None), "split at {at}");
            assert_eq!(answer.trailers.contains_key("x-sum"), bytes.ends_with(b"7\r\n\r\n"), "split at {at}");
        }
        assert_eq!(origin.accepted(), 1);
    }
}

#[tokio::test]
async fn trailers_come_through_where_they_are_legal() {
    let bytes =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n";
    let origin = Origin::answering(bytes, Last::Stay).await;
    let scene = Scene::to(origin.address);
    for _ in 0..2 {
        let answer = scene.ask(Method::GET).await.unwrap();
        assert_eq!((answer.body.as_str(), answer.broken), ("ok", None));
        assert_eq!(answer.trailers.len(), 1);
        assert_eq!(answer.trailers["x-sum"], "7");
        assert!(!answer.headers.contains_key("transfer-encoding"));
    }
    assert_eq!(origin.accepted(), 1);
}

#[tokio::test]
async fn a_large_answer_comes_through_whole() {
    let body = "0123456789abcdef".repeat(100_000);
    let origin =
        Origin::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()), Last::Stay).await;
    let scene = Scene::to(origin.address);
    for _ in 0..3 {
        let answer = scene.ask(Method::GET).await.unwrap();
        assert!(answer.body == body && answer.broken.is_none());
    }
    assert_eq!(origin.accepted(), 1);
}
