//! Deadlines: what works too long is stopped, and what only waits for the processor is not.

use super::{
    balancer, generation,
    guest::{self, CHOOSE_FIRST, LOOP},
    head, members, runtime, turn,
};
use crate::plugin::{BalancerInstance, Call, FaultKind, Turn, admission::scratch, limits::thread_cpu};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

#[test]
fn an_endless_loop_ends_at_the_deadline_of_its_call() {
    let loop_then_0 = format!("{LOOP} (i32.const 0)");
    let picks = |guest: &guest::Guest| balancer(guest).and_then(|mut b| b.pick(&mut head(), turn(), &[]).map(drop));
    let second = format!("(if (call $nth (i32.const 2)) (then {LOOP}))");
    let updates = |guest: &guest::Guest| balancer(guest).and_then(|mut b| b.update(members()));
    let ticks = |guest: &guest::Guest| balancer(guest).and_then(|mut b| b.tick(1));
    let asks =
        |guest: &guest::Guest| super::filter(guest).and_then(|mut f| f.on_request(&mut head(), turn()).map(drop));
    let cases = [
        (picks(&guest::balancer().configure(&loop_then_0)), Call::Configure, "1000.0 ms of CPU"),
        (picks(&guest::balancer().update(LOOP)), Call::Update, "100.0 ms of CPU"),
        (updates(&guest::balancer().update(&second)), Call::UpdateLive, "5.0 ms of CPU"),
        (picks(&guest::balancer().pick(&loop_then_0)), Call::Pick, "5.0 ms of CPU"),
        (ticks(&guest::balancer().tick(LOOP)), Call::Tick, "5.0 ms of CPU"),
        (asks(&guest::filter().on_request(&loop_then_0)), Call::OnRequest, "5.0 ms of CPU"),
    ];
    for (result, call, text) in cases {
        let fault = result.unwrap_err();
        assert_eq!((fault.kind, fault.call), (FaultKind::Deadline, call));
        // On a machine with too little CPU the wall clock may end a call first, and says so.
        assert!(fault.text == text || fault.text.starts_with("50.0 ms, "), "{call}: {}", fault.text);
    }
}

/// Loops `now` times. It is only tried out: nothing but the CPU that it used itself may be held against it.
fn counting() -> BalancerInstance {
    let count = format!(
        "(loop $again
            (local.set $now (i64.sub (local.get $now) (i64.const 1)))
            (br_if $again (i64.gt_s (local.get $now) (i64.const 0))))
        {CHOOSE_FIRST}"
    );
    let generation = generation(&runtime(), &guest::balancer().pick(&count));
    let place = generation.place(&"cart".into(), 0);
    BalancerInstance::new(&generation, scratch(), &place, "{}", members()).unwrap()
}

#[test]
fn a_good_plugin_on_a_contended_processor_is_not_at_fault() {
    let mut balancer = counting();
    let mut pick = |rounds: u64| {
        let (cpu, wall) = (thread_cpu(), Instant::now());
        balancer.pick(&mut head(), Turn { now_us: rounds, ..turn() }, &[]).unwrap();
        (thread_cpu() - cpu, wall.elapsed())
    };
    // As many rounds as take about a millisecond of CPU.
    let mut rounds = 1000;
    while pick(rounds).0 < Duration::from_micros(700) {
        rounds *= 2;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let rivals = 3 * thread::available_parallelism().map_or(1, usize::from);
    let rivals: Vec<_> = (0..rivals)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || while !stop.load(Relaxed) {})
        })
        .collect();
    let patience = Instant::now() + Duration::from_secs(30);
    let mut delayed = 0;
    while delayed < 5 && Instant::now() < patience {
        delayed += usize::from(pick(rounds).1 > Duration::from_millis(5));
    }
    stop.store(true, Relaxed);
    rivals.into_iter().for_each(|rival| rival.join().unwrap());
    assert_eq!(delayed, 5, "the rivals never held the processor");
}
