//! Answers the API's calls, on the side runtime: nothing here runs on a worker.

use super::{
    access::Access,
    api::{Backend, Generation, LogLine, Order, Reload, Status, Steer, Steered, Tap, WEIGHT_MOST},
    bind::{Bound, Socket},
    names::decoded,
};
use crate::{
    config::model::AdminAddress, drain::Live, net::SocketFile, problem::Report, telemetry::metrics::CONTENT_TYPE,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, fmt, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};

/// Connections at one time; more wait in the system's queue.
const CONNECTIONS_MOST: usize = 64;
/// For a call's head.
const HEAD_MOST: Duration = Duration::from_secs(5);
/// For a whole connection: commands make one call each.
const CONNECTION_MOST: Duration = Duration::from_secs(30);
/// After a failed accept, such as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Finds a plugin's log by its name.
type LogOf = Box<dyn Fn(&str) -> Option<Vec<LogLine>> + Send + Sync>;

/// The generations of a plugin.
type HistoryOf = Box<dyn Fn(&str) -> Option<Vec<Generation>> + Send + Sync>;

/// Has something done with a plugin; none when the process ends.
type Steers = Box<dyn Fn(String, Steer) -> Answered<Result<Steered, Report>> + Send + Sync>;

/// What is answered later.
type Answered<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// The decisions for a pool after the one of a number; none when there is no such pool.
type TapOf = Box<dyn Fn(&str, Option<u64>) -> Option<Tap> + Send + Sync>;

/// Has a backend of a pool do something.
type OrderTo = Box<dyn Fn(&str, &str, Order) -> Option<Backend> + Send + Sync>;

/// Reads the configuration again; none when the process ends.
type Reloads = Box<dyn Fn() -> Answered<Reload> + Send + Sync>;

/// What the API reads and does; `app` fills it in.
pub struct Sources {
    /// The whole process at one moment.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// A plugin's log; none when there is no such plugin.
    pub log: LogOf,
    /// The generations of a plugin; none when there is no such plugin.
    pub history: HistoryOf,
    /// Has another generation of a plugin serve, or stay.
    pub steer: Steers,
    /// The decisions for a pool; none when there is no such pool.
    pub tap: TapOf,
    /// The page of metrics.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Has a backend, by its pool's name and its own, do something; none when there is no such backend.
    pub order: OrderTo,
    /// Has the plugin directory looked at.
    pub rescan: Arc<Notify>,
    /// Reads configuration and certificates again.
    pub reload: Reloads,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// A serving admin API. Dropping it removes the socket file.
#[derive(Debug)]
pub struct Server {
    address: AdminAddress,
    metrics: Option<SocketAddr>,
    _file: Option<SocketFile>,
}

impl Server {
    /// Serves until draining starts. Call it within the side runtime.
    ///
    /// # Errors
    /// When the runtime cannot take the socket.
    pub fn start(bound: Bound, sources: Arc<Sources>, live: Live) -> io::Result<Server> {
        let metrics = match bound.metrics {
            Some(listener) => {
                let calls = Calls { sources: sources.clone(), access: Arc::new(Access::Metrics) };
                Some(serve_tcp(listener, calls, live.clone())?)
            }
            None => None,
        };
        let calls = Calls { sources, access: Arc::new(bound.access) };
        let file = match bound.socket {
            Socket::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener)?;
                let accept = async move || Ok(listener.accept().await?.0);
                tokio::spawn(serve(accept, calls, live));
                Some(file)
            }
            Socket::Tcp(listener) => {
                serve_tcp(listener, calls, live)?;
                None
            }
        };
        Ok(Server { address: bound.address, metrics, _file: file })
    }

    /// Where it answers; with the port that the system gave, where 0 was asked for.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Where metrics are read beside it.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }
}

/// Serves on TCP; says where.
fn serve_tcp(listener: std::net::TcpListener, calls: Calls, live: Live) -> io::Result<SocketAddr> {
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let accept = async move || Ok(listener.accept().await?.0);
    tokio::spawn(serve(accept, calls, live));
    Ok(address)
}

async fn serve<S>(accept: impl AsyncFn() -> io::Result<S>, calls: Calls, mut live: Live)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MOST));
    while let Ok(place) = places.clone().acquire_owned().await {
        tokio::select! {
            accepted = accept() => calls.took(accepted, place).await,
            () = live.draining() => return,
        }
    }
}

/// How calls are answered.
#[derive(Clone)]
struct Calls {
    sources: Arc<Sources>,
    access: Arc<Access>,
}

