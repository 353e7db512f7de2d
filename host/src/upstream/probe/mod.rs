//! Asks backends how busy they are, as often as balancers want to know and the pool's budget allows; on the side runtime, as
//! health checks are made. By a request of its own to the backend, over a connection that is kept for a while; or by what a
//! header of the backend's answers told last, where nothing is sent.

mod load;

use super::{
    Backend, Pool, h1, h2,
    stream::Stream,
    transport::{Purpose, Speaks},
};
use crate::{
    config::model::{self, ProbeBy},
    figures::{Load, Probe},
};
use bytes::Bytes;
use http::{HeaderValue, Method};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// As probes call themselves.
const AGENT: &str = "pointsman-probe";
/// Probes of one pool at the same time; more wait.
const AT_ONCE_MOST: usize = 64;
/// Connections of one pool that are kept for the next probe.
const KEPT_MOST: usize = 64;
/// Connections for probes in the whole process: ten thousand backends must not mean ten thousand sockets. Probes that find none
/// wait, and no more than half of them are kept, so that who keeps none has his turn.
const CONNECTIONS_MOST: usize = 512;
/// Bytes of an answer that are read.
const ANSWER_MOST: usize = 4 << 10;
/// For how long a connection is kept that nobody uses.
const IDLE_MOST: Duration = Duration::from_secs(5);

/// Connections that there may be in the whole process.
pub(super) fn connections() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS_MOST))
}

/// One that was kept.
struct Kept {
    stream: Stream,
    since: Instant,
    /// It is one of those that there may be.
    place: OwnedSemaphorePermit,
}

/// Sends the probes that are asked for, over as many connections as there are. It does not end by itself; dropping this future
/// leaves those under way to who sends next.
pub(super) async fn run(pool: Arc<Pool>, how: model::Probe, connections: Arc<Semaphore>) {
    let backends: HashMap<u64, _> = pool.backends.iter().map(|backend| (backend.id, backend)).collect();
    let mut kept: HashMap<u64, Kept> = HashMap::new();
    let mut under_way = JoinSet::new();
    // Behind them, so that it is gone before they are given up.
    let sender = Arc::new(());
    loop {
        while under_way.len() < AT_ONCE_MOST
            && let Some(probe) = pool.probes.next(&sender)
        {
            // One that left the pool meanwhile has not answered.
            let Some(&backend) = backends.get(&probe.backend()) else { continue };
            match &how.by {
                ProbeBy::Header(_) => look(probe, backend),
                // Nor has one whose turn did not come, for others took their time.
                ProbeBy::Get(_) if probe.waited() > how.timeout => {}
                ProbeBy::Get(path) => {
                    let (backend, path, kept) = (backend.clone(), path.clone(), kept.remove(&backend.id));
                    under_way.spawn(send(probe, backend, path, kept, connections.clone(), how.timeout));
                }
            }
        }
        let idle = kept.values().map(|kept| kept.since + IDLE_MOST).min();
        tokio::select! {
            () = pool.probes.wanted(), if under_way.len() < AT_ONCE_MOST => {}
            Some(ended) = under_way.join_next() => {
                if let Ok(Some((backend, connection))) = ended
                    && kept.len() < KEPT_MOST
                    && connections.available_permits() >= CONNECTIONS_MOST / 2
                {
                    kept.insert(backend, connection);
                }
            }
            () = sleep_until(idle.unwrap_or_else(Instant::now)), if idle.is_some() => {
                kept.retain(|_, kept| kept.since.elapsed() < IDLE_MOST);
            }
        }
    }
}

/// An answer says in its header how busy the backend is.
pub(super) fn hear(backend: &Backend, value: Option<&HeaderValue>) {
    if let Some(load) = value.and_then(|value| load::read(value.as_bytes())) {
        backend.figures.says(load, Instant::now());
    }
}

/// What its answers told last.
fn look(probe: Probe, backend: &Backend) {
    if let Some((load, at)) = backend.figures.said(Instant::now()) {
        probe.answered(load, at);
    }
}

/// Sends one, on the connection that was kept if there is one; and that may be kept on.
async fn send(
    probe: Probe,
    backend: Arc<Backend>,
    path: String,
    kept: Option<Kept>,
    connections: Arc<Semaphore>,
    limit: Duration,
) -> Option<(u64, Kept)> {
    let asked = async {
        let (stream, place) = match kept {
            Some(kept) => (Some(kept.stream), kept.place),
            None => (None, connections.acquire_owned().await.ok()?),
        };
        let answered = match stream {
            Some(stream) => over_http1(stream, &backend, &path).await,
            None => None,
        };
        let answered = match answered {
            // A connection that was kept may have been closed meanwhile.
            None => over_new(&backend, &path, limit).await?,
            Some(answered) => answered,
        };
        Some((answered, place))
    };
    let (Answered { load, stream }, place) = timeout(limit, asked).await.ok()??;
    let now = Instant::now();
    if let Some(load) = load {
        probe.answered(load, now);
    }
    Some((backend.id, Kept { stream: stream?, since: now, place }))
}

/// What it says, and the connection if it may serve again.
#[derive(Default)]
struct Answered {
    load: Option<Load>,
    stream: Option<Stream>,
}

/// None: no answer came, here and in the two below.
async fn over_new(backend: &Backend, path: &str, limit: Duration) -> Option<Answered> {
    let (stream, speaks) = backend.transport.connect(backend, None, Purpose::Exchange, limit).await.ok()?;
    match speaks {
        Speaks::Http1 => over_http1(stream, backend, path).await,
        Speaks::Http2 => over_http2(stream, backend, path).await,
    }
}

async fn over_http1(stream: Stream, backend: &Backend, path: &str) -> Option<Answered> {
    let host = backend.authority();
    let question = h1::Question { host: &host, path, agent: AGENT, goes_on: true };
    let mut asked = h1::ask(stream, question).await.ok()?;
    let mut body = Vec::new();
    loop {
        match asked.more().await {
            Ok(None) => break,
            Ok(Some(data)) if body.len() + data.len() <= ANSWER_MOST => body.extend_from_slice(&data),
            // It broke off, or is longer than any that says something.
            Ok(Some(_)) | Err(_) => return Some(Answered::default()),
        }
    }
    Some(Answered { load: load_of(asked.status, &body), stream: asked.stream() })
}

async fn over_http2(stream: Stream, backend: &Backend, path: &str) -> Option<Answered> {
    let (method, body) = (Method::GET, Bytes::new());
    let question = h2::Question { method, path, agent: AGENT, headers: &[], body, wanted: ANSWER_MOST + 1 };
    let answered = h2::ask(stream, &backend.authority(), question).await.ok()?;
    Some(Answered { load: load_of(answered.status.as_u16(), &answered.body), stream: None })
}

fn load_of(status: u16, body: &[u8]) -> Option<Load> {
    if (200..300).contains(&status) && body.len() <= ANSWER_MOST { load::read(body) } else { None }
}
