//! A check that asks over HTTP, and what its answer has to be.

use super::AGENT;
use crate::{
    config::model::HealthGet,
    upstream::{Backend, h1, h2, stream::Stream, transport::Speaks},
};
use bytes::Bytes;
use http::Method;

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
    let (method, path, body) = (Method::GET, &*wanted.path, Bytes::new());
    let question = h2::Question { method, path, agent: AGENT, headers: &[], body, wanted: most };
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

async fn get_http1(stream: Stream, host: &str, wanted: &HealthGet) -> Result<String, String> {
    let question = h1::Question { host, path: &wanted.path, agent: AGENT, goes_on: false };
    let asked = h1::ask(stream, question).await?;
    let status = asked.status;
    if !wanted.status.iter().any(|range| range.contains(&status)) {
        return Err(status.to_string());
    }
    match &wanted.body {
        Some(text) if !has(asked, text.as_bytes()).await? => Err(without(status, text)),
        _ => Ok(status.to_string()),
    }
}

/// Whether the body has this text in its first [`BODY_MOST`] bytes.
async fn has(mut asked: h1::Asked, text: &[u8]) -> Result<bool, String> {
    let mut body = Vec::new();
    while let Some(data) = asked.more().await? {
        // Only what is new, and as much before it as the text may begin in.
        let from = body.len().saturating_sub(text.len());
        body.extend_from_slice(&data);
        if body[from..].windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        if body.len() >= BODY_MOST {
            break;
        }
    }
    Ok(false)
}
