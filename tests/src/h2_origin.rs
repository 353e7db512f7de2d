//! A backend that speaks HTTP/2, and remembers what it was asked. It begins with prior knowledge; for TLS it stands behind a
//! [`TlsFront`](crate::tls_front::TlsFront).

use crate::origin::Gate;
use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, Request, Response};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// What it does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers 200 with this body and these trailers, after so long and when it has read the request.
    Answer(Bytes, &'static [(&'static str, &'static str)], Duration),
    /// Sends each piece back as it comes, then the trailers that came, or `grpc-status: 0`.
    Echo,
    /// Says each of these before its answer, which is 200 with `ok` once the gate is open.
    Hints(&'static [(u16, &'static [(&'static str, &'static str)])], Gate),
    /// Answers with a head alone.
    Head(u16, &'static [(&'static str, &'static str)]),
    /// Answers 200 with a length, and with as much of it as this.
    Short(u64, &'static str),
    /// Answers 200 with this, and resets the stream for this reason.
    BreakOff(&'static str, Reason),
    /// Resets the stream without an answer.
    Reset(Reason),
    /// Answers 200 with this, and has no use for the request's body: the stream is reset when the answer is whole.
    Hasty(&'static str),
    /// Reads, and never answers.
    Silence,
}

impl Act {
    /// 200 with this body, at once.
    pub fn says(body: &str) -> Act {
        Act::Answer(Bytes::copy_from_slice(body.as_bytes()), &[], Duration::ZERO)
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of the backend's connections, from 0.
    pub connection: u64,
    /// With the whole target.
    pub head: Arc<http::request::Parts>,
    /// As much as came.
    pub body: Vec<u8>,
    /// None: the message did not end with any.
    pub trailers: HeaderMap,
    /// Whether all of it came.
    pub whole: bool,
}

/// A backend; it dies with this value.
pub struct H2Origin {
    address: SocketAddr,
    record: Arc<Record>,
    goes: watch::Sender<u64>,
    serving: AbortHandle,
}

#[derive(Default)]
struct Record {
    asked: Mutex<Vec<Asked>>,
    connections: AtomicU64,
    open_connections: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
}

type Script = Arc<dyn Fn(&http::request::Parts) -> Act + Send + Sync>;

impl H2Origin {
    /// Acts as the script says, on as many streams of a connection as this.
    pub async fn new(streams: u32, script: impl Fn(&http::request::Parts) -> Act + Send + Sync + 'static) -> H2Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let (goes, gone) = watch::channel(0);
        let serving = tokio::spawn(serve(listener, streams, Arc::new(script), record.clone(), gone)).abort_handle();
        H2Origin { address, record, goes, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells every connection that it takes no more requests.
    pub fn goes_away(&self) {
        self.goes.send_modify(|times| *times += 1);
    }

    /// What it was asked, in the order in which the requests came, as much of each as has arrived: all of it, once it was
    /// answered.
    pub fn asked(&self) -> Vec<Asked> {
        self.record.asked.lock().unwrap().clone()
    }

    /// Connections on which a request came.
    pub fn used_connections(&self) -> usize {
        let all: std::collections::HashSet<u64> = self.asked().iter().map(|asked| asked.connection).collect();
        all.len()
    }

    /// Connections that are open now; a health check that only connects has none.
    pub fn open_connections(&self) -> u64 {
        self.record.open_connections.load(Relaxed)
    }

    /// Requests that were open at the same time.
    pub fn most_open(&self) -> u64 {
        self.record.most_open.load(Relaxed)
    }

    /// Requests that are open now.
    pub fn open(&self) -> u64 {
        self.record.open.load(Relaxed)
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, streams: u32, script: Script, record: Arc<Record>, gone: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let number = record.connections.fetch_add(1, Relaxed);
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(stream, number, streams, script.clone(), record.clone(), gone.clone()));
    }
}

async fn converse(
    stream: TcpStream,
    number: u64,
    streams: u32,
    script: Script,
    record: Arc<Record>,
    mut gone: watch::Receiver<u64>,
) {
    let _ = stream.set_nodelay(true);
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(streams).initial_window_size(1 << 20).initial_connection_window_size(4 << 20);
    // A health check says nothing.
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    record.open_connections.fetch_add(1, Relaxed);
    gone.mark_unchanged();
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            came = connection.accept() => match came {
                Some(Ok((request, respond))) => {
                    requests.spawn(answer(request, respond, number, script.clone(), record.clone()));
                }
                Some(Err(_)) | None => break,
            },
            Ok(()) = gone.changed() => connection.graceful_shutdown(),
        }
    }
    record.open_connections.fetch_sub(1, Relaxed);
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: u64,
    script: Script,
    record: Arc<Record>,
) {
    let open = record.open.fetch_add(1, Relaxed) + 1;
    record.most_open.fetch_max(open, Relaxed);
    let (head, body) = request.into_parts();
    let act = script(&head);
    let asked = Asked { connection, head: Arc::new(head), body: Vec::new(), trailers: HeaderMap::new(), whole: false };
    let note = record.note(asked);
    // An end in the middle is one of the client's tricks, and shows in what is recorded.
    let _ = act_on(act, body, &mut respond, &note).await;
    record.open.fetch_sub(1, Relaxed);
}

/// What is recorded of a request. It is written before the answer goes out: who was answered finds it there.
struct Note<'a> {
    record: &'a Record,
    at: usize,
}

impl Record {
    fn note(&self, asked: Asked) -> Note<'_> {
        let mut all = self.asked.lock().unwrap();
        all.push(asked);
        Note { record: self, at: all.len() - 1 }
    }
}

impl Note<'_> {
    fn write(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.record.asked.lock().unwrap()[self.at]);
    }
}

