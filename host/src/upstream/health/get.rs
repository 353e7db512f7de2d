//! A check that asks over HTTP/1.1, and what its answer has to be.

use crate::{
    config::model::HealthGet,
    net::{
        Address, Socket,
        h1::{BadMessage, Decoder, Piece},
    },
    upstream::h1::{AnswerHead, HeadReader},
};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// So much of a body is looked through for the text that it should have.
const BODY_MOST: usize = 64 << 10;

/// Asks, and says for people what came if it is well, or else why it is not. The connection is not used again.
pub(super) async fn get(mut stream: Socket, address: &Address, wanted: &HealthGet) -> Result<String, String> {
    let path = &wanted.path;
    let host = address.tcp().map_or_else(|| address.host(), |address| address.to_string());
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pointsman-health\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    let mut buffer = BytesMut::new();
    let head = head(&mut stream, &mut buffer).await?;
    let status = head.status.as_u16();
    if !wanted.status.iter().any(|range| range.contains(&status)) {
        return Err(status.to_string());
    }
    match &wanted.body {
        Some(text) if !has(&mut stream, buffer, head.decoder, text.as_bytes()).await? => {
            Err(format!("{status} without {text:?} in its body"))
        }
        _ => Ok(status.to_string()),
    }
}

async fn head(stream: &mut Socket, buffer: &mut BytesMut) -> Result<AnswerHead, String> {
    let mut reader = HeadReader::new(false);
    loop {
        if stream.read_buf(buffer).await.map_err(broke)? == 0 {
            return Err("closed without an answer".into());
        }
        if let Some(head) = reader.take(buffer).map_err(bad)? {
            return Ok(head);
        }
    }
}

/// Whether the body has this text in its first [`BODY_MOST`] bytes.
async fn has(stream: &mut Socket, mut buffer: BytesMut, mut decoder: Decoder, text: &[u8]) -> Result<bool, String> {
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
