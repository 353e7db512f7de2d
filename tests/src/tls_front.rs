//! TLS in front of a backend that has none: the handshake is ended here, and what is inside goes on to it.

use crate::certs::{self, Certificate};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// A TLS end; it dies with this value.
pub struct TlsFront {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: AbortHandle,
}

struct Shared {
    acceptor: Mutex<TlsAcceptor>,
    handshakes: AtomicU64,
    resumed: AtomicU64,
    refused: AtomicU64,
    names: Mutex<Vec<Option<String>>>,
}

/// How it shakes hands.
pub struct Shows<'a> {
    /// To everybody.
    pub certificate: &'a Certificate,
    /// Protocols that it speaks, the first preferred; none: it takes no part in choosing.
    pub protocols: &'a [&'a str],
    /// Only clients with a certificate of our authority are let in.
    pub asks: bool,
}

impl Shows<'_> {
    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match self.asks {
            true => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(certs::roots(), provider).build().unwrap(),
            ),
            false => builder.with_no_client_auth(),
        };
        let (chain, key) = self.certificate.der();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl TlsFront {
    /// In front of this address.
    pub async fn of(behind: SocketAddr, shows: Shows<'_>) -> TlsFront {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            acceptor: Mutex::new(shows.acceptor()),
            handshakes: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            names: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, behind, shared.clone())).abort_handle();
        TlsFront { address, shared, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows something else from now on.
    pub fn shows(&self, shows: Shows<'_>) {
        *self.shared.acceptor.lock().unwrap() = shows.acceptor();
    }

    /// Handshakes that came to their end.
    pub fn handshakes(&self) -> u64 {
        self.shared.handshakes.load(Relaxed)
    }

    /// Those of them that resumed a session.
    pub fn resumed(&self) -> u64 {
        self.shared.resumed.load(Relaxed)
    }

    /// Handshakes that did not come to their end.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Relaxed)
    }

    /// The names it was asked for.
    pub fn names(&self) -> Vec<Option<String>> {
        self.shared.names.lock().unwrap().clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, behind: SocketAddr, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(converse(stream, behind, shared.clone()));
    }
}

async fn converse(stream: TcpStream, behind: SocketAddr, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let acceptor = shared.acceptor.lock().unwrap().clone();
    let Ok(mut outside) = acceptor.accept(stream).await else {
        shared.refused.fetch_add(1, Relaxed);
        return;
    };
    let (_, session) = outside.get_ref();
    shared.names.lock().unwrap().push(session.server_name().map(Into::into));
    shared.resumed.fetch_add((session.handshake_kind() == Some(rustls::HandshakeKind::Resumed)).into(), Relaxed);
    shared.handshakes.fetch_add(1, Relaxed);
    if let Ok(mut inside) = TcpStream::connect(behind).await {
        let _ = inside.set_nodelay(true);
        // An end in the middle is one of either side's tricks.
        let _ = copy_bidirectional(&mut outside, &mut inside).await;
    }
}
