//! One authority for all stories: it signs what the edges show, and every client trusts it.

use pointsman::config::model::{CertificateSource, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

/// A chain and its key, as PEM texts.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Leaf first.
    pub chain: String,
    /// Of the leaf.
    pub key: String,
    /// The leaf alone, to compare with what a client was shown.
    pub leaf: CertificateDer<'static>,
}

impl Certificate {
    /// For these names; `*.example.test` is one of many.
    pub fn new(names: &[&str]) -> Certificate {
        Certificate::signed(params(names))
    }

    /// For these names, until some years ago.
    pub fn expired(names: &[&str]) -> Certificate {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Certificate::signed(params)
    }

    /// For these names, for so long from now.
    pub fn ending(names: &[&str], after: Duration) -> Certificate {
        let mut params = params(names);
        params.not_after = (SystemTime::now() + after).into();
        Certificate::signed(params)
    }

    fn signed(params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, authority()).unwrap();
        Certificate { chain: leaf.pem(), key: key.serialize_pem(), leaf: leaf.der().clone() }
    }

    /// For a client of this name.
    pub fn client(name: &str) -> Certificate {
        let mut params = params(&[name]);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        Certificate::signed(params)
    }

    /// For a client of this name, signed by itself: nobody knows who that is.
    pub fn stranger(name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let leaf = params(&[name]).self_signed(&key).unwrap();
        Certificate { chain: leaf.pem(), key: key.serialize_pem(), leaf: leaf.der().clone() }
    }

    /// As it stands in two files.
    ///
    /// # Panics
    /// When it does not.
    pub fn read(chain: &Path, key: &Path) -> Certificate {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (chain, key) = (read(chain), read(key));
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        Certificate { chain, key, leaf }
    }

    /// The chain and the key as rustls takes them.
    pub fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("our own key");
        (CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect(), key)
    }

    /// As a listener takes it.
    pub fn source(&self) -> CertificateSource {
        CertificateSource::Memory { cert: self.chain.clone(), key: self.key.clone() }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
    CertificateParams::new(names).unwrap()
}

/// A listener's TLS with one certificate for `shop.test`, every name below it, and `localhost`.
pub fn shop() -> Tls {
    Tls::from(vec![Certificate::new(&["shop.test", "*.shop.test", "localhost"]).source()])
}

/// The authority's own certificate, as PEM text: whom backends and clients are held against.
pub fn authority_pem() -> String {
    authority().pem()
}

/// Whom the clients trust.
pub fn roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority().der().clone()).expect("our own authority");
    Arc::new(roots)
}

fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Of a name of its own: OpenSSL takes a leaf with its issuer's name for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "Authority of the stories");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}
