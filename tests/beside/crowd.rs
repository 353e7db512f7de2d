//! Who is served beside the well-behaved clients, or attacks.

use super::sides::{PATH, Side};
use pointsman_tests::client::{CANCEL, Frames, frame, head};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":path", PATH), (":authority", "shop.test")];
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// Requests that one connection has under way.
const PIPELINED: usize = 1000;
const STREAMS: u32 = 100;
/// Frames of one flood; a connection that is ended begins anew.
const FLOOD: u32 = 20_000;
/// How long a server may take with a flood.
const FLOOD_LASTS: Duration = Duration::from_secs(60);

/// A kind of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    /// One connection on which a thousand requests are always under way.
    Pipelined,
    /// One connection of HTTP/2 on which a hundred streams are.
    Streams,
    /// Streams that are opened and reset.
    RapidReset,
    /// A head that does not end.
    Continuations,
    Settings,
    Pings,
    /// A head that unpacks to far more.
    Bomb,
}

/// They go on as long as this value lives.
pub(super) struct Going(JoinHandle<()>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Crowd {
    /// Who asks for nothing that others do not ask for.
    pub(super) const BUSY: [Crowd; 2] = [Crowd::Pipelined, Crowd::Streams];
    /// The floods of cases 62 to 64.
    pub(super) const HOSTILE: [Crowd; 5] =
        [Crowd::RapidReset, Crowd::Continuations, Crowd::Settings, Crowd::Pings, Crowd::Bomb];

    pub(super) fn words(self) -> &'static str {
        match self {
            Crowd::Pipelined => "1000 requests in a pipeline",
            Crowd::Streams => "100 streams of HTTP/2",
            Crowd::RapidReset => "flood of streams opened and reset",
            Crowd::Continuations => "flood of CONTINUATION",
            Crowd::Settings => "flood of SETTINGS",
            Crowd::Pings => "flood of PING",
            Crowd::Bomb => "bombs of HPACK",
        }
    }

    /// Whether those beside it speak HTTP/2 as well.
    pub(super) fn is_h2(self) -> bool {
        self != Crowd::Pipelined
    }

    pub(super) fn begin(self, side: &Side) -> Going {
        let (plain, tls) = (side.plain, side.tls);
        Going(match self {
            Crowd::Pipelined => tokio::spawn(pipeline(plain)),
            Crowd::Streams => tokio::spawn(async move { Frames::connect(tls).await.keep_asking(&GET, STREAMS).await }),
            _ => tokio::spawn(flood(tls, self.bytes())),
        })
    }

    fn bytes(self) -> Vec<u8> {
        let many = |one: &dyn Fn(u32) -> Vec<u8>| (0..FLOOD).flat_map(|number| one(2 * number + 1)).collect();
        let reset = |stream| [head(stream, &GET, true), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat();
        match self {
            Crowd::RapidReset => many(&reset),
            Crowd::Continuations => {
                [frame(HEADERS, END_STREAM, 1, &[]), many(&|_| frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"))].concat()
            }
            Crowd::Settings => many(&|_| frame(SETTINGS, 0, 0, &[])),
            Crowd::Bomb => many(&bomb),
            Crowd::Pings | Crowd::Pipelined | Crowd::Streams => many(&|_| frame(PING, 0, 0, &[0; 8])),
        }
    }
}

/// A request that names a header of its connection's table a thousand times, with a byte each.
fn bomb(stream: u32) -> Vec<u8> {
    const END_HEADERS: u8 = 4;
    let whole = head(stream, &GET, true);
    // Behind a frame's head of nine bytes.
    let long = [&[0x40, 6][..], b"x-bomb", &[0x7f, 0xa1, 0x1e], &[b'a'; 4000]].concat();
    let block = [&whole[9..], &long, &vec![0xbe; 1000]].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// Floods again and again, however it is ended.
async fn flood(address: SocketAddr, bytes: Vec<u8>) {
    loop {
        Frames::connect(address).await.flood(&bytes, FLOOD_LASTS).await;
    }
}

/// A thousand at first, and one more for each answer.
async fn pipeline(address: SocketAddr) {
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let (mut answers, mut came) = (first_lines(), vec![0; 64 << 10]);
    let (mut reading, mut writing) = stream.split();
    let mut due = PIPELINED;
    loop {
        let batch = request.repeat(due);
        // Whoever writes without reading is not read from either.
        let (mut written, batch) = (0, batch.as_bytes());
        due = 0;
        while written < batch.len() || due == 0 {
            tokio::select! {
                wrote = writing.write(&batch[written..]), if written < batch.len() => written += wrote.expect("it goes on"),
                read = reading.read(&mut came) => match read.expect("it goes on") {
                    0 => panic!("the server ends a connection that is kept alive"),
                    read => due += answers(&came[..read]),
                },
            }
        }
    }
}

/// Counts the first lines of answers in pieces of bytes.
fn first_lines() -> impl FnMut(&[u8]) -> usize {
    const FIRST: &[u8] = b"HTTP/1.1 ";
    let mut matched = 0;
    move |bytes| {
        let mut count = 0;
        for byte in bytes {
            matched = if *byte == FIRST[matched] { matched + 1 } else { usize::from(*byte == FIRST[0]) };
            if matched == FIRST.len() {
                (matched, count) = (0, count + 1);
            }
        }
        count
    }
}
