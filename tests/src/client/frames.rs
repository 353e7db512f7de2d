//! HTTP/2 in frames, to say what no library would say.

use super::{Hello, tls};
use crate::story::{PATIENCE, within};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// A connection that speaks frames; its preface and settings are sent.
pub struct Frames {
    stream: Box<dyn Bytes>,
    buffer: Vec<u8>,
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Bytes for S {}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Headers, with this status.
    Answered(u16),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// `GOAWAY` with this code, or the end of the connection.
    Gone(Option<u32>),
}

/// A frame that came.
struct Heard {
    kind: u8,
    flags: u8,
    /// The stream; 0: the connection.
    of: u32,
    payload: Vec<u8>,
}

/// What nearly every stream begins with.
pub const PSEUDO: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "https"), (":path", "/own"), (":authority", "shop.test")];

/// The code of a malformed message.
pub const PROTOCOL_ERROR: u32 = 1;
/// The code of a stream that nobody needs any more.
pub const CANCEL: u32 = 8;
/// The code for a client that sends too much of something.
pub const ENHANCE_YOUR_CALM: u32 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frames {
    /// Connects, and sends the preface.
    ///
    /// # Panics
    /// When the server does not speak HTTP/2.
    pub async fn connect(address: SocketAddr) -> Frames {
        let hello = Hello::new("shop.test", &["h2"]);
        let (stream, agreed) = tls::handshake_with(address, &hello).await.expect("handshake");
        assert_eq!(agreed.alpn.as_deref(), Some("h2"));
        Frames::begin(Box::new(stream)).await
    }

    /// Connects without TLS, and sends the preface.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn plain(address: SocketAddr) -> Frames {
        let mut frames = Frames::silent(address).await;
        frames.say(&opening()).await;
        frames
    }

    /// Connects without TLS, and says nothing yet.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn silent(address: SocketAddr) -> Frames {
        let stream = within("a connect", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("a connection");
        Frames { stream: Box::new(stream), buffer: Vec::new() }
    }

    async fn begin(stream: Box<dyn Bytes>) -> Frames {
        let mut frames = Frames { stream, buffer: Vec::new() };
        frames.say(&opening()).await;
        frames
    }

    /// Sends these bytes, which hold frames, and reads meanwhile, for who is answered and does not read is not listened to.
    /// With what the server ends the connection; none: it does not.
    pub async fn flood(&mut self, bytes: &[u8], most: Duration) -> Option<StreamEnd> {
        let end = Instant::now() + most;
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let buffer = &mut self.buffer;
        let write = async {
            // A server that has had enough closes.
            let _ = writing.write_all(bytes).await;
            let _ = writing.flush().await;
            std::future::pending::<()>().await;
        };
        let read = async { while reading.read_buf(buffer).await.unwrap_or(0) > 0 {} };
        let is_closed = tokio::select! {
            () = write => false,
            read = timeout_at(end, read) => read.is_ok(),
        };
        while let Some((kind, .., payload)) = self.take() {
            if kind == GOAWAY {
                return Some(StreamEnd::Gone(Some(number(&payload[4..8]))));
            }
        }
        is_closed.then_some(StreamEnd::Gone(None))
    }

    /// Sends a head: fields as they are, each as a literal.
    pub async fn head(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) {
        self.say(&head(stream, fields, ends)).await;
    }

    /// Sends a piece of a body.
    pub async fn data(&mut self, stream: u32, bytes: &[u8], ends: bool) {
        self.frame(DATA, if ends { END_STREAM } else { 0 }, stream, bytes).await;
    }

    /// Resets a stream with this code.
    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Waits for what comes of a stream.
    ///
    /// # Panics
    /// When nothing comes within the time.
    pub async fn end_of(&mut self, stream: u32, most: Duration) -> StreamEnd {
        let end = Instant::now() + most;
        loop {
            let Some(Heard { kind, of, payload, .. }) = self.hear(end).await else { return StreamEnd::Gone(None) };
            match kind {
                GOAWAY => return StreamEnd::Gone(Some(number(&payload[4..8]))),
                RST_STREAM if of == stream => return StreamEnd::Reset(number(&payload)),
                HEADERS if of == stream => return StreamEnd::Answered(status(&payload)),
                _ => {}
            }
        }
    }

    /// Reads what a stream sends until there is as much, or it ends.
    ///
    /// # Panics
    /// When it is reset, or nothing comes within the time.
    pub async fn pieces(&mut self, stream: u32, bytes: usize, most: Duration) -> Vec<u8> {
        let (end, mut all) = (Instant::now() + most, Vec::new());
        while all.len() < bytes {
            let heard = self.hear(end).await.expect("more of the stream");
            match heard.kind {
                RST_STREAM if heard.of == stream => panic!("reset: {:?}", heard.payload),
                DATA if heard.of == stream => {
                    let length = u32::try_from(heard.payload.len()).unwrap().to_be_bytes();
                    all.extend(heard.payload);
                    if heard.flags & END_STREAM != 0 {
                        break;
                    }
                    if length != [0; 4] {
                        self.frame(WINDOW_UPDATE, 0, 0, &length).await;
                        self.frame(WINDOW_UPDATE, 0, stream, &length).await;
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Asks so many times at once, and again whenever it is answered, without an end.
    ///
    /// # Panics
    /// When the server closes the connection, or is silent for too long.
    pub async fn keep_asking(&mut self, fields: &[(&str, &str)], at_once: u32) {
        let mut next = 1;
        for _ in 0..at_once {
            self.head(next, fields, true).await;
            next += 2;
        }
        loop {
            let heard = self.hear(Instant::now() + PATIENCE).await.expect("a server that goes on");
            if heard.kind == DATA && !heard.payload.is_empty() {
                let length = u32::try_from(heard.payload.len()).unwrap().to_be_bytes();
                self.frame(WINDOW_UPDATE, 0, 0, &length).await;
            }
            if matches!(heard.kind, DATA | HEADERS) && heard.flags & END_STREAM != 0 {
                self.head(next, fields, true).await;
                next += 2;
            }
        }
    }

    /// What the server says at the end of the connection: the last stream of each `GOAWAY` and its code. Who of these
    /// streams ended well is told beside it.
    pub async fn goodbyes(&mut self, most: Duration) -> (Vec<(u32, u32)>, Vec<u32>) {
        let (end, mut said, mut well) = (Instant::now() + most, Vec::new(), Vec::new());
        while let Some(heard) = self.hear(end).await {
            match heard.kind {
                GOAWAY => said.push((number(&heard.payload[..4]), number(&heard.payload[4..8]))),
                DATA | HEADERS if heard.flags & END_STREAM != 0 => well.push(heard.of),
                _ => {}
            }
        }
        (said, well)
    }

    /// The next frame that wants no answer; none at the end of the connection.
    async fn hear(&mut self, end: Instant) -> Option<Heard> {
        loop {
            let (kind, flags, of, payload) = self.next(end).await?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload).await,
                _ => return Some(Heard { kind, flags, of, payload }),
            }
        }
    }

    async fn next(&mut self, end: Instant) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let reading = timeout_at(end, self.stream.read_buf(&mut self.buffer));
            let read = reading.await.expect("a frame within the time");
            // An error is a connection that ended without a goodbye.
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// A frame that has come: kind, flags, stream and payload.
    fn take(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let [a, b, c, kind, flags, stream @ ..] = self.buffer.as_slice() else { return None };
        let length = number(&[0, *a, *b, *c]) as usize;
        if self.buffer.len() < 9 + length {
            return None;
        }
        let (kind, flags, stream) = (*kind, *flags, number(&stream[..4]) & 0x7fff_ffff);
        Some((kind, flags, stream, self.buffer.drain(..9 + length).skip(9).collect()))
    }

    /// Sends one frame.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.say(&frame(kind, flags, stream, payload)).await;
    }

    /// A server may have closed already: what it said then is what counts.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }
}

/// What a client says first: the preface, and settings that change nothing.
pub fn opening() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head in one frame: fields as they are, each as a literal.
pub fn head(stream: u32, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    let block: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [[0].as_slice(), &literal(name), &literal(value)].concat()).collect();
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, stream, &block)
}

/// A string of HPACK, not compressed; shorter than 127 bytes.
fn literal(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|&length| length < 127).expect("a short text");
    [&[length], text.as_bytes()].concat()
}

/// The status, which servers put first: at an index of HPACK's static table, or a literal with that name.
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    match *block {
        [index @ 0x88..=0x8e, ..] => known[usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |all, digit| all * 10 + u16::from(digit - b'0'))
        }
        [0x08 | 0x18 | 0x48, length, ref text @ ..] if length & 0x80 != 0 => {
            huffman_digits(&text[..usize::from(length & 0x7f)])
        }
        _ => panic!("no status comes first: {block:?}"),
    }
}

/// Three digits in HPACK's Huffman code: five bits for 0 to 2, six for the others.
fn huffman_digits(text: &[u8]) -> u16 {
    let bits = text.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (4 - text.len()));
    let mut at = 0;
    (0..3).fold(0, |all, _| {
        let next = bits << at >> 26;
        let (digit, length) = if next >> 1 <= 2 { (next >> 1, 5) } else { (next - 22, 6) };
        at += length;
        all * 10 + u16::try_from(digit).unwrap()
    })
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}
