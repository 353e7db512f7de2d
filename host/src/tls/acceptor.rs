//! Handshakes with clients: TLS 1.2 and 1.3, `h2` before `http/1.1`, tickets instead of a session cache,
//! and neither where clients are asked for certificates.

use super::{Store, client, store::Shown};
use crate::net::{Asked, TlsFacts};
use rustls::{
    HandshakeKind, ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

/// An encrypted connection from a client. Boxed: it is large, and every future it passes through would have room for it.
pub type Stream<S> = Box<tokio_rustls::server::TlsStream<S>>;

/// Makes encrypted connections out of plain ones. Clones share the keys of the session tickets, so a client may come
/// back to another worker.
#[derive(Clone)]
pub struct Acceptor {
    shown: Arc<Shown>,
    /// By the number of the rule about clients.
    configs: Arc<[Arc<ServerConfig>]>,
}

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client is too slow, or never meant it.
    #[error("no handshake within {0:?}")]
    Timeout(Duration),
    /// The two found nothing in common, or the client broke off, or it does not speak TLS.
    #[error("handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// Tickets a client gets in one TLS 1.3 handshake: one for each of the two connections that it may open side by side
/// next time. What OpenSSL and BoringSSL send.
const TICKETS: usize = 2;

impl Acceptor {
    /// For these certificates. An error means that the system gives no random bytes for the tickets' keys.
    pub fn new(certificates: Arc<Store>) -> Result<Acceptor, rustls::Error> {
        let shown = Shown::new(certificates);
        // Key exchange begins with X25519MLKEM768.
        let store = shown.store();
        let rules = std::iter::once(None).chain(store.verifiers().map(Some));
        let configs: Result<_, _> = rules.map(|verifier| configure(&shown, verifier).map(Arc::new)).collect();
        Ok(Acceptor { configs: configs?, shown })
    }

    /// What clients are shown.
    pub fn shown(&self) -> Arc<Store> {
        self.shown.store()
    }

    /// Shows other certificates from the next handshake on, with the same rules about clients. Tickets stay good: they
    /// hold sessions of clients that were asked for nothing.
    pub fn show(&self, certificates: Arc<Store>) {
        self.shown.show(certificates);
    }

    /// Shakes hands within `most`. Dropping this future closes the connection.
    pub async fn accept<S>(&self, socket: S, most: Duration) -> Result<(Stream<S>, TlsFacts), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = timeout(most, self.shake(socket)).await;
        let (stream, asked) = handshake.map_err(|_| HandshakeError::Timeout(most))??;
        let (_, session) = stream.get_ref();
        let facts = TlsFacts {
            sni: session.server_name().map(Into::into),
            alpn: session.alpn_protocol().and_then(|name| std::str::from_utf8(name).ok()).map(Into::into),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            asked,
            client: session.peer_certificates().and_then(|chain| client::facts(chain.first()?)),
        };
        Ok((stream, facts))
    }

    /// The name in the hello says which rule holds, before the client is asked for anything.
    async fn shake<S>(&self, socket: S) -> io::Result<(Stream<S>, Option<Arc<Asked>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = |rule: usize| self.configs.get(rule).cloned().ok_or(io::ErrorKind::NotFound);
        let certificates = self.shown();
        if let Some(rule) = certificates.only_rule() {
            let stream = Box::new(TlsAcceptor::from(config(rule)?).accept(socket).await?);
            return Ok((stream, certificates.asked(rule).cloned()));
        }
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let rule = certificates.rule(start.client_hello().server_name());
        let stream = Box::new(start.into_stream(config(rule)?).await?);
        Ok((stream, certificates.asked(rule).cloned()))
    }
}

fn configure(shown: &Arc<Shown>, verifier: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let may_resume = verifier.is_none();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(shown.clone());
    // Old clients offer nothing but `http/1.0`, and a handshake without common ground fails.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).into();
    // A ticket brings back a certificate that was verified once, whatever has become of it: who is asked for one shows it
    // in each handshake. Without a ticketer nobody's ticket is taken here either.
    config.send_tls13_tickets = if may_resume { TICKETS } else { 0 };
    if may_resume {
        config.ticketer = Ticketer::new()?;
    }
    // Tickets hold the whole session; a cache would be a lock that all workers share.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{CertificateSource, Tls};
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{
        ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
        pki_types::ServerName,
    };
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::TlsConnector;

    const LIMIT: Duration = Duration::from_secs(5);

    fn acceptor() -> (Acceptor, RootCertStore) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let source = CertificateSource::Memory { cert: cert.pem(), key: signing_key.serialize_pem() };
        let store = Store::load(&Tls::from(vec![source]), Path::new("")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        (Acceptor::new(Arc::new(store)).unwrap(), roots)
    }

    fn connector(roots: RootCertStore, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config).into()
    }

    type Ends = (tokio_rustls::client::TlsStream<DuplexStream>, TlsFacts);

    /// One byte travels down, so that the client has read the tickets.
    async fn connect(acceptor: &Acceptor, connector: &TlsConnector) -> Ends {
        let (near, far) = duplex(64 << 10);
        let server = async {
            let (mut stream, facts) = acceptor.accept(far, LIMIT).await.unwrap();
            stream.write_all(b"!").await.unwrap();
            facts
        };
        let client = async {
            let name = ServerName::try_from("Shop.example").unwrap();
            let mut stream = connector.connect(name, near).await.unwrap();
            stream.read_u8().await.unwrap();
            stream
        };
        let (facts, stream) = tokio::join!(server, client);
        (stream, facts)
    }

    #[tokio::test]
    async fn the_facts_tell_name_and_protocol() {
        let (acceptor, roots) = acceptor();
        for (offered, agreed) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["http/1.0"], Some("http/1.0")),
            (&[], None),
        ] {
            let (_, facts) = connect(&acceptor, &connector(roots.clone(), &[&TLS13], offered)).await;
            assert_eq!((facts.sni.as_deref(), facts.alpn.as_deref()), (Some("shop.example"), agreed));
        }
    }

    #[tokio::test]
    async fn both_versions_serve_and_the_newer_agrees_on_a_key_that_quantum_computers_do_not_break() {
        let (acceptor, roots) = acceptor();
        let (new, _) = connect(&acceptor, &connector(roots.clone(), &[&TLS12, &TLS13], &[])).await;
        let (_, session) = new.get_ref();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
        let (old, _) = connect(&acceptor, &connector(roots, &[&TLS12], &[])).await;
        assert_eq!(old.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    }

    #[tokio::test]
    async fn a_ticket_of_one_worker_is_good_for_another() {
        let (acceptor, roots) = acceptor();
        let other_worker = acceptor.clone();
        for version in [&TLS12, &TLS13] {
            let connector = connector(roots.clone(), &[version], &[]);
            let (first, _) = connect(&acceptor, &connector).await;
            assert_ne!(first.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
            let (second, _) = connect(&other_worker, &connector).await;
            assert_eq!(second.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_hello_is_dropped_after_the_limit() {
        let (acceptor, _) = acceptor();
        let (mut near, far) = duplex(1024);
        near.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
        assert!(matches!(acceptor.accept(far, LIMIT).await, Err(HandshakeError::Timeout(LIMIT))));
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0, "the other end sees it closed");
    }

    #[tokio::test]
    async fn what_is_no_tls_fails_at_once() {
        let (acceptor, _) = acceptor();
        let (mut near, far) = duplex(1024);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(matches!(acceptor.accept(far, LIMIT).await, Err(HandshakeError::Failed(_))));
    }
}
