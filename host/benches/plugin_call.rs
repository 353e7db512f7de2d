//! What one `pick` costs through the real runtime: head moved in and out, deadline armed, answer lifted. `floor` is a
//! plugin that does nothing; the others are the stock ones. Ratios within one run are what counts: other work on the
//! machine moves all of them. Each with pools of four sizes; the bench `pick` holds all stock balancers to their promises.

// A bench that cannot begin ends with a panic, and says why.
#![allow(clippy::expect_used)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod parts;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pointsman::{
    config::model::Plugins,
    figures::{Loss, Outbox, Picker, Row},
    plugin::{Runtime, Turn, stock},
    rng::Rng,
};
use std::{hint::black_box, rc::Rc, sync::Arc};
use tokio::time::Instant;

/// Pools from a toy's to a large service's.
const BACKENDS: [usize; 4] = [3, 20, 100, 1000];
const STOCK: [&str; 3] = ["round-robin", "power-of-two", "least-request"];

fn picks(criterion: &mut Criterion) {
    let runtime = Runtime::new(&Plugins::default(), 1, "", None).expect("the engine starts");
    let plugins = STOCK.map(|name| (name, stock::bytes(name).expect("cargo xtask stock was run").to_vec()));
    let mut group = criterion.benchmark_group("pick");
    for (name, bytes) in [("floor", parts::floor())].into_iter().chain(plugins) {
        for backends in BACKENDS {
            let mut balancer = parts::instance(&runtime, name, bytes.clone(), "{}", parts::members(backends));
            let (mut head, mut rng) = (parts::head(), Rng::new(1));
            let mut now_us = 0;
            group.bench_function(BenchmarkId::new(name, backends), |bencher| {
                bencher.iter(|| {
                    now_us += 1;
                    let turn = Turn { now_us, random: rng.bits(), key: None, attempt: 0, explain: false };
                    black_box(balancer.pick(&mut head, turn, &[]))
                });
            });
        }
    }
    group.finish();
}

/// What it costs, beside the pick, that a plugin hears of an attempt: its slip from the pick to the answer's end, and its part
/// of a batch. It is to stay below 60 ns.
fn outcomes(criterion: &mut Criterion) {
    let runtime = Runtime::new(&Plugins::default(), 1, "", None).expect("the engine starts");
    let mut balancer = parts::instance(&runtime, "floor", parts::floor(), "{}", parts::members(100));
    let ledger = balancer.generation().ledger().clone();
    let outbox = Rc::new(Outbox::new(Arc::default()));
    let picker = Picker::next_of(&Rc::default(), &outbox, &ledger, 0);
    let (mut rows, mut now) = (Vec::new(), Instant::now());
    criterion.bench_function("outcome", |bencher| {
        bencher.iter(|| {
            let slip = picker.slip(7, 7, 1, 0, now);
            slip.answered(200, 1000);
            slip.received(black_box(100));
            slip.lost(Loss::Nothing);
            drop(slip);
            if outbox.has_batch() {
                now = Instant::now();
                outbox.empty_into(&mut rows);
                balancer.observe(1, &rows).expect("it hears nothing that could harm it");
                rows.drain(..).for_each(Row::delivered);
            }
        });
    });
}

criterion_group!(benches, picks, outcomes);
criterion_main!(benches);
