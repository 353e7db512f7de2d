//! Heads that are read, and what is none.

use super::*;
use crate::net::h1::{
    OPTIONS_MOST,
    testing::{first, scraps},
};
use proptest::prelude::*;

/// The first head in these pieces, with what was left over.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<(Head, BytesMut)>, Refusal> {
    let mut reader = HeadReader::new(HeadLimit::default());
    first(pieces, |buffer| reader.take(buffer))
}

fn head(text: &str) -> Result<Head, Refusal> {
    read([text.as_bytes()]).map(|read| read.expect("a whole head").0)
}

/// A request with these lines behind a fine request line and host.
fn with(lines: &str) -> Result<Head, Refusal> {
    head(&format!("POST /a?b HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n"))
}

#[test]
fn a_head_is_taken_whole_and_the_rest_stays() {
    let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: shop\r\nX-A:  \t 1 \r\nx-a: 2\r\n\r\nGET /next";
    for piece in 1..=bytes.len() {
        let (head, rest) = read(bytes.chunks(piece)).unwrap().unwrap();
        assert_eq!(head.request.uri, "/a?b=c");
        assert_eq!(head.request.headers.named("host").unwrap(), "shop");
        let twice: Vec<_> =
            head.request.headers.iter().filter(|(name, _)| *name == "x-a").map(|(_, value)| value).collect();
        assert_eq!(twice, ["1", "2"]);
        assert!(head.keep && !head.expects && matches!(head.body, Decoder::Exact(0)));
        assert_eq!(&rest[..], b"GET /next");
    }
}

#[test]
fn cases_1_to_5_lengths_are_beyond_doubt() {
    assert_eq!(
        with("transfer-encoding: chunked\r\ncontent-length: 5").unwrap_err(),
        BadMessage::LengthAndEncoding.into()
    );
    assert_eq!(
        with("content-length: 5\r\ntransfer-encoding: chunked").unwrap_err(),
        BadMessage::LengthAndEncoding.into()
    );
    for length in ["5\r\ncontent-length: 6", "5, 6", "5, 5", "+5", "-5", "0x5", "5_0", "", "18446744073709551616"] {
        let refusal = with(&format!("content-length: {length}")).unwrap_err();
        assert_eq!(refusal, BadMessage::ContentLength.into(), "{length}");
    }
    assert!(matches!(with("content-length: 5\r\ncontent-length: 5").unwrap().body, Decoder::Exact(5)));
}

#[test]
fn cases_6_to_12_transfer_coding_is_chunked_or_refused() {
    for coding in [
        "xchunked",
        "\"chunked\"",
        "chunked, identity",
        "identity, chunked",
        "chunked\r\ntransfer-encoding: chunked",
        "gzip, chunked",
        "chunked,",
        "",
    ] {
        let refusal = with(&format!("transfer-encoding: {coding}")).unwrap_err();
        assert_eq!(refusal, BadMessage::TransferEncoding.into(), "{coding}");
    }
    assert!(matches!(with("Transfer-Encoding: Chunked").unwrap().body, Decoder::Chunked(_)));
    assert!(with("transfer-encoding: chunked").unwrap().request.headers.named("transfer-encoding").is_none());
    assert_eq!(
        head("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err(),
        BadMessage::TransferEncoding.into()
    );
}

#[test]
fn cases_13_to_20_lines_are_beyond_doubt() {
    assert_eq!(with("a: b\nc: d").unwrap_err(), BadMessage::BareLineFeed.into());
    for line in [
        "a: b\rc",
        "a: b\0",
        "a\0: b",
        "a: \x01",
        "a: \x7f",
        "a: b\r\n c",
        "a: b\r\n\tc",
        "a : b",
        "a\t: b",
        ": b",
        "a",
        "a\"b: c",
        "(a): b",
    ] {
        assert_eq!(with(line).unwrap_err(), BadMessage::Malformed.into(), "{}", line.escape_debug());
    }
    assert_eq!(
        head("GET / HTTP/1.1\r\n host: a\r\n\r\n").unwrap_err(),
        BadMessage::Malformed.into(),
        "the first line is folded"
    );
}

#[test]
fn cases_24_to_26_the_request_line_is_beyond_doubt() {
    for line in [
        "GET /a b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.10",
        "GET / http/1.1",
        "GET / HTTP/2.0",
        "GET /",
        "GET / ",
        "G@T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /\0 HTTP/1.1",
    ] {
        let refusal = head(&format!("{line}\r\nhost: a\r\n\r\n")).unwrap_err();
        assert!(matches!(refusal, Refusal::Bad(_)), "{line}");
    }
}

#[test]
fn cases_40_and_41_other_protocols_get_no_answer() {
    assert_eq!(read([&b"\x16\x03\x01"[..]]).unwrap_err(), Refusal::Foreign);
    assert_eq!(read([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]]).unwrap_err(), Refusal::Http2);
    // And what is no protocol at all is not waited for, nor what has no more to come.
    assert_eq!(read([&b"GET /own\r\n"[..]]).unwrap_err(), BadMessage::RequestLine.into());
    assert_eq!(read([&b"\0\0\0"[..]]).unwrap_err(), BadMessage::RequestLine.into());
}

