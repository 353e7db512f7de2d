//! The certificates of a listener, by the name in the client's hello.

use super::{
    Certificate,
    client::{self, Gatekeeper},
};
use crate::{
    config::model,
    net::{Asked, TlsFacts},
    problem::Problem,
};
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
    /// By whole name. Indices into `certificates`; of equals, the first in the file.
    by_name: HashMap<String, usize>,
    /// Wildcards by suffix, such as `.example.com`. As above.
    wildcards: HashMap<String, usize>,
    /// Bytes of the longest suffix: nothing longer needs to be looked up.
    longest: usize,
    /// By certificate: the number of the rule about its clients; 0: they are asked for nothing.
    rules: Vec<usize>,
    /// By the number of the rule less one.
    gatekeepers: Vec<Gatekeeper>,
}

/// Equal when clients are shown the same, and the same authorities are believed about them.
impl PartialEq for Store {
    fn eq(&self, other: &Store) -> bool {
        self.certificates.iter().map(|c| &c.key.cert).eq(other.certificates.iter().map(|c| &c.key.cert))
            && self.asks_as(other)
    }
}

impl Store {
    /// Reads and checks all certificates; relative paths start at `base`. Tells everything that is wrong: PM0211 (cannot
    /// be read or used), PM0212 (key and certificate differ), PM0213 (expired, where that is not allowed).
    pub fn load(tls: &model::Tls, base: &Path) -> Result<Store, Vec<Problem>> {
        Store::renew(tls, base, None).map(|(store, _)| store)
    }

    /// As [`Store::load`], but what was read before, and is asked for again, stays as it was where something is wrong with
    /// its files now. Says what that is.
    pub fn renew(
        tls: &model::Tls,
        base: &Path,
        before: Option<(&model::Tls, &Store)>,
    ) -> Result<(Store, Vec<Problem>), Vec<Problem>> {
        let (mut certificates, mut stale, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for source in &tls.certificates {
            let kept = || before.and_then(|(tls, store)| store.certificate_of(tls, source));
            match Certificate::load(source, base, tls.allow_expired).map_err(|problem| (problem, kept())) {
                Ok(certificate) => certificates.push(certificate),
                Err((problem, Some(kept))) => {
                    stale.push(problem);
                    certificates.push(kept.clone());
                }
                Err((problem, None)) => problems.push(problem),
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
                    let kept = || before.and_then(|(tls, store)| store.gatekeeper_of(tls, rule));
                    match client::gatekeeper(rule, base).map_err(|problem| (problem, kept())) {
                        Ok(gatekeeper) => store.gatekeepers.push(gatekeeper),
                        Err((problem, Some(kept))) => {
                            stale.push(problem);
                            store.gatekeepers.push(kept.clone());
                        }
                        Err((problem, None)) => problems.push(problem),
                    }
                    known.push(rule);
                    known.len()
                }
            };
            if let Some(of) = store.rules.get_mut(*certificate) {
                *of = number;
            }
        }
        if problems.is_empty() { Ok((store, stale)) } else { Err(problems) }
    }

    /// What was read of this source, if this store was made of `tls`.
    fn certificate_of(&self, tls: &model::Tls, source: &model::CertificateSource) -> Option<&Certificate> {
        self.certificates.get(tls.certificates.iter().position(|other| other == source)?)
    }

    /// Who was made of this rule, if this store was made of `tls`.
    fn gatekeeper_of(&self, tls: &model::Tls, rule: &model::ClientRule) -> Option<&Gatekeeper> {
        let (certificate, _) = tls.clients.iter().find(|(_, other)| *other == rule)?;
        self.gatekeepers.get(self.rules.get(*certificate)?.checked_sub(1)?)
    }

