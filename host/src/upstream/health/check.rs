//! One check of one backend: a TCP connect, or a `GET` on top of it.

use crate::net::{Address, Socket};
use crate::upstream::{
    connect::connect,
    error::{ErrorKind, is_ours},
    h1::{AnswerHead, HeadReader},
};
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

/// What one check may take, from the connect to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Why a backend is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ill {
    pub(super) cause: Cause,
    /// For people.
    pub(super) said: String,
}

/// What ails it, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody listens.
    Refused,
    /// No answer in time.
    Timeout,
    /// An answer that says no, or is none.
    BadAnswer,
    /// No way leads there.
    Unreachable,
    /// This process has no socket left to ask with: that says nothing about the backend.
    Ours,
}

/// Checks an address; says for people how it went.
pub(super) async fn check(address: &Address, path: Option<&str>) -> Result<String, Ill> {
    let begun = Instant::now();
    let stream = connect(address, TIMEOUT).await.map_err(unconnected)?;
    let Some(path) = path else { return Ok(format!("connect {}", milliseconds(begun))) };
    let left = TIMEOUT.saturating_sub(begun.elapsed());
    let ill = |cause, what: &str| Ill { cause, said: format!("GET {path}: {what}") };
    match timeout(left, get(stream, address, path)).await {
        Ok(Ok(head)) if (200..400).contains(&head.status.as_u16()) => {
            Ok(format!("GET {path}: {} in {}", head.status.as_u16(), milliseconds(begun)))
        }
        Ok(Ok(head)) => Err(ill(Cause::BadAnswer, head.status.as_str())),
        Ok(Err(error)) => Err(ill(Cause::BadAnswer, &error)),
        Err(_) => Err(ill(Cause::Timeout, &format!("no answer within {TIMEOUT:?}"))),
    }
}

/// The head of the answer; the connection is not used again, and nobody reads the body.
async fn get(mut stream: Socket, address: &Address, path: &str) -> Result<AnswerHead, String> {
    let broke = |error: io::Error| error.kind().to_string();
    let host = address.tcp().map_or_else(|| address.host(), |address| address.to_string());
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pointsman-health\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    let (mut reader, mut buffer) = (HeadReader::new(false), BytesMut::new());
    loop {
        if stream.read_buf(&mut buffer).await.map_err(broke)? == 0 {
            return Err("closed without an answer".into());
        }
        if let Some(head) = reader.take(&mut buffer).map_err(|bad| format!("bad answer: {bad}"))? {
            return Ok(head);
        }
    }
}

fn unconnected(kind: ErrorKind) -> Ill {
    match kind {
        ErrorKind::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ill { cause: Cause::Refused, said: "connection refused".into() }
        }
        ErrorKind::Connect(error) if is_ours(&error) => {
            Ill { cause: Cause::Ours, said: format!("not checked: {error}") }
        }
        ErrorKind::Connect(error) => Ill { cause: Cause::Unreachable, said: format!("connect: {}", error.kind()) },
        other => Ill { cause: Cause::Timeout, said: other.to_string() },
    }
}

fn milliseconds(begun: Instant) -> String {
    format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn our_own_shortage_is_nobodys_illness() {
        for (errno, cause) in [
            (Errno::MFILE, Cause::Ours),
            (Errno::CONNREFUSED, Cause::Refused),
            (Errno::HOSTUNREACH, Cause::Unreachable),
        ] {
            assert_eq!(unconnected(ErrorKind::Connect(errno.into())).cause, cause, "{errno}");
        }
    }
}