async fn act_on(
    act: Act,
    mut body: RecvStream,
    respond: &mut SendResponse<Bytes>,
    note: &Note<'_>,
) -> Result<(), h2::Error> {
    let head = |status: u16, lines: &[(&'static str, &'static str)]| {
        let head =
            lines.iter().fold(Response::builder().status(status), |head, (name, value)| head.header(*name, *value));
        head.body(()).unwrap()
    };
    match act {
        Act::Answer(bytes, trailers, after) => {
            read(&mut body, note).await?;
            sleep(after).await;
            let mut stream = respond.send_response(head(200, &[]), false)?;
            send(&mut stream, bytes, trailers.is_empty()).await?;
            if !trailers.is_empty() {
                stream.send_trailers(head(200, trailers).into_parts().0.headers)?;
            }
        }
        Act::Echo => {
            let mut stream = respond.send_response(head(200, &[("content-type", "application/grpc")]), false)?;
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                note.write(|asked| asked.body.extend_from_slice(&piece));
                send(&mut stream, piece, false).await?;
            }
            let mut trailers = body.trailers().await?.unwrap_or_default();
            note.write(|asked| (asked.trailers, asked.whole) = (trailers.clone(), true));
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers)?;
        }
        Act::Hints(hints, gate) => {
            read(&mut body, note).await?;
            for (status, lines) in hints {
                respond.send_informational(head(*status, lines))?;
            }
            gate.opened().await;
            let mut stream = respond.send_response(head(200, &[]), false)?;
            send(&mut stream, Bytes::from_static(b"ok"), true).await?;
        }
        Act::Head(status, lines) => {
            read(&mut body, note).await?;
            respond.send_response(head(status, lines), true)?;
        }
        Act::Short(length, part) => {
            read(&mut body, note).await?;
            let mut head = head(200, &[]);
            head.headers_mut().insert("content-length", length.into());
            let mut stream = respond.send_response(head, false)?;
            send(&mut stream, Bytes::from_static(part.as_bytes()), true).await?;
        }
        Act::BreakOff(part, reason) => {
            read(&mut body, note).await?;
            let mut stream = respond.send_response(head(200, &[]), false)?;
            send(&mut stream, Bytes::from_static(part.as_bytes()), false).await?;
            // What was sent shall be read first.
            sleep(Duration::from_millis(50)).await;
            stream.send_reset(reason);
        }
        Act::Hasty(answer) => {
            let mut stream = respond.send_response(head(200, &[]), false)?;
            send(&mut stream, Bytes::from_static(answer.as_bytes()), true).await?;
        }
        Act::Reset(reason) => respond.send_reset(reason),
        Act::Silence => {
            read(&mut body, note).await?;
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
        }
    }
    Ok(())
}

async fn read(body: &mut RecvStream, note: &Note<'_>) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        note.write(|asked| asked.body.extend_from_slice(&piece));
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    note.write(|asked| (asked.trailers, asked.whole) = (trailers, true));
    Ok(())
}

async fn send(stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes, end: bool) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        while stream.capacity() == 0 {
            match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(capacity) => _ = capacity?,
                None => return Err(Reason::CANCEL.into()),
            }
        }
        let part = bytes.split_to(stream.capacity().min(bytes.len()));
        stream.send_data(part, end && bytes.is_empty())?;
    }
    if end { stream.send_data(Bytes::new(), true).or(Ok(())) } else { Ok(()) }
}