    fn new(certificates: Vec<Certificate>) -> Store {
        let (mut by_name, mut wildcards) = (HashMap::new(), HashMap::new());
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                let suffix = name.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
                let names = if suffix.is_some() { &mut wildcards } else { &mut by_name };
                names.entry(suffix.unwrap_or(name).to_owned()).or_insert(index);
            }
        }
        let longest = wildcards.keys().map(String::len).max().unwrap_or(0);
        let rules = vec![0; certificates.len()];
        Store { certificates, by_name, wildcards, longest, rules, gatekeepers: Vec::new() }
    }

    /// Who verifies clients, by the number of the rule less one.
    pub(super) fn verifiers(&self) -> impl Iterator<Item = Arc<dyn ClientCertVerifier>> {
        self.gatekeepers.iter().map(|gatekeeper| gatekeeper.verifier.clone())
    }

    /// The number of the rule about clients that ask for this name; 0: they are asked for nothing. A wildcard's certificate
    /// is good for one label, but a wildcard's route leads to all names below it, so its rule holds for them all. Where
    /// nothing above a name asks for anything, what is shown decides.
    pub fn rule(&self, name: Option<&str>) -> usize {
        let of = |certificate: usize| self.rules.get(certificate).copied().unwrap_or(0);
        match name.and_then(|name| self.nearest(name)).map_or(0, of) {
            0 => of(self.position(name)),
            rule => rule,
        }
    }

    /// What a rule asks of clients; none: nothing.
    pub(super) fn asked(&self, rule: usize) -> Option<&Arc<Asked>> {
        Some(&self.gatekeepers.get(rule.checked_sub(1)?)?.asked)
    }

    /// Whether anybody is asked for anything.
    pub fn asks(&self) -> bool {
        !self.gatekeepers.is_empty()
    }

    /// Whether the rules of both ask for the same, in the same order.
    pub fn asks_as(&self, other: &Store) -> bool {
        self.gatekeepers.iter().map(|g| &g.asked).eq(other.gatekeepers.iter().map(|g| &g.asked))
    }

    /// Whether a request for this host may come on a connection that was made so; none: without TLS.
    pub fn admits(&self, host: &str, tls: Option<&TlsFacts>) -> bool {
        let asked = self.asked(self.rule(Some(host)));
        asked.is_none_or(|asked| tls.is_some_and(|tls| asked.is_met_by(tls)))
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
            let wildcard = || self.wildcards.get(&name[name.find('.')?..]);
            self.by_name.get(name).or_else(wildcard)
        });
        named.copied().unwrap_or(0)
    }

    /// The exact name, else the wildcard above it that says most.
    fn nearest(&self, name: &str) -> Option<usize> {
        let suffixes = name.match_indices('.').map(|(dot, _)| &name[dot..]);
        let mut known = suffixes.filter(|suffix| suffix.len() <= self.longest);
        self.by_name.get(name).or_else(|| known.find_map(|suffix| self.wildcards.get(suffix))).copied()
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
            Store::load(&tls, room.path()).unwrap()
        };
        let authority = || generate_simple_self_signed(vec!["staff".into()]).unwrap().cert.pem();
        let (one, other) = (authority(), authority());
        assert!(load(&one) == load(&one));
        assert!(load(&one) != load(&other), "who was let in by the old one is let in no longer");
    }

    fn source(names: &[&str]) -> CertificateSource {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        CertificateSource::Memory { cert: cert.pem(), key: signing_key.serialize_pem() }
    }

    #[test]
    fn the_rule_of_a_wildcard_holds_for_all_names_below_it() {
        let room = tempfile::tempdir().unwrap();
        let rule = |authority: &str| {
            let ca = room.path().join(authority);
            std::fs::write(&ca, generate_simple_self_signed(vec![authority.into()]).unwrap().cert.pem()).unwrap();
            ClientRule { ca, verify: Verify::Require, spot: None }
        };
        let certificates = vec![
            source(&["default.example"]),
            source(&["*.admin.example"]),
            source(&["open.admin.example"]),
            source(&["*.shop.admin.example"]),
        ];
        let of = |clients: Vec<(usize, ClientRule)>| {
            let tls = Tls { clients: clients.into_iter().collect(), ..Tls::from(certificates.clone()) };
            Store::load(&tls, room.path()).unwrap()
        };
        let (staff, guests) = (of(vec![(1, rule("staff"))]), of(vec![(0, rule("guests")), (1, rule("staff"))]));
        let long = "a.".repeat(20_000) + "b.admin.example";
        for (name, by_staff, by_both) in [
            ("default.example", 0, 1),
            ("admin.example", 0, 1),
            ("notadmin.example", 0, 1),
            ("a.admin.example", 1, 2),
            ("a.b.admin.example", 1, 2),
            (&long, 1, 2),
            ("open.admin.example", 0, 0),
            ("a.open.admin.example", 1, 2),
            ("a.shop.admin.example", 0, 0),
            // Nearest is who asks for nothing; shown is the first.
            ("a.b.shop.admin.example", 0, 1),
        ] {
            assert_eq!((staff.rule(Some(name)), guests.rule(Some(name))), (by_staff, by_both), "{name:.50}");
        }
    }

    #[test]
    fn exact_beats_wildcard_beats_the_first() {
        let certificates = vec![
            source(&["default.example"]),
            source(&["*.shop.example", "shop.example"]),
            source(&["www.shop.example"]),
            source(&["www.shop.example"]),
        ];
        let store = Store::load(&Tls::from(certificates), Path::new("")).unwrap();
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