#[test]
fn one_empty_line_before_a_head_is_read_over() {
    assert!(head("\r\nGET / HTTP/1.1\r\n\r\n").is_ok());
    assert!(head("\r\n\r\nGET / HTTP/1.1\r\n\r\n").is_err());
    assert!(read(b"\r\nGET / HTTP/1.1\r\n\r\n".chunks(1)).unwrap().is_some());
}

#[test]
fn who_keeps_the_connection() {
    for (text, keep) in [
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nconnection: x, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nconnection: keep-alive, close\r\n\r\n", false),
    ] {
        assert_eq!(head(text).unwrap().keep, keep, "{text}");
    }
}

#[test]
fn case_38_a_head_has_limits() {
    let limit = HeadLimit::default();
    let long = format!("GET / HTTP/1.1\r\nx-a: {}", "a".repeat(limit.head));
    assert_eq!(read([long.as_bytes()]).unwrap_err(), BadMessage::HeadTooLarge.into());
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(limit.headers + 1));
    assert_eq!(head(&many).unwrap_err(), BadMessage::TooManyFields.into());
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(limit.target));
    assert_eq!(head(&path).unwrap_err(), BadMessage::TargetTooLong.into());
    let endless = format!("GET /{}", "a".repeat(limit.head));
    assert_eq!(read([endless.as_bytes()]).unwrap_err(), BadMessage::TargetTooLong.into());
    // Each option is looked for among all headers.
    let options = format!("connection: {}", "a,".repeat(OPTIONS_MOST));
    assert_eq!(with(&options).unwrap_err(), BadMessage::TooManyOptions.into());
    // A method is looked at with each piece that comes.
    assert_eq!(read([&b"~"[..]; METHOD_MOST + 1]).unwrap_err(), BadMessage::RequestLine.into());
}

const FIRST_LINES: &[&str] =
    &["GET / HTTP/1.1\r\n", "POST /a HTTP/1.0\r\n", "GET http://a/ HTTP/1.1\r\n", "host: a\r\n"];

proptest! {
    #[test]
    fn a_head_reads_the_same_however_it_is_cut(bytes in scraps(FIRST_LINES, 10), piece in 1_usize..40) {
        let seen = |read: Result<Option<(Head, BytesMut)>, Refusal>| {
            read.map(|read| read.map(|(head, rest)| (format!("{head:?}"), rest)))
        };
        let (cut, whole) = (seen(read(bytes.chunks(piece))), seen(read([&bytes[..]])));
        // Cut off in the middle, what is wrong may come to light sooner or later, but nothing becomes right.
        prop_assert_eq!(cut.ok().flatten(), whole.ok().flatten());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, begin: bool) {
        let begin = if begin { &b"GET / HTTP/1.1\r\n"[..] } else { b"" };
        let _ = read([begin, &bytes, b"\r\n\r\n"]);
    }
}
