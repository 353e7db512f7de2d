//! What `try` balances over: three small backends inside the process, and a certificate made for the moment.

use anyhow::Context as _;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpListener, runtime};

/// How long each of the backends takes to answer. The last one is there to be avoided.
pub(super) const DELAYS: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(5), Duration::from_millis(40)];
/// Names that the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Three backends on loopback, on a thread of their own; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Backends {
    addresses: Vec<SocketAddr>,
    _runtime: runtime::Runtime,
}

impl Backends {
    /// Starts them on free ports.
    pub(super) fn start() -> anyhow::Result<Backends> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo backends")
            .enable_all()
            .build()
            .context("failed to start the demo backends")?;
        let mut addresses = Vec::new();
        for (number, delay) in (1..).zip(DELAYS) {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            addresses.push(listener.local_addr()?);
            runtime.spawn(serve(listener, number, delay));
        }
        Ok(Backends { addresses, _runtime: runtime })
    }

    /// Where they listen, in the order of [`DELAYS`].
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn serve(listener: TcpListener, number: usize, delay: Duration) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(delay).await;
            continue;
        };
        let service = service_fn(move |_request| async move {
            tokio::time::sleep(delay).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("backend-{number}\n")))))
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// A self-signed certificate for this machine's own names, and its key, as PEM.
pub(super) fn certificate() -> anyhow::Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(String::from)).context("failed to make a certificate")?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}
