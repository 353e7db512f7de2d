//! Asks backends how busy they are, as often as balancers want to know and the pool's budget allows; on the side runtime, as
//! health checks are made. By a request of its own to the backend, over a connection that stays open as long as there is
//! more to ask; or by what a header of the backend's last answer told, where nothing is sent.

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
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// As probes call themselves.
const AGENT: &str = "pointsman-probe";
/// Probes of one pool at the same time; more wait.
const AT_ONCE_MOST: usize = 64;
/// Bytes of an answer that are read.
const ANSWER_MOST: usize = 4 << 10;
/// When nobody asked for so long, no connection is kept.
const IDLE_MOST: Duration = Duration::from_secs(5);

/// Sends the probes that are asked for. It does not end by itself; dropping this future gives up those under way.
pub(super) async fn run(pool: Arc<Pool>, how: model::Probe) {
    let backends: HashMap<u64, _> = pool.backends.iter().map(|backend| (backend.id, backend)).collect();
    let mut kept: HashMap<u64, Stream> = HashMap::new();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE_MOST
            && let Some(probe) = pool.probes.next()
        {
            // One that left the pool meanwhile has not answered.
            let Some(&backend) = backends.get(&probe.backend()) else { continue };
            match &how.by {
                ProbeBy::Header(_) => look(probe, backend),
                ProbeBy::Get(path) => {
                    let (backend, path, kept) = (backend.clone(), path.clone(), kept.remove(&backend.id));
                    under_way.spawn(send(probe, backend, path, kept, how.timeout));
                }
            }
        }
        tokio::select! {
            () = pool.probes.wanted(), if under_way.len() < AT_ONCE_MOST => {}
            Some(ended) = under_way.join_next() => {
                if let Ok(Some((backend, stream))) = ended {
                    kept.insert(backend, stream);
                }
            }
            () = sleep(IDLE_MOST), if !kept.is_empty() => kept.clear(),
        }
    }
}

/// An answer says in its header how busy the backend is.
pub(super) fn hear(backend: &Backend, value: Option<&HeaderValue>) {
    if let Some(load) = value.and_then(|value| load::read(value.as_bytes())) {
        backend.figures.says(load, Instant::now());
    }
}

/// What its last answer told.
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
    kept: Option<Stream>,
    limit: Duration,
) -> Option<(u64, Stream)> {
    let asked = async {
        let answered = match kept {
            Some(stream) => over_http1(stream, &backend, &path).await,
            None => None,
        };
        match answered {
            // A connection that was kept may have been closed meanwhile.
            None => over_new(&backend, &path, limit).await,
            some => some,
        }
    };
    let (load, stream) = timeout(limit, asked).await.ok()??;
    probe.answered(load, Instant::now());
    Some((backend.id, stream?))
}

/// What it says, and the connection if it may serve again.
type Answered = Option<(Load, Option<Stream>)>;

async fn over_new(backend: &Backend, path: &str, limit: Duration) -> Answered {
    let (stream, speaks) = backend.transport.connect(backend, None, Purpose::Exchange, limit).await.ok()?;
    match speaks {
        Speaks::Http1 => over_http1(stream, backend, path).await,
        Speaks::Http2 => over_http2(stream, backend, path).await,
    }
}

async fn over_http1(stream: Stream, backend: &Backend, path: &str) -> Answered {
    let host = backend.authority();
    let question = h1::Question { host: &host, path, agent: AGENT, goes_on: true };
    let mut asked = h1::ask(stream, question).await.ok()?;
    let mut body = Vec::new();
    while let Some(data) = asked.more().await.ok()? {
        body.extend_from_slice(&data);
        if body.len() > ANSWER_MOST {
            return None;
        }
    }
    let load = if is_well(asked.status) { load::read(&body)? } else { return None };
    Some((load, asked.stream()))
}

async fn over_http2(stream: Stream, backend: &Backend, path: &str) -> Answered {
    let (method, body) = (Method::GET, Bytes::new());
    let question = h2::Question { method, path, agent: AGENT, headers: &[], body, wanted: ANSWER_MOST };
    let answered = h2::ask(stream, &backend.authority(), question).await.ok()?;
    let load = if is_well(answered.status.as_u16()) { load::read(&answered.body)? } else { return None };
    Some((load, None))
}

fn is_well(status: u16) -> bool {
    (200..300).contains(&status)
}
