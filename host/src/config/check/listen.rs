//! What the keys of listeners mean together.

use super::{Unique, from_base, size_within, time, values};
use crate::{
    config::{
        file,
        model::{
            ByteRate, CertificateSource, ClientRule, DEFAULT_MODE, HeadLimit, ListenTimeout, Listener, Network,
            SourceLimit, Tls,
        },
        read::{At, Reader},
        shapes::{List, OneOrMany},
    },
    problem::{Code, Problem},
};
use std::path::Path;

/// From what browsers send to what nobody means; each connection may hold as much.
const HEAD: (u64, u64) = (1 << 10, 1 << 20);

/// From a short path to what still has a place in any head.
const TARGET: (u64, u64) = (64, 32 << 10);

pub(super) fn listeners(list: Option<At<List<file::Listen>>>, base: &Path, reader: &mut Reader) -> Vec<Listener> {
    let Some(list) = list else { return Vec::new() };
    if list.it.0.is_empty() {
        let problem =
            Problem::error(Code::BAD_VALUE, "there is no listener").at(reader.spot(&list.span), "expected one");
        reader.tell(problem);
    }
    let (mut names, mut addresses) = (Unique::default(), Unique::default());
    let mut listeners = Vec::new();
    for At { it: listen, span } in list.it.0.into_iter().flatten() {
        if let Some(name) = &listen.name {
            names.add(&name.it.0, &name.span, |name| format!("two listeners are called {name:?}"), reader);
        }
        if let (Some(_), Some(redirect)) = (&listen.tls, &listen.redirect) {
            let problem = Problem::error(Code::BAD_VALUE, "a listener with `tls` has no use for `redirect`");
            reader.tell(problem.at(reader.spot(&redirect.span), "what comes here is encrypted already"));
        }
        let Some(address) = listen.address else { continue };
        let at = from_base(address.it.0, base);
        if at.tcp().is_none_or(|address| address.port() != 0) {
            let headline = |address: &_| format!("two listeners have the address {address}");
            addresses.add(&at, &address.span, headline, reader);
        }
        let timeout = listen.timeout.map(|at| listen_timeout(&at.it)).unwrap_or_default();
        let least_rate = listen.limit.as_ref().and_then(|at| at.it.least_rate.as_ref());
        let least_rate = least_rate.map_or(timeout.least_rate, |at| ByteRate(at.it.0));
        listeners.push(Listener {
            name: listen.name.map_or_else(|| at.to_string(), |name| name.it.0),
            address: at,
            mode: listen.mode.map_or(DEFAULT_MODE, |at| at.it.0),
            tls: listen.tls.map(|tls| self::tls(tls.it, base, reader)),
            timeout: ListenTimeout { least_rate, ..timeout },
            head: listen.limit.as_ref().map(|at| head_limit(&at.it, reader)).unwrap_or_default(),
            proxy_protocol: proxy_protocol(listen.proxy_protocol, listen.trusted_proxies.as_ref(), reader),
            trusted_proxies: listen.trusted_proxies.map(|at| at.it).map_or_else(Vec::new, values),
            forwarded: listen.forwarded.map(|at| at.it).unwrap_or_default(),
            request_id: listen.request_id.is_some_and(|at| at.it),
            explain_header: listen.explain_header.map(|at| at.it.0),
            redirect: listen.redirect.map(|at| at.it.0),
            limit: listen.limit.map(|at| source_limit(&at.it)).unwrap_or_default(),
            spot: Some(reader.spot(&span)),
        });
    }
    listeners
}

fn tls(list: OneOrMany<file::Certificate>, base: &Path, reader: &Reader) -> Tls {
    let mut tls = Tls::from(Vec::new());
    for mut at in list.0.into_iter().flatten() {
        let client = at.it.client.take();
        let Some(certificate) = certificate(at, base, reader) else { continue };
        let rule = client.and_then(|At { it, span }| {
            Some(ClientRule {
                ca: base.join(it.ca?.it.0),
                verify: it.verify.map(|at| at.it).unwrap_or_default(),
                spot: Some(reader.spot(&span)),
            })
        });
        tls.clients.extend(rule.map(|rule| (tls.certificates.len(), rule)));
        tls.certificates.push(certificate);
    }
    tls
}

fn certificate(At { it, span }: At<file::Certificate>, base: &Path, reader: &Reader) -> Option<CertificateSource> {
    let cert = it.cert?.it.0;
    Some(CertificateSource::Files {
        cert: base.join(cert),
        key: base.join(it.key?.it.0),
        spot: Some(reader.spot(&span)),
    })
}

fn listen_timeout(timeout: &file::ListenTimeout) -> ListenTimeout {
    let default = ListenTimeout::default();
    ListenTimeout {
        handshake: time(&timeout.handshake).unwrap_or(default.handshake),
        head: time(&timeout.head).unwrap_or(default.head),
        idle: time(&timeout.idle).unwrap_or(default.idle),
        ..default
    }
}

fn head_limit(limit: &file::ListenLimit, reader: &mut Reader) -> HeadLimit {
    let default = HeadLimit::default();
    let mut size = |at, key, range| size_within(at, key, range, reader).and_then(|size| usize::try_from(size).ok());
    HeadLimit {
        head: size(&limit.head, "head", HEAD).unwrap_or(default.head),
        target: size(&limit.target, "target", TARGET).unwrap_or(default.target),
        headers: limit.headers.as_ref().map_or(default.headers, |at| at.it.0 as usize),
    }
}

fn source_limit(limit: &file::ListenLimit) -> SourceLimit {
    SourceLimit {
        connections: limit.connections.as_ref().map(|at| at.it.0),
        connections_per_source: limit.connections_per_source.as_ref().map(|at| at.it.0),
        requests_per_source: limit.requests_per_source.as_ref().map(|at| at.it.0),
    }
}

/// Who may tell whose connection it is has to be said.
fn proxy_protocol(written: Option<At<bool>>, trusted: Option<&At<List<Network>>>, reader: &mut Reader) -> bool {
    let Some(At { it: true, span }) = written else { return false };
    if trusted.is_none_or(|list| list.it.0.is_empty()) {
        let headline = "`proxy_protocol` needs `trusted_proxies`: who may say whose connection it is";
        let problem = Problem::error(Code::BAD_VALUE, headline).at(reader.spot(&span), "nobody is trusted");
        reader.tell(problem.note("add the proxies' addresses, such as trusted_proxies = [\"10.0.0.0/8\"]"));
    }
    true
}
