//! A check that asks over HTTP, and what its answer has to be.

use crate::{
    config::model::HealthGet,
    net::h1::{BadMessage, Decoder, Piece},
    upstream::{
        Backend,
        h1::{AnswerHead, HeadReader},
        h2,
        stream::Stream,
        transport::Speaks,
    },
};
use bytes::{Bytes, BytesMut};
use http::Method;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// So much of a body is looked through for the text that it should have.
const BODY_MOST: usize = 64 << 10;

/// Asks, and says for people what came if it is well, or else why it is not. The connection is not used again.
pub(super) async fn get(
    stream: Stream,
    speaks: Speaks,
    backend: &Backend,
    wanted: &HealthGet,
) -> Result<String, String> {
    let host = backend.authority();
    match speaks {
        Speaks::Http1 => get_http1(stream, &host, wanted).await,
        Speaks::Http2 => get_http2(stream, &host, wanted).await,
    }
}

async fn get_http2(stream: Stream, host: &str, wanted: &HealthGet) -> Result<String, String> {
    let most = if wanted.body.is_some() { BODY_MOST } else { 0 };
    let question =
        h2::Question { method: Method::GET, path: &wanted.path, headers: &[], body: Bytes::new(), wanted: most };
    let h2::Answered { status, body, .. } = h2::ask(stream, host, question).await.map_err(|error| error.to_string())?;
    let status = status.as_u16();
    match &wanted.body {
        _ if !wanted.status.iter().any(|range| range.contains(&status)) => Err(status.to_string()),
        Some(text) if !body.windows(text.len()).any(|window| window == text.as_bytes()) => Err(without(status, text)),
        _ => Ok(status.to_string()),
    }
}

fn without(status: u16, text: &str) -> String {
    format!("{status} without {text:?} in its body")
}

async fn get_http1(mut stream: Stream, host: &str, wanted: &HealthGet) -> Result<String, String> {
    let path = &wanted.path;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pointsman-health\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut buffer = BytesMut::new();
    let head = head(&mut stream, &mut buffer).await?;
    let status = head.status.as_u16();
    if !wanted.status.iter().any(|range| range.contains(&status)) {
        return Err(status.to_string());
    }
    match &wanted.body {
        Some(text) if !has(&mut stream, buffer, head.decoder, text.as_bytes()).await? => Err(without(status, text)),
        _ => Ok(status.to_string()),
    }
}

async fn head(stream: &mut Stream, buffer: &mut BytesMut) -> Result<AnswerHead, String> {
    let mut reader = HeadReader::new(false);
    loop {
        if stream.read_buf(buffer).await.map_err(broke)? == 0 {
            return Err("closed without an answer".into());
        }
        if let Some(head) = reader.take(buffer, |_| {}).map_err(bad)? {
            return Ok(head);
        }
    }
}

/// Whether the body has this text in its first [`BODY_MOST`] bytes.
async fn has(stream: &mut Stream, mut buffer: BytesMut, mut decoder: Decoder, text: &[u8]) -> Result<bool, String> {
    let mut body = Vec::new();
    loop {
        match decoder.decode(&mut buffer).map_err(bad)? {
            Piece::Data(data) => {
                // Only what is new, and as much before it as the text may begin in.
                let from = body.len().saturating_sub(text.len());
                body.extend_from_slice(&data);
                if body[from..].windows(text.len()).any(|window| window == text) {
                    return Ok(true);
                }
                if body.len() >= BODY_MOST {
                    return Ok(false);
                }
            }
            Piece::End | Piece::Trailers(_) => return Ok(false),
            Piece::Nothing => {
                if stream.read_buf(&mut buffer).await.map_err(broke)? == 0 {
                    let whole = matches!(decoder, Decoder::UntilClose);
                    return if whole { Ok(false) } else { Err("the answer broke off".into()) };
                }
            }
        }
    }
}

fn broke(error: io::Error) -> String {
    error.kind().to_string()
}

fn bad(bad: BadMessage) -> String {
    format!("bad answer: {bad}")
}
