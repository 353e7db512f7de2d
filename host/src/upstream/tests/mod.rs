//! The room against origins that play a script, over real sockets.

mod answers;
mod connections;
mod health;
mod reload;
mod requests;

use super::{Connections, ExchangeError, Limits, Outgoing, Pool, Purpose};
use crate::{
    config::model,
    figures::{Attempt, Figures},
    net::{Body, BodyError, Head, Headers, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, uri::PathAndQuery};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout},
};

/// What no step of a test may need on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend that does to each connection what the test says.
struct Origin {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Origin {
    /// `script` gets each connection with its number, 0 first.
    async fn new<F, Fut>(script: F) -> Origin
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin { address: listener.local_addr().unwrap(), accepted: Arc::default() };
        let accepted = origin.accepted.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(script(stream, accepted.fetch_add(1, SeqCst)));
            }
        });
        origin
    }

    /// Answers every request with these bytes, and then does `last`.
    async fn answering(bytes: impl Into<Bytes>, last: Last) -> Origin {
        let bytes = bytes.into();
        Origin::new(move |mut stream, _| {
            let bytes = bytes.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    // A client that has seen enough may be gone before the end.
                    let _ = stream.write_all(&bytes).await;
                    match last {
                        Last::Stay => {}
                        Last::Close => return,
                        Last::HalfClose => stream.shutdown().await.unwrap(),
                        Last::Reset => return reset(stream),
                    }
                }
            }
        })
        .await
    }

    /// Answers once, as soon as something came, and tells all it saw when the connection has ended.
    async fn watching(answer: &'static str) -> (Origin, UnboundedReceiver<String>) {
        let (told, seen) = unbounded_channel();
        let origin = Origin::new(move |mut stream, _| {
            let told = told.clone();
            async move {
                let mut bytes = Vec::new();
                stream.read_buf(&mut bytes).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                while stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {}
                told.send(String::from_utf8(bytes).unwrap()).unwrap();
            }
        })
        .await;
        (origin, seen)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

/// What an origin does after its answer.
#[derive(Clone, Copy, Debug)]
enum Last {
    Stay,
    Close,
    HalfClose,
    Reset,
}

fn reset(stream: TcpStream) {
    let stream = socket2::Socket::from(stream.into_std().unwrap());
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}

/// One request with its body as it came; none when the connection ended before that.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|l| l.parse().unwrap());
            let chunked = head.contains("transfer-encoding: chunked");
            if length.map_or(!chunked || text.ends_with("0\r\n\r\n") || body.contains("\r\n0\r\nx-"), |l: usize| {
                body.len() >= l
            }) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

/// A pool with one backend, and one worker's connections.
struct Scene {
    pool: Arc<Pool>,
    connections: Rc<Connections>,
    /// How long the head may take.
    head: Duration,
    total: Option<Duration>,
    least: usize,
}

/// A request of a test.
#[derive(Default)]
struct Ask<'a> {
    method: Method,
    headers: &'a [(&'static str, &'static str)],
    body: Body,
}

impl Scene {
    fn to(address: SocketAddr) -> Scene {
        Scene::with(address, model::PoolTimeout::default())
    }

    fn with(address: SocketAddr, timeout: model::PoolTimeout) -> Scene {
        let pool = pool("shop", &[address], model::Health::default(), timeout);
        Scene { pool, connections: Connections::new(), head: PATIENCE, least: 1, total: None }
    }

    /// Sends a request over a kept connection or a new one.
    async fn send(&self, ask: Ask<'_>) -> Result<Response, ExchangeError> {
        let backend = &self.pool.backends[0];
        let now = Instant::now();
        let attempt = Attempt::begin(backend.figures.clone(), now);
        let connection =
            self.connections.checkout(backend, &head(), Purpose::Exchange, &self.pool.timeout).await.unwrap();
        let headers: Headers =
            ask.headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let outgoing = Outgoing {
            method: &ask.method,
            target: &PathAndQuery::from_static("/"),
            authority: &HeaderValue::from_static("shop.example"),
            headers: &headers,
        };
        let timeout = self.pool.timeout;
        let end = self.total.map(|total| now + total);
        let limits = Limits {
            head: now + self.head,
            idle: timeout.idle,
            least: self.least,
            end,
            tunnel: timeout.tunnel,
            stall: None,
        };
        within(connection.exchange(outgoing, ask.body, attempt, limits, &|_| {})).await
    }

    /// Asks and reads the whole answer.
    async fn ask(&self, method: Method) -> Result<Whole, ExchangeError> {
        Ok(whole(self.send(Ask { method, ..Ask::default() }).await?).await)
    }

    fn in_flight(&self) -> u32 {
        self.pool.backends[0].figures.in_flight()
    }

    fn failures(&self) -> u64 {
        self.pool.backends[0].figures.failures()
    }
}

/// An answer read to its end, whichever that is.
#[derive(Debug)]
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    trailers: HeaderMap,
    /// Why the body broke off.
    broken: Option<String>,
}

async fn whole(response: Response) -> Whole {
    let Response { status, headers, mut body, .. } = response;
    let mut whole =
        Whole { status, headers: headers.into(), body: String::new(), trailers: HeaderMap::new(), broken: None };
    while let Some(frame) = within(body.frame()).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => whole.body += std::str::from_utf8(&data).unwrap(),
            Ok(Err(frame)) => whole.trailers = frame.into_trailers().unwrap(),
            Err(error) => whole.broken = Some(error.to_string()),
        }
    }
    whole
}

/// Sends a body's pieces; dropping it ends the body.
type Pieces = UnboundedSender<Result<Frame<Bytes>, BodyError>>;

/// A body that the test sends piece by piece, announced with this length.
fn streamed(length: Option<u64>) -> (Pieces, Body) {
    let (sender, pieces) = unbounded_channel();
    (sender, Body::Stream(Box::pin(Streamed { pieces, length })))
}

struct Streamed {
    pieces: UnboundedReceiver<Result<Frame<Bytes>, BodyError>>,
    length: Option<u64>,
}
impl crate::net::Streaming for Streamed {}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.pieces.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Whose connection it is does not matter here.
pub(in crate::upstream) fn head() -> Head {
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/"),
        authority: HeaderValue::from_static("shop.example"),
        headers: Headers::default(),
        client: peer.ip(),
        tags: Vec::new(),
        connection: Arc::new(crate::net::Connection::new(0, peer, None)),
    }
}

fn pool(name: &str, addresses: &[SocketAddr], health: model::Health, timeout: model::PoolTimeout) -> Arc<Pool> {
    let backend = |&address: &SocketAddr| model::Backend::new(address.to_string(), address);
    let config = model::Pool { health, timeout, ..model::Pool::new(name, addresses.iter().map(backend).collect()) };
    Pool::new(&config, &Figures::default()).unwrap()
}

/// The future's outcome, or a failed test instead of one that hangs.
async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("a step of the test hangs")
}

/// Waits until this holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
