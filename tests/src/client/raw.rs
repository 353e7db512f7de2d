//! Bytes as they are, to say what no library would say, and to hear exactly what comes back.

use super::tls;
use crate::story::within;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// A connection that speaks bytes.
pub struct Raw {
    stream: Box<dyn Stream>,
    /// Read, and not yet given out.
    buffer: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What came back within the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer, whole or broken off.
    Answer(RawAnswer),
    /// The connection ended before an answer's first byte.
    Closed,
    /// Nothing, and the connection is open.
    Silence,
}

/// An HTTP/1.1 answer as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawAnswer {
    /// Such as 200.
    pub status: u16,
    /// Status line and headers as sent.
    pub head: String,
    /// Without the chunks' framing.
    pub body: Vec<u8>,
    /// Whether it came to its end as its framing tells it; a body that only the connection's end delimits is not.
    pub whole: bool,
}

/// More than any answer of a story.
const ANSWER_MOST: usize = 64 << 20;

impl Raw {
    /// Over TCP.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn plain(address: SocketAddr) -> Raw {
        Raw::try_plain(address).await.expect("connect")
    }

    /// Over TLS.
    ///
    /// # Panics
    /// When nobody listens, or the handshake fails.
    pub async fn tls(address: SocketAddr) -> Raw {
        Raw::try_tls(address).await.expect("handshake")
    }

    /// Over TCP.
    ///
    /// # Errors
    /// What the connect said.
    pub async fn try_plain(address: SocketAddr) -> io::Result<Raw> {
        let stream = within("a connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Raw { stream: Box::new(stream), buffer: Vec::new() })
    }

    /// Over TLS.
    ///
    /// # Errors
    /// What the connect or the handshake said.
    pub async fn try_tls(address: SocketAddr) -> io::Result<Raw> {
        Raw::try_tls_with(address, &tls::Hello::new("shop.test", &["http/1.1"])).await
    }

    /// Over TLS, with this hello.
    ///
    /// # Errors
    /// What the connect or the handshake said.
    pub async fn try_tls_with(address: SocketAddr, hello: &tls::Hello) -> io::Result<Raw> {
        let (stream, _) = tls::handshake_with(address, hello).await?;
        Ok(Raw { stream: Box::new(stream), buffer: Vec::new() })
    }

    /// Sends bytes. A server may close while it is told more than it wants to hear, so this cannot fail.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Says that nothing more will come.
    pub async fn hang_up(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer to a request that may have a body, interim answers (1xx) left out.
    pub async fn hear(&mut self, most: Duration) -> Heard {
        let end = Instant::now() + most;
        loop {
            match self.hear_one(end, false).await {
                Heard::Answer(answer) if answer.whole && (100..200).contains(&answer.status) => {}
                heard => return heard,
            }
        }
    }

    /// The next answer, also an interim one.
    pub async fn hear_interim(&mut self, most: Duration) -> Heard {
        self.hear_one(Instant::now() + most, false).await
    }

    /// The next answer to a request whose answer has no body, whatever its head says: to `HEAD`.
    pub async fn hear_head(&mut self, most: Duration) -> Heard {
        self.hear_one(Instant::now() + most, true).await
    }

    /// The next so many bytes, whatever they are; fewer when the server closes before, or the time is over.
    pub async fn bytes(&mut self, count: usize, most: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What there is of them is given in any case.
        let _ = self.take(count, &mut bytes, Instant::now() + most).await;
        bytes
    }

    /// Whether the server closes within the time, having sent nothing more.
    pub async fn ends(&mut self, most: Duration) -> bool {
        let end = Instant::now() + most;
        self.buffer.is_empty() && matches!(self.more(end).await, Some(0))
    }

    /// Reads until the server closes, and gives all that came.
    ///
    /// # Panics
    /// When it does not close within the time.
    pub async fn drain(&mut self, most: Duration) -> Vec<u8> {
        let end = Instant::now() + most;
        loop {
            match self.more(end).await {
                Some(0) => return std::mem::take(&mut self.buffer),
                Some(_) => {}
                None => panic!("the connection is still open after {most:?}"),
            }
        }
    }

    async fn hear_one(&mut self, end: Instant, bodiless: bool) -> Heard {
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            match self.more(end).await {
                None if self.buffer.is_empty() => return Heard::Silence,
                Some(0) if self.buffer.is_empty() => return Heard::Closed,
                None | Some(0) => return Heard::Answer(self.broken()),
                Some(_) => {}
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        self.buffer.drain(..head_end);
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut answer = RawAnswer { status, head, body: Vec::new(), whole: true };
        let bodiless = bodiless || status < 200 || status == 204 || status == 304;
        if answer.header("transfer-encoding").is_some() && !bodiless {
            answer.whole = self.chunks(&mut answer.body, end).await.is_some();
        } else if let Some(length) = answer.header("content-length").filter(|_| !bodiless) {
            let length = length.parse().expect("a length");
            answer.whole = self.take(length, &mut answer.body, end).await.is_some();
        } else if !bodiless {
            while matches!(self.more(end).await, Some(1..)) {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.whole = false;
        }
        Heard::Answer(answer)
    }

    fn broken(&mut self) -> RawAnswer {
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned();
        RawAnswer { head, ..RawAnswer::default() }
    }

    async fn chunks(&mut self, body: &mut Vec<u8>, end: Instant) -> Option<()> {
        loop {
            let mut size = Vec::new();
            self.take_line(&mut size, end).await?;
            let size = usize::from_str_radix(std::str::from_utf8(&size).ok()?.trim(), 16).ok()?;
            self.take(size, body, end).await?;
            let mut rest = Vec::new();
            self.take_line(&mut rest, end).await?;
            if size == 0 {
                return rest.is_empty().then_some(());
            }
        }
    }

    async fn take_line(&mut self, line: &mut Vec<u8>, end: Instant) -> Option<()> {
        let at = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.more(end).await.filter(|&read| read > 0)?;
        };
        line.extend(self.buffer.drain(..at + 2).take(at));
        Some(())
    }

    /// What is there of it goes to `body`, even when the rest does not come.
    async fn take(&mut self, mut length: usize, body: &mut Vec<u8>, end: Instant) -> Option<()> {
        loop {
            let there = length.min(self.buffer.len());
            body.extend(self.buffer.drain(..there));
            length -= there;
            if length == 0 {
                return Some(());
            }
            self.more(end).await.filter(|&read| read > 0)?;
        }
    }

    /// Reads some more: how much, 0 at the end of the connection, none when the time is over.
    async fn more(&mut self, end: Instant) -> Option<usize> {
        assert!(self.buffer.len() < ANSWER_MOST, "an endless answer");
        match timeout_at(end, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => None,
            Ok(Ok(read)) => Some(read),
            // A reset, or TLS without its goodbye: over, either way.
            Ok(Err(error)) => {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
                Some(0)
            }
        }
    }
}

impl RawAnswer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Heard {
    /// The answer's status; none when there was none.
    pub fn status(&self) -> Option<u16> {
        match self {
            Heard::Answer(answer) => Some(answer.status),
            Heard::Closed | Heard::Silence => None,
        }
    }

    /// The answer.
    ///
    /// # Panics
    /// When there was none.
    pub fn answer(self) -> RawAnswer {
        match self {
            Heard::Answer(answer) => answer,
            other => panic!("an answer was expected: {other:?}"),
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
