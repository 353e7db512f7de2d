//! What a plugin prints reaches its log, from every call, on a worker's own runtime; and nothing there blocks.

use super::{
    generation,
    guest::{self, CHOOSE_FIRST, Guest},
    head, members, runtime, turn,
};
use crate::plugin::{Generation, Level};
use std::sync::Arc;

fn printing() -> Guest {
    guest::balancer()
        .configure("(call $println) (i32.const 0)")
        .update("(call $println)")
        .pick(&format!("(call $println) {CHOOSE_FIRST}"))
}

fn lines(generation: &Generation) -> Vec<(Level, String)> {
    generation.log().lines().into_iter().map(|line| (line.level, line.text.to_string())).collect()
}

/// Configures, updates, picks, inside a worker's kind of runtime.
async fn live(generation: &Arc<Generation>) {
    if let Ok(mut balancer) = generation.balancer(&"cart".into(), 0, "{}", members()) {
        let _ = balancer.pick(&mut head(), turn(), &[]);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_printed_in_configure_update_and_pick_is_in_the_log() {
    let generation = generation(&runtime(), &printing());
    live(&generation).await;
    assert_eq!(lines(&generation), vec![(Level::Info, "hello".to_owned()); 3]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_panic_in_configure_update_or_pick_is_in_the_log() {
    let panic = "(call $panic)";
    for guest in [
        guest::balancer().configure(&format!("{panic} (i32.const 0)")),
        guest::balancer().update(panic),
        guest::balancer().pick(&format!("{panic} {CHOOSE_FIRST}")),
    ] {
        let generation = generation(&runtime(), &guest);
        live(&generation).await;
        let lines = lines(&generation);
        assert_eq!(lines[1], (Level::Warn, "index out of bounds: no such backend".to_owned()), "{lines:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn log_calls_keep_their_level() {
    let write = format!("(call $log (i32.const 3) (i32.const 416) (i32.const 5)) {CHOOSE_FIRST}");
    let generation = generation(&runtime(), &guest::balancer().pick(&write));
    live(&generation).await;
    assert_eq!(lines(&generation), [(Level::Error, "value".to_owned())]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_flood_of_lines_is_cut_and_counted() {
    // In `update`, which has the time for it in a build without optimisation too.
    let flood = "(loop $again (call $println) (br_if $again (i32.eqz (call $nth (i32.const 1000)))))";
    let generation = generation(&runtime(), &guest::balancer().update(flood));
    live(&generation).await;
    let kept = generation.log().lines().len() as u64;
    assert!((100..900).contains(&kept), "{kept}");
    assert_eq!(kept + generation.log().dropped(), 1000);
}

#[tokio::test(flavor = "current_thread")]
async fn chance_comes_from_the_seed() {
    let draw = "(call $choose (i32.wrap_i64 (call $chance)))";
    let runtime = runtime();
    let generation = generation(&runtime, &guest::balancer().pick(draw));
    let drawn = |worker| {
        let mut balancer = generation.balancer(&"cart".into(), worker, "{}", members()).unwrap();
        [0, 1].map(|_| balancer.pick(&mut head(), turn(), &[]).unwrap())
    };
    assert_eq!(drawn(0), drawn(0));
    assert_ne!(drawn(0), drawn(1));
    assert_ne!(drawn(0)[0], drawn(0)[1]);
}
