//! A check in gRPC's own protocol for it: `grpc.health.v1.Health/Check` says of a service, or of the whole server, whether it
//! is serving. The two messages have one field each, so no library is needed to read them.

use super::AGENT;
use crate::upstream::{
    Backend,
    h2::{Answered, Question, ask},
    stream::Stream,
    transport::Speaks,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

const PATH: &str = "/grpc.health.v1.Health/Check";
const HEADERS: &[(HeaderName, &str)] = &[(header::CONTENT_TYPE, "application/grpc"), (header::TE, "trailers")];
static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Of an answer, which is a few bytes.
const ANSWER_MOST: usize = 1 << 10;
/// Of a backend's own words that are shown.
const WORDS_MOST: usize = 200;

/// Asks whether this service is serving, and says for people what came if it is, or else why not. The connection is not used
/// again.
pub(super) async fn serving(
    stream: Stream,
    speaks: Speaks,
    backend: &Backend,
    service: &str,
) -> Result<String, String> {
    if speaks == Speaks::Http1 {
        return Err("gRPC needs HTTP/2, and the backend agreed on HTTP/1.1".into());
    }
    let body = request(service);
    let question =
        Question { method: Method::POST, path: PATH, agent: AGENT, headers: HEADERS, body, wanted: ANSWER_MOST };
    let answered = ask(stream, &backend.authority(), question).await.map_err(|error| error.to_string())?;
    verdict(&answered)
}

/// A `HealthCheckRequest` with what frames a message of gRPC. Its one field is left out where it is empty, as it is written
/// by others.
fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(FIELD_1_TEXT);
        varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

const FIELD_1_TEXT: u8 = 1 << 3 | 2;
const FIELD_1_NUMBER: u8 = 1 << 3;

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn verdict(answered: &Answered) -> Result<String, String> {
    if answered.status != StatusCode::OK {
        return Err(format!("HTTP status {}, which is no answer in gRPC", answered.status.as_u16()));
    }
    // Where there is nothing else to say, it stands in the head.
    let told = if answered.trailers.contains_key(&STATUS) { &answered.trailers } else { &answered.headers };
    let code = told.get(&STATUS).ok_or("an answer without a grpc-status")?.to_str().unwrap_or("?");
    match code {
        "0" => serving_status(&answered.body),
        "5" => Err(with_words("NOT_FOUND: it knows no such service", told)),
        "12" => Err(with_words("UNIMPLEMENTED: it has no health service (grpc.health.v1.Health)", told)),
        _ => Err(with_words(&format!("grpc-status {code}"), told)),
    }
}

/// What the backend says of it itself.
fn with_words(what: &str, told: &HeaderMap) -> String {
    match told.get(&MESSAGE).and_then(|words| words.to_str().ok()) {
        Some(words) if !words.is_empty() => format!("{what} ({})", words.get(..WORDS_MOST).unwrap_or(words)),
        _ => what.into(),
    }
}

/// Of a framed `HealthCheckResponse`.
fn serving_status(framed: &[u8]) -> Result<String, String> {
    let status = match framed {
        [0, _, _, _, _] => 0,
        [0, _, _, _, _, FIELD_1_NUMBER, status, ..] => *status,
        _ => return Err("an answer that is no HealthCheckResponse".into()),
    };
    match status {
        0 => Err("UNKNOWN".into()),
        1 => Ok("SERVING".into()),
        2 => Err("NOT_SERVING".into()),
        3 => Err("SERVICE_UNKNOWN".into()),
        other => Err(format!("status {other}, which is none of gRPC's health protocol")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn requests_are_framed_as_others_write_them() {
        assert_eq!(request(""), &[0, 0, 0, 0, 0][..]);
        assert_eq!(request("a.B"), &b"\0\0\0\0\x05\x0a\x03a.B"[..]);
        assert_eq!(request(&"x".repeat(300))[..8], b"\0\0\0\x01\x2f\x0a\xac\x02"[..]);
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_serving_is_well_and_the_rest_says_why() {
        let ok: &[_] = &[("grpc-status", "0")];
        for (status, head, body, trailers, said) in [
            (200, &[][..], &b"\0\0\0\0\x02\x08\x01"[..], ok, Ok("SERVING")),
            (200, &[], b"\0\0\0\0\x02\x08\x02", ok, Err("NOT_SERVING")),
            (200, &[], b"\0\0\0\0\0", ok, Err("UNKNOWN")),
            (200, &[], b"\0\0\0\0\x02\x08\x03", ok, Err("SERVICE_UNKNOWN")),
            (200, &[], b"\0\0\0\0\x02\x08\x07", ok, Err("status 7, which is none of gRPC's health protocol")),
            (200, &[], b"\x01\0\0\0\x02\x08\x01", ok, Err("an answer that is no HealthCheckResponse")),
            (200, &[], b"", ok, Err("an answer that is no HealthCheckResponse")),
            (200, &[], b"\0\0\0\0\x02\x08\x01", &[], Err("an answer without a grpc-status")),
            (200, ok, b"", &[], Err("an answer that is no HealthCheckResponse")),
            (
                200,
                &[("grpc-status", "12"), ("grpc-message", "Method not found!")],
                b"",
                &[],
                Err("UNIMPLEMENTED: it has no health service (grpc.health.v1.Health) (Method not found!)"),
            ),
            (200, &[("grpc-status", "5")], b"", &[], Err("NOT_FOUND: it knows no such service")),
            (200, &[], b"", &[("grpc-status", "14"), ("grpc-message", "soon")], Err("grpc-status 14 (soon)")),
            (404, &[], b"not here", &[], Err("HTTP status 404, which is no answer in gRPC")),
        ] {
            let answered = Answered {
                status: StatusCode::from_u16(status).unwrap(),
                headers: fields(head),
                body: body.into(),
                trailers: fields(trailers),
            };
            assert_eq!(verdict(&answered), said.map(Into::into).map_err(Into::into));
        }
    }
}
