//! What one `pick` costs through the real runtime: head moved in and out, deadline armed, answer lifted. `floor` is a
//! plugin that does nothing; the others are the stock ones. Ratios within one run are what counts: other work on the
//! machine moves all of them. Power of two is to stay below 2.5 times the floor.

// A bench that cannot begin ends with a panic, and says why.
#![allow(clippy::expect_used)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Method, uri::PathAndQuery};
use pointsman::{
    config::model::Plugins,
    figures::{BackendFigures, Standing},
    net::{Connection, Head, Headers},
    plugin::{Artifact, BalancerInstance, Kind, Member, Membership, Origin, Runtime, Turn, stock},
    rng::Rng,
};
use std::{hint::black_box, sync::Arc};

/// Pools from a toy's to a large service's.
const BACKENDS: [usize; 4] = [3, 20, 100, 1000];
const STOCK: [&str; 3] = ["round-robin", "power-of-two", "least-request"];

fn picks(criterion: &mut Criterion) {
    let runtime = Runtime::new(&Plugins::default(), 1, "", None).expect("the engine starts");
    let floor = wat::parse_str(include_str!("floor.wat")).expect("the text is a component");
    let plugins = STOCK.map(|name| (name, stock::bytes(name).expect("cargo xtask stock was run").to_vec()));
    let mut group = criterion.benchmark_group("pick");
    for (name, bytes) in [("floor", floor)].into_iter().chain(plugins) {
        for backends in BACKENDS {
            let mut balancer = instance(&runtime, name, bytes.clone(), backends);
            let (mut head, mut rng) = (head(), Rng::new(1));
            let mut now_us = 0;
            group.bench_function(BenchmarkId::new(name, backends), |bencher| {
                bencher.iter(|| {
                    now_us += 1;
                    let turn = Turn { now_us, random: rng.bits(), key: None, attempt: 0 };
                    black_box(balancer.pick(&mut head, turn, &[]))
                });
            });
        }
    }
    group.finish();
}

fn instance(runtime: &Arc<Runtime>, name: &str, bytes: Vec<u8>, backends: usize) -> BalancerInstance {
    let compiled = runtime.compile(Artifact::new(name, bytes, Origin::Embedded)).expect("it compiles");
    let generation = runtime.admit(&compiled, Kind::Balancer, &[]).expect("it is admitted");
    generation.balancer(&"bench".into(), 0, "{}", members(backends)).expect("it is configured")
}

fn members(backends: usize) -> Membership {
    let member = |n: usize| Member {
        id: n as u64,
        name: format!("backend-{n}").into(),
        address: ([10, 0, (n >> 8) as u8, n as u8], 8080).into(),
        weight: 1,
        priority: 0,
        zone: "".into(),
        standing: Standing::Ready,
        metadata: Arc::new([]),
        figures: Arc::new(BackendFigures::default()),
    };
    Membership { ready: (0..backends).map(member).collect(), others: Vec::new() }
}

fn head() -> Head {
    let peer = ([127, 0, 0, 1], 1).into();
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/cart?item=1"),
        authority: HeaderValue::from_static("shop.example"),
        headers: Headers::from_iter([(http::header::ACCEPT, HeaderValue::from_static("*/*"))]),
        client: [127, 0, 0, 1].into(),
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, peer, None)),
    }
}

criterion_group!(benches, picks);
criterion_main!(benches);
