//! The room as a whole, with small guests that misbehave in one way each.

pub(crate) mod guest;
mod refusals;
mod serving;
mod time;
mod wasi;

use super::{
    Artifact, BalancerInstance, Fault, FilterInstance, Generation, Member, Membership, Origin, Runtime, Turn, Use,
};
use crate::{
    config::model::Plugins,
    figures::{BackendFigures, Standing},
    net::{Connection, Head, TlsFacts},
    problem::Problem,
};
use guest::Guest;
use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

pub(crate) fn runtime() -> Arc<Runtime> {
    Runtime::new(&Plugins::default(), 2, "here", None).unwrap()
}

fn artifact(bytes: impl Into<bytes::Bytes>) -> Artifact {
    Artifact::new("ll", bytes, Origin::File("plugins/ll.wasm".into()))
}

fn member(name: &str, standing: Standing) -> Member {
    Member {
        id: xxhash_rust::xxh64::xxh64(name.as_bytes(), 0),
        name: name.into(),
        address: SocketAddr::from(([127, 0, 0, 1], 80)).into(),
        weight: 1,
        priority: 0,
        zone: "".into(),
        standing,
        metadata: Arc::new([("rack".into(), "7".into())]),
        figures: Arc::new(BackendFigures::default()),
    }
}

/// Three that are ready and one that is not.
fn members() -> Membership {
    let ready = ["a", "b", "c"].map(|name| member(name, Standing::Ready)).into();
    Membership { ready, others: vec![member("d", Standing::Unhealthy)], ..Membership::default() }
}

fn one_use(settings: &str) -> Use {
    Use { pool: "cart".into(), settings: settings.into(), membership: members(), spot: None }
}

pub(crate) fn head() -> Head {
    let line = |value| (HeaderName::from_static("x-name"), HeaderValue::from_static(value));
    let headers = [line("first"), line("second")].into_iter().collect();
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let tls = TlsFacts { sni: Some("shop.example".into()), ..TlsFacts::default() };
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/cart?x=1"),
        authority: HeaderValue::from_static("shop.example"),
        headers,
        client,
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, SocketAddr::new(client, 1), Some(tls))),
    }
}

fn turn() -> Turn {
    Turn { now_us: 1, random: 2, key: None, attempt: 0, explain: false }
}

/// Compiles and admits without a use: nothing but the instantiation is tried.
pub(crate) fn generation(runtime: &Arc<Runtime>, guest: &Guest) -> Arc<Generation> {
    let compiled = runtime.compile(artifact(guest.bytes())).unwrap();
    let kind = compiled.kind();
    runtime.admit(&compiled, kind, &[]).unwrap()
}

fn balancer(guest: &Guest) -> Result<BalancerInstance, Fault> {
    generation(&runtime(), guest).balancer(&"cart".into(), 0, "{}", members())
}

fn filter(guest: &Guest) -> Result<FilterInstance, Fault> {
    generation(&runtime(), guest).filter(0, "{}")
}

/// What admission for one use says.
fn admit(guest: &Guest) -> Result<Arc<Generation>, Problem> {
    let runtime = runtime();
    let compiled = runtime.compile(artifact(guest.bytes())).unwrap();
    runtime.admit(&compiled, compiled.kind(), &[one_use("{}")])
}
