//! A client's side of a handshake, and what it learnt.

use crate::{
    certs::{self, Certificate},
    story::within,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, NamedGroup, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How a client says hello. One value is one client: what it keeps between connections is its session tickets.
#[derive(Clone)]
pub struct Hello {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// What a handshake agreed on.
#[derive(Debug)]
pub struct Agreed {
    /// Such as `h2`.
    pub alpn: Option<String>,
    /// 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// Of the key exchange.
    pub group: Option<NamedGroup>,
    /// Shown by the server; the resumed session's when `resumed`.
    pub leaf: CertificateDer<'static>,
    /// Whether a session ticket was taken.
    pub resumed: bool,
}

impl Hello {
    /// To this name, over HTTP/1.1, whoever signed the certificate: `curl -k`.
    pub fn insecure(name: &str) -> Hello {
        let mut hello = Hello::new(name, &["http/1.1"]);
        let config = Arc::make_mut(&mut hello.config);
        config.dangerous().set_certificate_verifier(Arc::new(Anybody(aws_lc_rs::default_provider())));
        hello
    }

    /// To this name, offering these protocols, the first preferred.
    pub fn new(name: &str, alpn: &[&str]) -> Hello {
        Hello::custom(name, alpn, rustls::ALL_VERSIONS, None)
    }

    /// The same client with a certificate of its own.
    ///
    /// # Panics
    /// When that is none.
    pub fn showing(mut self, certificate: &Certificate) -> Hello {
        let chain =
            CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("PEM");
        let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key");
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        Arc::make_mut(&mut self.config).client_auth_cert_resolver = Arc::new(shown);
        self
    }

    /// With these TLS versions, and one group for the key exchange.
    pub fn custom(
        name: &str,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        group: Option<&'static dyn SupportedKxGroup>,
    ) -> Hello {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(group) = group {
            provider.kx_groups = vec![group];
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).expect("versions and groups that go together");
        let mut config = builder.with_root_certificates(certs::roots()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Hello { config: Arc::new(config), name: ServerName::try_from(name.to_owned()).expect("a name or an address") }
    }
}

/// Connects and shakes hands; an error when the server would not.
///
/// # Errors
/// What the socket or the handshake said.
pub async fn handshake_with(address: SocketAddr, hello: &Hello) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
    let connector = TlsConnector::from(hello.config.clone());
    let stream = within("a TLS handshake", async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        connector.connect(hello.name.clone(), stream).await
    })
    .await?;
    let (_, session) = stream.get_ref();
    let agreed = Agreed {
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        version: session.protocol_version().expect("after a handshake"),
        group: session.negotiated_key_exchange_group().map(|group| group.name()),
        leaf: session.peer_certificates().expect("after a handshake")[0].clone().into_owned(),
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    };
    Ok((stream, agreed))
}

/// As [`handshake_with`], with a plain hello to a name.
///
/// # Errors
/// As there.
pub async fn handshake(address: SocketAddr, name: &str, alpn: &[&str]) -> io::Result<(TlsStream<TcpStream>, Agreed)> {
    handshake_with(address, &Hello::new(name, alpn)).await
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
