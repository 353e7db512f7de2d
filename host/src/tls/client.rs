//! Certificates of clients: whose are let in, and what they say.

use super::certificate::File;
use crate::{
    config::model::{ClientRule, Verify},
    net::{Asked, ClientCertificate},
    problem::Problem,
};
use http::HeaderValue;
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt::Write, path::Path, sync::Arc};
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

/// Bytes of a header that tells of a certificate; what is longer is left out, for half a name is another name.
const LINE_BYTES_MOST: usize = 4096;

/// Who lets clients in by a rule.
#[derive(Clone, Debug)]
pub(super) struct Gatekeeper {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// What it asks for.
    pub(super) asked: Arc<Asked>,
}

/// Who lets clients in by this rule; a relative path starts at `base`. PM0211: the authorities cannot be read or used.
pub(super) fn gatekeeper(rule: &ClientRule, base: &Path) -> Result<Gatekeeper, Problem> {
    let file = File::read(&rule.ca, base, rule.spot.as_ref())?;
    let unusable = |what: &str| file.unusable(what);
    let (mut roots, mut authorities) = (RootCertStore::empty(), BTreeSet::new());
    for certificate in CertificateDer::pem_slice_iter(&file.pem) {
        let certificate = certificate.map_err(|error| unusable("malformed PEM").detail(error))?;
        authorities.insert(Sha256::digest(&certificate).into());
        roots.add(certificate).map_err(|error| unusable("an authority is unusable").detail(error))?;
    }
    if roots.is_empty() {
        return Err(unusable("no certificate inside"));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match rule.verify {
        Verify::Require => builder,
        Verify::Request => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|error| unusable("the authorities are unusable").detail(error))?;
    let asked = Asked { is_required: rule.verify == Verify::Require, authorities };
    Ok(Gatekeeper { verifier, asked: Arc::new(asked) })
}

/// What a certificate says that was verified.
pub(super) fn facts(certificate: &CertificateDer<'_>) -> Option<Box<ClientCertificate>> {
    let digits = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parsed = x509_parser::parse_x509_certificate(certificate).ok();
    let parsed = parsed.as_ref().map(|(_, certificate)| certificate);
    Some(Box::new(ClientCertificate {
        // Digits are a legal value.
        sha256: HeaderValue::try_from(digits).ok()?,
        subject: parsed.and_then(|certificate| line(&certificate.subject().to_string())),
        names: parsed.and_then(|certificate| line(&names(certificate))),
    }))
}

/// All names but those of kinds that nobody asks for.
fn names(certificate: &X509Certificate<'_>) -> String {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{}", escaped(name))),
        GeneralName::URI(name) => Some(format!("URI:{}", escaped(name))),
        GeneralName::RFC822Name(name) => Some(format!("email:{}", escaped(name))),
        GeneralName::IPAddress(bytes) => Some(format!("IP:{}", address(bytes)?)),
        _ => None,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Into::into);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Into::into)).ok()
}

/// Without what would make two names of one.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(',', "%2C")
}

/// One line of a header; what is no visible ASCII is written as its bytes, `%E9`.
fn line(text: &str) -> Option<HeaderValue> {
    let mut line = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => line.push(char::from(byte)),
            // Writing to memory does not fail.
            _ => drop(write!(line, "%{byte:02X}")),
        }
    }
    let fits = (1..=LINE_BYTES_MOST).contains(&line.len());
    fits.then(|| HeaderValue::try_from(line).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn a_certificate_tells_whose_it_is() {
        let mut params = CertificateParams::new(vec!["a.example".into(), "192.0.2.1".into()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://a,b".try_into().unwrap()));
        params.distinguished_name.push(DnType::CommonName, "Zoë\r\nx-evil: 1");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let facts = facts(certificate.der()).unwrap();
        assert_eq!(facts.sha256.len(), 64);
        assert_eq!(facts.names.unwrap(), "DNS:a.example, IP:192.0.2.1, URI:spiffe://a%2Cb");
        assert_eq!(facts.subject.unwrap(), "CN=Zo%C3%AB%0D%0Ax-evil: 1");
    }

    #[test]
    fn a_name_that_is_too_long_is_no_name() {
        assert_eq!(line(&"x".repeat(LINE_BYTES_MOST + 1)), None);
        assert_eq!(line(""), None);
    }
}
