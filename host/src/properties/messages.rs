//! HTTP/1.1: the same bytes mean the same however they are cut; what was accepted means the same once it was written again,
//! by the codec of the other side; and it has one end, whatever stands behind it.

use super::pieces::{Unannounced, ways_to_cut};
use crate::{
    net::{
        Body, Headers, Request, Response,
        h1::{
            BadMessage, Decoder, Outbox, Piece, last_chunk, legal_trailers,
            reading::{End, Message, Reading, lines},
        },
    },
    proxy,
    server::{self, read_requests},
    upstream::{self, Outgoing, read_answers},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// Stands behind what was written again: the next message of its connection.
const NEXT_REQUEST: &[u8] = b"GET /next HTTP/1.1\r\nhost: next\r\n\r\n";
const NEXT_ANSWER: &[u8] = b"HTTP/1.1 203 Next\r\ncontent-length: 0\r\n\r\n";

/// What clients send.
pub fn requests(bytes: &[u8]) {
    let whole = outcome(read_requests([bytes]));
    for pieces in ways_to_cut(bytes) {
        assert_eq!(outcome(read_requests(pieces)), whole);
    }
    whole.messages.iter().for_each(request_reads_the_same);
}

/// What backends send.
pub fn answers(bytes: &[u8]) {
    let whole = outcome(read_answers([bytes]));
    for pieces in ways_to_cut(bytes) {
        assert_eq!(outcome(read_answers(pieces)), whole);
    }
    whole.messages.iter().for_each(answer_reads_the_same);
}

/// Bodies in chunks.
pub fn chunks(bytes: &[u8]) {
    let whole = decoded([bytes]);
    for pieces in ways_to_cut(bytes) {
        let cut = decoded(pieces);
        // Why it is none may depend on the cut, that it is none may not.
        assert_eq!(cut.as_ref().ok(), whole.as_ref().ok());
    }
    let Ok(Chunked { data, trailers, rest: Some(rest) }) = whole else { return };
    let (own, _) = bytes.split_at(bytes.len() - rest.len());
    assert_eq!(decoded([&own[..own.len() - 1]]).map(|chunked| chunked.rest), Ok(None), "it ends before its end");
    let alone = Chunked { data, trailers, rest: Some(Bytes::new()) };
    assert_eq!(decoded([own]).as_ref(), Ok(&alone), "its end depends on what follows");
    let mut again = Outbox::default();
    if !alone.data.is_empty() {
        again.chunk(alone.data.clone().into(), alone.trailers.is_empty());
    }
    let mut written = again.drain();
    if alone.data.is_empty() || !alone.trailers.is_empty() {
        last_chunk(&mut written, &alone.trailers);
    }
    assert_eq!(decoded([&written[..]]), Ok(alone), "{}", written.escape_ascii());
}

/// Why something was refused may depend on the cut, that it was may not.
fn outcome(reading: Reading) -> Reading {
    Reading { why: None, ..reading }
}

/// A request that was accepted, through all that looks at it and writes it for a backend.
fn request_reads_the_same(message: &Message) {
    let Some((method, target)) = message.first.split_once(' ') else { panic!("{message:?}") };
    let (method, uri) = (method.parse().expect("a method"), target.parse().expect("a target"));
    let (headers, version) = (listed(&message.headers), Version::HTTP_11);
    let Some(head) = proxy::as_told(Request { method, uri, version, headers, body: Body::Empty }) else { return };
    for body in bodies(message) {
        let request =
            Outgoing { method: &head.method, target: &head.target, authority: &head.authority, headers: &head.headers };
        let written = upstream::written(&request, body);
        let reading = read_requests([&written[..], NEXT_REQUEST]);
        let again = first_of_two(reading, "GET /next", &written);
        assert_eq!(again.first, format!("{} {}", head.method, head.target), "{}", written.escape_ascii());
        assert_eq!(plain(&again.headers, &["host"]), plain(&lines(&head.headers), &[]), "{}", written.escape_ascii());
        let host: Vec<_> = again.headers.iter().filter(|(name, _)| name == "host").collect();
        assert_eq!(host, [&("host".to_owned(), head.authority.as_bytes().to_vec())], "{}", written.escape_ascii());
        assert_eq!(again.body, message.body, "{}", written.escape_ascii());
    }
}

/// An answer that was accepted, through all that looks at it and writes it for a client.
fn answer_reads_the_same(message: &Message) {
    for body in bodies(message) {
        let status = message.first.parse().expect("a status");
        let headers = listed(&message.headers);
        let mut response = Response { headers, ..Response::new(status, body) };
        proxy::as_passed_on(&mut response);
        let headers = lines(&response.headers);
        let written = server::written(response);
        let again = first_of_two(read_answers([&written[..], NEXT_ANSWER]), "203", &written);
        assert_eq!(again.first, message.first, "{}", written.escape_ascii());
        assert_eq!(plain(&again.headers, &["date"]), plain(&headers, &["date"]), "{}", written.escape_ascii());
        assert_eq!(again.body, message.body, "{}", written.escape_ascii());
    }
}

/// The message that was written, where all that follows it is what was put there.
fn first_of_two(reading: Reading, next: &str, written: &[u8]) -> Message {
    let text = written.escape_ascii();
    assert_eq!((reading.end, reading.why), (End::Between, None), "{text}");
    let [first, second] = <[Message; 2]>::try_from(reading.messages).unwrap_or_else(|read| panic!("{read:?}: {text}"));
    assert_eq!(second.first, next, "{text}");
    first
}

/// The message's body as it may come to whoever writes it: with a length that is known, and without one.
fn bodies(message: &Message) -> Vec<Body> {
    let mut trailers = HeaderMap::new();
    for (name, value) in listed(&message.trailers).iter() {
        trailers.append(name.clone(), value.clone());
    }
    assert_eq!(legal_trailers(trailers.clone()), trailers, "a trailer that must not be one was read");
    let mut bodies = vec![Body::full(message.body.clone())];
    if !message.body.is_empty() || !trailers.is_empty() {
        bodies.push(Body::Stream(Box::pin(Unannounced::new(&message.body, trailers))));
    }
    bodies
}

fn listed(fields: &[(String, Vec<u8>)]) -> Headers {
    let field = |(name, value): &(String, Vec<u8>)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_bytes(value).expect("a value"))
    };
    fields.iter().map(field).collect()
}

