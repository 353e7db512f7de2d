//! What may not serve, and what its author is told: each code once, at least.

use super::{
    admit, artifact,
    guest::{CHOOSE_FIRST, GROW, LOOP, RECURSE, balancer, filter},
    one_use, runtime,
};
use crate::{
    config::model::Plugins,
    plugin::{Kind, Runtime, Use},
    problem::{Code, Spot},
};

/// A component that exports and imports empty instances of these names.
fn hollow(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let imports = imports.iter().map(|name| format!("(import {name:?} (instance))"));
    let exports =
        exports.iter().enumerate().map(|(n, name)| format!("(instance $i{n}) (export {name:?} (instance $i{n}))"));
    wat::parse_str(format!("(component {})", imports.chain(exports).collect::<String>())).unwrap()
}

#[test]
fn what_cannot_be_a_plugin_is_told_why() {
    const BALANCER: &str = "pointsman:plugin/balancer@0.1.0";
    let cut = {
        let mut bytes = balancer().bytes();
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    let cases: &[(&str, Vec<u8>, u16, &str)] = &[
        ("noise", vec![7; 5000], 301, "plugins/ll.wasm is not WebAssembly"),
        ("empty", Vec::new(), 301, "plugins/ll.wasm is not WebAssembly"),
        ("core", wat::parse_str("(module)").unwrap(), 301, "plugins/ll.wasm is a core module, not a component"),
        ("cut", cut, 301, "plugins/ll.wasm is not a valid component"),
        (
            "version",
            hollow(&[], &["pointsman:plugin/balancer@0.2.0"]),
            302,
            "plugins/ll.wasm was built for pointsman:plugin@0.2.0; this host speaks 0.1.0",
        ),
        (
            "foreign",
            hollow(&["wasi:http/types@0.2.6"], &["wasi:cli/run@0.2.6"]),
            303,
            "plugins/ll.wasm exports no `pointsman:plugin/balancer@0.1.0` and no `filter` \
             (it exports: wasi:cli/run@0.2.6)",
        ),
        (
            "http",
            hollow(&["wasi:http/outgoing-handler@0.2.6"], &[BALANCER]),
            304,
            "plugins/ll.wasm imports wasi:http/outgoing-handler@0.2.6, which plugins are not given",
        ),
        (
            "later import",
            hollow(&["pointsman:plugin/later@0.1.0"], &[BALANCER]),
            304,
            "plugins/ll.wasm imports pointsman:plugin/later@0.1.0, which plugins are not given",
        ),
        (
            "later half",
            hollow(&[], &[BALANCER, "pointsman:plugin/foresight@0.1.0"]),
            307,
            "plugins/ll.wasm exports pointsman:plugin/foresight, which this host does not offer yet",
        ),
        (
            "both",
            hollow(&[], &[BALANCER, "pointsman:plugin/filter@0.1.0"]),
            307,
            "plugins/ll.wasm exports both a balancer and a filter",
        ),
        (
            "hollow",
            hollow(&[], &[BALANCER]),
            303,
            "plugins/ll.wasm exports `pointsman:plugin/balancer@0.1.0` in another shape than this host knows",
        ),
    ];
    let runtime = runtime();
    for (name, bytes, code, headline) in cases {
        let problem = runtime.compile(artifact(bytes.clone())).unwrap_err();
        assert_eq!((problem.code.number(), problem.headline.as_str()), (*code, *headline), "{name}");
        assert!(!problem.notes.is_empty(), "{name} has no remedy");
    }
}

#[test]
fn a_plugin_that_is_too_large_is_not_looked_at() {
    let limits = Plugins { size: 1_000_000, ..Plugins::default() };
    let runtime = Runtime::new(&limits, 1, "", None).unwrap();
    let problem = runtime.compile(artifact(vec![0; 2_000_000])).unwrap_err();
    assert_eq!(problem.code, Code::UNREADABLE);
    assert_eq!(problem.headline, "plugins/ll.wasm: 2000000 bytes, more than `plugins.size` (1000000)");
}

#[test]
fn a_filter_is_no_balancer() {
    let runtime = runtime();
    let compiled = runtime.compile(artifact(filter().bytes())).unwrap();
    let problem = runtime.admit(&compiled, Kind::Balancer, &[one_use("{}")]).unwrap_err();
    assert_eq!((problem.code, &*problem.headline), (Code::NOT_OFFERED, "plugins/ll.wasm is a filter, not a balancer"));
}

#[test]
fn settings_that_the_plugin_refuses_point_at_their_place() {
    let runtime = runtime();
    let guest = balancer().configure("(call $refuse (i32.const 464) (i32.const 2))");
    let compiled = runtime.compile(artifact(guest.bytes())).unwrap();
    let spot = Spot { file: "pointsman.toml".into(), source: "settings = {}".into(), span: 0..8 };
    let one = Use { spot: Some(spot.clone()), ..one_use("{}") };
    let problem = runtime.admit(&compiled, Kind::Balancer, &[one]).unwrap_err();
    assert_eq!((problem.code, &*problem.headline), (Code::SETTINGS_REFUSED, "ll refused its config: \"no\""));
    assert_eq!(problem.spot, Some(spot));
}

#[test]
fn what_fails_in_the_trial_never_serves() {
    let trap = "unreachable";
    let cases = [
        ("trap in configure", balancer().configure(trap), "trapped in configure"),
        ("trap in update", balancer().update(trap), "trapped in update"),
        ("trap in pick", balancer().pick(trap), "trapped in a dry pick"),
        ("trap in tick", balancer().tick(trap), "trapped in tick"),
        ("trap in on-request", filter().on_request(trap), "trapped in on-request"),
        (
            "loop in configure",
            balancer().configure(&format!("{LOOP} (i32.const 0)")),
            "overran its time in configure: ",
        ),
        ("loop in update", balancer().update(LOOP), "overran its time in update: "),
        ("loop in pick", balancer().pick(&format!("{LOOP} (i32.const 0)")), "overran its time in a dry pick: "),
        (
            "memory in configure",
            balancer().configure(&format!("{GROW} (i32.const 0)")),
            "overran its memory in configure: more than 16 MiB of memory",
        ),
        (
            "memory in pick",
            balancer().pick(&format!("{GROW} (i32.const 0)")),
            "overran its memory in a dry pick: more than 16 MiB of memory",
        ),
        ("stack", balancer().update(RECURSE), "overran its stack in update"),
        ("range", balancer().pick("(call $choose (i32.const 12))"), "picked index 12 of a pool of 4 in a dry pick"),
        (
            "not eligible",
            balancer().pick("(call $choose (i32.const 3))"),
            "picked index 3 (d), which its last update listed as not eligible in a dry pick",
        ),
        (
            "narrow",
            balancer().pick("(call $decide (i32.const 1) (i32.const 0))"),
            "narrowed to subset 0; since its last update it defined 0 in a dry pick",
        ),
        (
            "responded without an answer",
            filter().on_request("(i32.const 1)"),
            "answered `responded` without a call of edits.respond in on-request",
        ),
        (
            "the second try",
            balancer().pick(&format!("(if (local.get $attempt) (then unreachable)) {CHOOSE_FIRST}")),
            "trapped in a dry pick",
        ),
    ];
    for (name, guest, what) in cases {
        let problem = admit(&guest).unwrap_err();
        assert_eq!(problem.code, Code::LOAD_FAULT, "{name}");
        let headline = problem.headline;
        // How long it ran depends on what else this machine does.
        let is_exact = !what.ends_with(": ");
        let fits = if is_exact { headline.ends_with(what) } else { headline.contains(what) };
        assert!(headline.starts_with("plugins/ll.wasm ") && fits, "{name}: {headline}");
    }
}

#[test]
fn pass_and_reject_are_decisions_like_any_other() {
    admit(&balancer().pick("(call $decide (i32.const 2) (i32.const 0))")).unwrap();
    admit(&balancer().pick("(call $decide (i32.const 3) (i32.const 429))")).unwrap();
    let odd = admit(&balancer().pick("(call $decide (i32.const 3) (i32.const 200))")).unwrap_err();
    assert_eq!(odd.headline, "plugins/ll.wasm rejected with status 200; 400 to 599 are possible in a dry pick");
}

#[test]
fn a_panic_is_quoted_with_its_place_and_its_function() {
    let problem = admit(&balancer().pick(&format!("(call $panic) {CHOOSE_FIRST}"))).unwrap_err();
    assert_eq!(problem.notes[0], "panicked at src/lib.rs:31:9: index out of bounds: no such backend");
    assert_eq!(problem.notes[1], "frames: panic ← pick");
    assert_eq!(problem.notes[2], "with the settings of pool cart");
}

#[test]
fn a_fault_that_only_a_use_brings_out_is_found_for_that_use() {
    // Traps when its settings are longer than two bytes.
    let guest = balancer()
        .configure("(if (i32.gt_u (local.get $settings_len) (i32.const 2)) (then unreachable)) (i32.const 0)");
    let runtime = runtime();
    let compiled = runtime.compile(artifact(guest.bytes())).unwrap();
    runtime.admit(&compiled, Kind::Balancer, &[one_use("{}")]).unwrap();
    let problem = runtime.admit(&compiled, Kind::Balancer, &[one_use("{}"), one_use("{\"k\": 1}")]).unwrap_err();
    assert_eq!(problem.code, Code::LOAD_FAULT);
}
