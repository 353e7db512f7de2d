//! One question of our own, as a health check and a probe have it, beside the exchanges of requests. No task: nothing
//! outlives the answer.

use super::{AnswerHead, HeadReader};
use crate::{
    net::h1::{BadMessage, Decoder, Piece},
    upstream::stream::Stream,
};
use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is asked: to `GET` a path.
#[derive(Debug)]
pub(in crate::upstream) struct Question<'a> {
    pub(in crate::upstream) host: &'a str,
    pub(in crate::upstream) path: &'a str,
    pub(in crate::upstream) agent: &'a str,
    /// Whether more is asked on this connection.
    pub(in crate::upstream) goes_on: bool,
}

/// An answer whose head has come.
#[derive(Debug)]
pub(in crate::upstream) struct Asked {
    pub(in crate::upstream) status: u16,
    stream: Stream,
    buffer: BytesMut,
    decoder: Decoder,
    keep: bool,
    is_whole: bool,
}

/// Asks, and waits for the answer's head. Dropping this future closes the connection. An error is for people.
pub(in crate::upstream) async fn ask(mut stream: Stream, question: Question<'_>) -> Result<Asked, String> {
    let Question { host, path, agent, goes_on } = question;
    let end = if goes_on { "\r\n" } else { "connection: close\r\n\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\n{end}");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut buffer = BytesMut::new();
    let AnswerHead { status, decoder, keep, .. } = head(&mut stream, &mut buffer).await?;
    Ok(Asked { status: status.as_u16(), stream, buffer, decoder, keep: keep && goes_on, is_whole: false })
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

impl Asked {
    /// More of the body; none at its end.
    pub(in crate::upstream) async fn more(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.decoder.decode(&mut self.buffer).map_err(bad)? {
                Piece::Data(data) => return Ok(Some(data)),
                Piece::End | Piece::Trailers(_) => {
                    self.is_whole = true;
                    return Ok(None);
                }
                Piece::Nothing => {
                    if self.stream.read_buf(&mut self.buffer).await.map_err(broke)? == 0 {
                        let whole = matches!(self.decoder, Decoder::UntilClose);
                        return if whole { Ok(None) } else { Err("the answer broke off".into()) };
                    }
                }
            }
        }
    }

    /// The connection, if it may serve again.
    pub(in crate::upstream) fn stream(self) -> Option<Stream> {
        (self.keep && self.is_whole && self.buffer.is_empty()).then_some(self.stream)
    }
}

fn broke(error: io::Error) -> String {
    error.kind().to_string()
}

fn bad(bad: BadMessage) -> String {
    format!("bad answer: {bad}")
}