/// Without what frames a message, which its writer says anew, and without these.
fn plain<'a>(fields: &'a [(String, Vec<u8>)], but: &[&str]) -> Vec<&'a (String, Vec<u8>)> {
    let frames = ["content-length", "transfer-encoding", "te"];
    fields.iter().filter(|(name, _)| !frames.contains(&name.as_str()) && !but.contains(&name.as_str())).collect()
}

/// What was read of a chunked body.
#[derive(Debug, PartialEq, Eq)]
struct Chunked {
    data: Vec<u8>,
    trailers: HeaderMap,
    /// What came behind its end; none: it has not ended.
    rest: Option<Bytes>,
}

fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Chunked, BadMessage> {
    let (mut decoder, mut buffer) = (Decoder::Chunked(Default::default()), BytesMut::new());
    let (mut data, mut trailers, mut complete) = (Vec::new(), HeaderMap::new(), false);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !complete {
            match decoder.decode(&mut buffer)? {
                Piece::Data(bytes) => {
                    assert!(!bytes.is_empty(), "a piece without a byte");
                    data.extend_from_slice(&bytes);
                    complete = decoder.is_complete(&mut buffer);
                }
                Piece::Trailers(fields) => (trailers, complete) = (fields, true),
                Piece::End => complete = true,
                Piece::Nothing => break,
            }
        }
    }
    Ok(Chunked { data, trailers, rest: complete.then(|| buffer.freeze()) })
}
