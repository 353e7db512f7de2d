//! What one `pick` of each stock balancer costs through the real runtime, and whether that is within what its `plugin.toml`
//! promises: so many times a plugin that does nothing, measured in the same run. `cargo xtask bench pick` runs it, and
//! ends with a failure where a promise is broken.

// A bench that cannot begin ends with a panic, and says why.
#![allow(clippy::expect_used)]

mod parts;

use criterion::{BenchmarkId, Criterion};
use pointsman::{
    config::model::Plugins,
    plugin::{Runtime, Turn, stock},
    rng::Rng,
};
use serde::Deserialize;
use std::{env, fs, hint::black_box, path::Path, process::ExitCode, sync::Arc, time::Duration};

/// Long enough for ratios that repeat within some per cent, short enough for all plugins in two minutes.
const MEASURED: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// What the floor is called.
const FLOOR: &str = "floor";
const GROUP: &str = "pick";

/// What of a `plugin.toml` is read here.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    #[serde(default)]
    cost: Vec<Cost>,
}

/// One promise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    /// In a pool of so many backends a pick takes,
    backends: usize,
    /// at most so many times what a plugin takes that does nothing,
    at_most: f64,
    /// with these settings.
    #[serde(default)]
    settings: toml::Table,
}

fn main() -> ExitCode {
    let manifests: Vec<Manifest> =
        stock::names().iter().filter_map(|name| stock::manifest(name)).map(manifest).collect();
    let folder = tempfile::tempdir().expect("a folder for figures");
    let criterion = Criterion::default().warm_up_time(WARM_UP).measurement_time(MEASURED);
    let mut criterion = criterion.configure_from_args().output_directory(folder.path());
    measure(&mut criterion, &manifests);
    criterion.final_summary();
    // Whoever names some measures some.
    let is_whole = env::args().skip(1).all(|argument| argument == "--bench");
    if report(folder.path(), &manifests, is_whole) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn manifest(text: &str) -> Manifest {
    toml::from_str(text).expect("a manifest that the tests have read")
}

fn measure(criterion: &mut Criterion, manifests: &[Manifest]) {
    let runtime = Runtime::new(&Plugins::default(), 1, "", None).expect("the engine starts");
    let costs = || manifests.iter().flat_map(|manifest| manifest.cost.iter().map(move |cost| (manifest, cost)));
    let mut sizes: Vec<usize> = costs().map(|(_, cost)| cost.backends).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for backends in sizes {
        measure_one(criterion, &runtime, FLOOR, parts::floor(), backends, "{}");
    }
    for (manifest, cost) in costs() {
        let bytes = stock::bytes(&manifest.name).expect("embedded").to_vec();
        let settings = serde_json::to_string(&cost.settings).expect("settings are JSON");
        measure_one(criterion, &runtime, &manifest.name, bytes, cost.backends, &settings);
    }
}

fn measure_one(
    criterion: &mut Criterion,
    runtime: &Arc<Runtime>,
    name: &str,
    bytes: Vec<u8>,
    backends: usize,
    settings: &str,
) {
    let pool = parts::members(backends);
    let _under_way = parts::in_use(&pool);
    let mut balancer = parts::instance(runtime, name, bytes, settings, pool);
    let (mut head, mut rng, mut now_us) = (parts::head(), Rng::new(1), 0);
    let mut group = criterion.benchmark_group(GROUP);
    group.bench_function(BenchmarkId::new(name, backends), |bencher| {
        bencher.iter(|| {
            now_us += 1;
            let turn = Turn { now_us, random: rng.bits(), key: Some(rng.bits()), attempt: 0, explain: false };
            black_box(balancer.pick(&mut head, turn, &[]))
        });
    });
    group.finish();
}

/// Prints what was measured; false where a promise is broken, or one was to be measured and was not.
fn report(folder: &Path, manifests: &[Manifest], is_whole: bool) -> bool {
    let mut kept = true;
    println!("{:<20} {:>8} {:>7} {:>9} {:>7} {:>8}", "balancer", "backends", "floor", "pick", "ratio", "at most");
    for manifest in manifests {
        for cost in &manifest.cost {
            let (floor, pick) = (nanos(folder, FLOOR, cost.backends), nanos(folder, &manifest.name, cost.backends));
            let (Some(floor), Some(pick)) = (floor, pick) else {
                if is_whole {
                    println!("{:<20} {:>8} was not measured  BROKEN", manifest.name, cost.backends);
                    kept = false;
                }
                continue;
            };
            let ratio = pick / floor;
            let verdict = if ratio <= cost.at_most { "" } else { "  BROKEN" };
            kept &= verdict.is_empty();
            println!(
                "{:<20} {:>8} {floor:>4.0} ns {pick:>6.0} ns {ratio:>6.2}x {:>7.2}x{verdict}",
                manifest.name, cost.backends, cost.at_most
            );
        }
    }
    kept
}

/// The median of what criterion measured; none where a filter left it out.
fn nanos(folder: &Path, name: &str, backends: usize) -> Option<f64> {
    let file = folder.join(GROUP).join(name).join(backends.to_string()).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}
