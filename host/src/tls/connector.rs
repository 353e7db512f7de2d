//! Handshakes with backends: TLS 1.2 and 1.3, the backend's certificate held against roots and its name, sessions resumed.

use super::{Certificate, certificate::File};
use crate::{
    config::model::{BackendTls, Roots},
    problem::{Code, Problem},
};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use std::{io, path::Path, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

/// An encrypted connection to a backend.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<S>;

/// Makes encrypted connections to the backends of one pool. All workers share it, and with it the sessions to resume.
pub struct Connector {
    connector: tokio_rustls::TlsConnector,
    /// Of whom a certificate is asked, in place of the backend's own host.
    name: Option<ServerName<'static>>,
    tls: BackendTls,
    roots: Arc<RootCertStore>,
    /// What is shown to a backend that asks who is there; empty: nothing.
    chain: Vec<CertificateDer<'static>>,
}

/// Equal when they were made of the same, files included.
impl PartialEq for Connector {
    fn eq(&self, other: &Connector) -> bool {
        self.tls == other.tls && self.roots.roots == other.roots.roots && self.chain == other.chain
    }
}

impl Connector {
    /// Reads roots and the client's certificate; relative paths start at `base`. `protocols` are offered by ALPN, the first
    /// preferred. PM0211: a file cannot be read or used, or the system has no roots. PM0212: the key belongs to another
    /// certificate. PM0213: the certificate has expired, and that is not allowed.
    pub fn load(tls: &BackendTls, base: &Path, protocols: &[&str]) -> Result<Connector, Vec<Problem>> {
        let identity =
            tls.identity.as_ref().map(|source| Certificate::load(source, base, tls.allow_expired)).transpose();
        let roots = if tls.dangerous_skip_verification { Ok(RootCertStore::empty()) } else { roots(tls, base) };
        let (identity, roots) = match (identity, roots) {
            (Ok(identity), Ok(roots)) => (identity, roots),
            (identity, roots) => return Err(identity.err().into_iter().chain(roots.err()).collect()),
        };
        let name = tls.sni.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|error| vec![unusable(tls, "no name that a certificate can be for").detail(error)])?;
        let roots = Arc::new(roots);
        let chain = identity.as_ref().map(|identity| identity.key.cert.clone()).unwrap_or_default();
        let config = configure(tls, identity, roots.clone(), protocols);
        let config = config.map_err(|error| vec![unusable(tls, "TLS").detail(error)])?;
        Ok(Connector { connector: Arc::new(config).into(), name, tls: tls.clone(), roots, chain })
    }

    /// Shakes hands with the backend of this host; `alone` is offered in the place of all protocols. Dropping this future
    /// closes the connection.
    ///
    /// # Errors
    /// The backend shows a certificate that is not believed, the two found nothing in common, or the connection broke.
    pub async fn connect<S>(&self, host: &str, socket: S, alone: Option<&str>) -> io::Result<ClientStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host).map_err(io::Error::other)?.to_owned(),
        };
        match alone {
            Some(protocol) => self.connector.with_alpn(vec![protocol.into()]).connect(name, socket).await,
            None => self.connector.connect(name, socket).await,
        }
    }
}

/// Whether HTTP/2 was agreed on.
pub fn agreed_on_http2<S>(stream: &ClientStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Whether a handshake failed because the backend speaks nothing of what was offered.
pub fn agreed_on_nothing(error: &io::Error) -> bool {
    let refused = TlsError::AlertReceived(AlertDescription::NoApplicationProtocol);
    error.get_ref().and_then(|error| error.downcast_ref()).is_some_and(|error: &TlsError| *error == refused)
}

fn configure(
    tls: &BackendTls,
    identity: Option<Certificate>,
    roots: Arc<RootCertStore>,
    protocols: &[&str],
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match tls.dangerous_skip_verification {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        false => builder.with_root_certificates(roots),
    };
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

fn roots(tls: &BackendTls, base: &Path) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let file = match &tls.roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if !roots.is_empty() {
                return Ok(roots);
            }
            let problem = unusable(tls, "this system has no root certificates");
            let problem = problem.note("install `ca-certificates`, or name a file with `ca`");
            return Err(found.errors.into_iter().fold(problem, Problem::detail));
        }
        Roots::File { path, spot } => File::read(path, base, spot.as_ref())?,
        Roots::Memory(pem) => File::memory("roots in memory", pem),
    };
    for certificate in CertificateDer::pem_slice_iter(&file.pem) {
        let certificate = certificate.map_err(|error| file.unusable("malformed PEM").detail(error))?;
        roots.add(certificate).map_err(|error| file.unusable("no root certificate").detail(error))?;
    }
    if roots.is_empty() { Err(file.unusable("no certificate inside")) } else { Ok(roots) }
}

fn unusable(tls: &BackendTls, what: &str) -> Problem {
    let problem = Problem::error(Code::CERTIFICATE_MISSING, format!("TLS to the backends: {what}"));
    match &tls.spot {
        Some(spot) => problem.at(spot.clone(), "for this"),
        None => problem,
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