impl Calls {
    /// Serves a connection in a task of its own, which gives its place back at its end.
    async fn took<S>(&self, accepted: io::Result<S>, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Ok(stream) = accepted else { return tokio::time::sleep(ACCEPT_PAUSE).await };
        let calls = self.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let calls = calls.clone();
                async move { Ok::<_, Infallible>(calls.answer(&request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MOST)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever ends it, the caller knows: it has its answer, or it has none.
            let _ = tokio::time::timeout(CONNECTION_MOST, connection).await;
            drop(place);
        });
    }

    /// Bodies of calls mean nothing and are not read.
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err((status, why)) = self.access.check(request.method(), request.uri(), request.headers()) {
            return text(status, why);
        }
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["v1", "status"]) => json(&(self.sources.status)()),
            (&Method::GET, ["v1", "plugins"]) => json(&(self.sources.status)().plugins),
            (&Method::GET, ["v1", "plugins", name, "log"]) => match (self.sources.log)(name) {
                Some(lines) => json(&lines),
                None => text(StatusCode::NOT_FOUND, "no such plugin"),
            },
            (&Method::GET, ["v1", "plugins", name, "history"]) => match (self.sources.history)(name) {
                Some(generations) => json(&generations),
                None => text(StatusCode::NOT_FOUND, "no such plugin"),
            },
            (&Method::GET, ["metrics"]) => respond(StatusCode::OK, CONTENT_TYPE, (self.sources.metrics)().into()),
            (&Method::POST, ["v1", "pools", pool, "backends", backend, what @ ..]) => match order(what) {
                Some(order) => self.order(pool, backend, order),
                None => text(StatusCode::NOT_FOUND, "no such call"),
            },
            (&Method::POST, ["v1", "pools", pool, "tap"]) => self.tap(pool, None),
            (&Method::POST, ["v1", "pools", pool, "tap", after]) => match after.parse() {
                Ok(after) => self.tap(pool, Some(after)),
                Err(_) => text(StatusCode::NOT_FOUND, "no such call"),
            },
            (&Method::POST, ["v1", "reload"]) => match (self.sources.reload)().await {
                Some(reload) => json(&reload),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "it is ending"),
            },
            (&Method::POST, ["v1", "plugins", name, what @ ..]) if !what.is_empty() => match steer(what) {
                Some(wanted) => self.steer(name, wanted).await,
                None => text(StatusCode::NOT_FOUND, "no such call"),
            },
            (&Method::POST, ["v1", "plugins", "rescan"]) => {
                self.sources.rescan.notify_one();
                text(StatusCode::ACCEPTED, "the plugin directory is looked at")
            }
            _ => text(StatusCode::NOT_FOUND, "no such call"),
        }
    }

    async fn steer(&self, name: &str, wanted: Steer) -> Response<Full<Bytes>> {
        match (self.sources.steer)(name.to_owned(), wanted).await {
            Some(Ok(steered)) => json(&steered),
            Some(Err(report)) => with_status(StatusCode::CONFLICT, json(&report)),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "it is ending"),
        }
    }

    fn tap(&self, pool: &str, after: Option<u64>) -> Response<Full<Bytes>> {
        match decoded(pool).and_then(|pool| (self.sources.tap)(&pool, after)) {
            Some(tap) => json(&tap),
            None => text(StatusCode::NOT_FOUND, "no such pool"),
        }
    }

    fn order(&self, pool: &str, backend: &str, order: Order) -> Response<Full<Bytes>> {
        let named = decoded(pool).zip(decoded(backend));
        match named.and_then(|(pool, backend)| (self.sources.order)(&pool, &backend, order)) {
            Some(backend) => json(&backend),
            None => text(StatusCode::NOT_FOUND, "no such backend"),
        }
    }
}

/// What the end of a call's path asks for.
fn order(what: &[&str]) -> Option<Order> {
    match what {
        ["drain"] => Some(Order::Drain),
        ["ready"] => Some(Order::Ready),
        ["weight", weight] => weight.parse().ok().filter(|weight| *weight <= WEIGHT_MOST).map(Order::Weight),
        _ => None,
    }
}

/// What the end of a call's path asks for of a plugin.
fn steer(what: &[&str]) -> Option<Steer> {
    match what {
        ["rollback"] => Some(Steer::RollBack(None)),
        ["rollback", hash] => Some(Steer::RollBack(Some((*hash).to_owned()))),
        ["pin"] => Some(Steer::Pin(None)),
        ["pin", hash] => Some(Steer::Pin(Some((*hash).to_owned()))),
        ["unpin"] => Some(Steer::Unpin),
        _ => None,
    }
}

fn with_status(status: StatusCode, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    *response.status_mut() = status;
    response
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(bytes) => respond(StatusCode::OK, "application/json", bytes.into()),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot be written as JSON"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
