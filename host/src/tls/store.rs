//! The certificates of a listener, by the name in the client's hello.

use super::{
    Certificate,
    client::{self, Gatekeeper},
};
use crate::{config::model, problem::Problem};
use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use std::{collections::HashMap, path::Path, sync::Arc};

/// Which store is shown to those who say hello now. What was agreed on before goes on with what it was shown.
#[derive(Debug)]
pub(super) struct Shown(ArcSwap<Store>);

impl Shown {
    pub(super) fn new(store: Arc<Store>) -> Arc<Shown> {
        Arc::new(Shown(ArcSwap::new(store)))
    }

    pub(super) fn store(&self) -> Arc<Store> {
        self.0.load_full()
    }

    pub(super) fn show(&self, store: Arc<Store>) {
        self.0.store(store);
    }
}

/// Certificates by name; the first is for clients that give no name, or one that nothing here is for.
#[derive(Debug)]
pub struct Store {
    certificates: Vec<Certificate>,
    /// By name, wildcards as written. Indices into `certificates`; of equals, the first in the file.
    by_name: HashMap<String, usize>,
    /// By certificate: the number of the rule about its clients; 0: they are asked for nothing.
    rules: Vec<usize>,
    /// By the number of the rule less one.
    gatekeepers: Vec<Gatekeeper>,
}

/// Equal when clients are shown the same, and the same authorities are believed about them.
impl PartialEq for Store {
    fn eq(&self, other: &Store) -> bool {
        self.certificates.iter().map(|c| &c.key.cert).eq(other.certificates.iter().map(|c| &c.key.cert))
            && self.gatekeepers.iter().map(|g| &g.roots.roots).eq(other.gatekeepers.iter().map(|g| &g.roots.roots))
    }
}

impl Store {
    /// Reads and checks all certificates; relative paths start at `base`. Tells everything that is wrong: PM0211 (cannot
    /// be read or used), PM0212 (key and certificate differ), PM0213 (expired, unless `allow_expired`).
    pub fn load(tls: &model::Tls, base: &Path, allow_expired: bool) -> Result<Store, Vec<Problem>> {
        let mut certificates = Vec::new();
        let mut problems = Vec::new();
        for source in &tls.certificates {
            match Certificate::load(source, base, allow_expired) {
                Ok(certificate) => certificates.push(certificate),
                Err(problem) => problems.push(problem),
            }
        }
        let mut store = Store::new(certificates);
        let mut known: Vec<&model::ClientRule> = Vec::new();
        for (certificate, rule) in &tls.clients {
            // The same rule twice is one: its connections may be used for all its names.
            let alike = known.iter().position(|other| other.ca == rule.ca && other.verify == rule.verify);
            let number = match alike {
                Some(index) => index + 1,
                None => {
                    match client::gatekeeper(rule, base) {
                        Ok(gatekeeper) => store.gatekeepers.push(gatekeeper),
                        Err(problem) => problems.push(problem),
                    }
                    known.push(rule);
                    known.len()
                }
            };
            if let Some(of) = store.rules.get_mut(*certificate) {
                *of = number;
            }
        }
        if problems.is_empty() { Ok(store) } else { Err(problems) }
    }

    fn new(certificates: Vec<Certificate>) -> Store {
        let mut by_name = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                by_name.entry(name.clone()).or_insert(index);
            }
        }
        let rules = vec![0; certificates.len()];
        Store { certificates, by_name, rules, gatekeepers: Vec::new() }
    }

    /// Who verifies clients, by the number of the rule less one.
    pub(super) fn verifiers(&self) -> impl Iterator<Item = Arc<dyn ClientCertVerifier>> {
        self.gatekeepers.iter().map(|gatekeeper| gatekeeper.verifier.clone())
    }

    /// The number of the rule about clients that ask for this name; 0: they are asked for nothing.
    pub fn rule(&self, name: Option<&str>) -> usize {
        self.rules.get(self.position(name)).copied().unwrap_or(0)
    }

    /// The rule that all certificates share.
    pub(super) fn only_rule(&self) -> Option<usize> {
        let first = *self.rules.first()?;
        self.rules.iter().all(|rule| *rule == first).then_some(first)
    }

    /// In the order of the file.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The exact name first, then the wildcard over its first label, then the default.
    fn find(&self, name: Option<&str>) -> Option<&Certificate> {
        self.certificates.get(self.position(name))
    }

    fn position(&self, name: Option<&str>) -> usize {
        let named = name.and_then(|name| {
            let wildcard = || self.by_name.get(&format!("*{}", &name[name.find('.')?..]));
            self.by_name.get(name).or_else(wildcard)
        });
        named.copied().unwrap_or(0)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case.
        self.0.load().find(hello.server_name()).map(|certificate| certificate.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{CertificateSource, ClientRule, Tls, Verify};
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    #[test]
    fn other_authorities_of_clients_make_another_store() {
        let room = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a.example".into()]).unwrap();
        let shown = CertificateSource::Memory { cert: cert.pem(), key: signing_key.serialize_pem() };
        let rule = ClientRule { ca: "ca.pem".into(), verify: Verify::Require, spot: None };
        let tls = Tls { clients: [(0, rule)].into(), ..Tls::from(vec![shown]) };
        let load = |authority: &str| {
            std::fs::write(room.path().join("ca.pem"), authority).unwrap();
            Store::load(&tls, room.path(), false).unwrap()
        };
        let authority = || generate_simple_self_signed(vec!["staff".into()]).unwrap().cert.pem();
        let (one, other) = (authority(), authority());
        assert!(load(&one) == load(&one));
        assert!(load(&one) != load(&other), "who was let in by the old one is let in no longer");
    }

    #[test]
    fn exact_beats_wildcard_beats_the_first() {
        let source = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
            CertificateSource::Memory { cert: cert.pem(), key: signing_key.serialize_pem() }
        };
        let certificates = vec![
            source(&["default.example"]),
            source(&["*.shop.example", "shop.example"]),
            source(&["www.shop.example"]),
            source(&["www.shop.example"]),
        ];
        let store = Store::load(&Tls::from(certificates), Path::new(""), false).unwrap();
        for (name, index) in [
            (None, 0),
            (Some("elsewhere.example"), 0),
            (Some("localhost"), 0),
            (Some("shop.example"), 1),
            (Some("a.shop.example"), 1),
            (Some("a.b.shop.example"), 0),
            (Some("www.shop.example"), 2),
        ] {
            assert!(std::ptr::eq(store.find(name).unwrap(), &store.certificates[index]), "{name:?}");
        }
    }
}
