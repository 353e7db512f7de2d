//! What the benches share: pools, a request. Not each of them uses all of it.
#![allow(dead_code, clippy::expect_used)]

use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use pointsman::{
    figures::{Attempt, BackendFigures, Outcome, REPORTED_MOST, Standing},
    net::{Connection, Head, Headers},
    plugin::{Artifact, BalancerInstance, Kind, Member, Membership, Origin, Runtime},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The cheapest balancer there can be, as a component.
pub(crate) fn floor() -> Vec<u8> {
    wat::parse_str(include_str!("../floor.wat")).expect("the text is a component")
}

/// Compiles a plugin and makes an instance of it for a pool.
pub(crate) fn instance(
    runtime: &Arc<Runtime>,
    name: &str,
    bytes: Vec<u8>,
    settings: &str,
    pool: Membership,
) -> BalancerInstance {
    let compiled = runtime.compile(Artifact::new(name, bytes, Origin::Embedded)).expect("it compiles");
    let generation = runtime.admit(&compiled, Kind::Balancer, &[]).expect("it is admitted");
    generation.balancer(&"bench".into(), 0, settings, pool).expect("it is configured")
}

/// So many backends of weight 1 that nobody uses.
pub(crate) fn members(backends: usize) -> Membership {
    let member = |n: usize| Member {
        id: n as u64,
        name: format!("backend-{n}").into(),
        address: ([10, 0, (n >> 8) as u8, n as u8], 8080).into(),
        weight: 1,
        priority: 0,
        zone: format!("zone-{}", n % 3).into(),
        standing: Standing::Ready,
        metadata: Arc::new([]),
        figures: Arc::new(BackendFigures::default()),
    };
    Membership { ready: (0..backends).map(member).collect(), ..Membership::default() }
}

/// The same backends as in use: each has answered, in one to two milliseconds but for once, reports its load, and has up to
/// six requests under way for as long as these live.
pub(crate) fn in_use(pool: &Membership) -> Vec<Attempt> {
    let now = Instant::now();
    pool.reports.hold_for(Duration::from_secs(3600));
    let use_it = |(n, member): (usize, &Member)| {
        for took_us in [5_000, 1_000 + 10 * (n as u64 * 37 % 100)] {
            let mut attempt = Attempt::begin(member.figures.clone(), now);
            attempt.ended(Outcome::Answered(200), now + Duration::from_micros(took_us));
        }
        // Under whichever names a plugin will ask for.
        (0..REPORTED_MOST as u32).for_each(|place| member.figures.reports(place, (n % 5) as f64 / 5.0, now));
        (0..n % 7).map(|_| Attempt::begin(member.figures.clone(), now)).collect::<Vec<_>>()
    };
    pool.ready.iter().enumerate().flat_map(use_it).collect()
}

/// A request as browsers send it, with a header by which `llm-queue` knows a prompt's beginning.
pub(crate) fn head() -> Head {
    let peer = ([127, 0, 0, 1], 1).into();
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/cart?item=1"),
        authority: HeaderValue::from_static("shop.example"),
        headers: Headers::from_iter([
            (http::header::ACCEPT, HeaderValue::from_static("*/*")),
            (HeaderName::from_static("x-prefix"), HeaderValue::from_static("agent-7")),
        ]),
        client: [127, 0, 0, 1].into(),
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, peer, None)),
    }
}
