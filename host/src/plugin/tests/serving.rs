//! Instances at work: what they see, what they edit, what ends them, what the generation makes of it.

use super::{
    admit, artifact, balancer, filter, generation,
    guest::{self, CHOOSE_FIRST, GROW, RECURSE},
    head, members, runtime, turn,
};
use crate::plugin::{Call, Decision, Fault, FaultKind, FilterVerdict, Kind, Turn};
use crate::problem::Code;
use std::{sync::Arc, time::Duration};

#[test]
fn a_pick_chooses_and_gives_the_head_back() {
    let mut balancer = balancer(&guest::balancer()).unwrap();
    let mut head = head();
    assert_eq!(balancer.pick(&mut head, turn(), &[]), Ok(Decision::Choose(0)));
    assert_eq!((head.target.as_str(), head.headers.len()), ("/cart?x=1", 2));
    assert_eq!(balancer.membership().ready.len(), 3);
}

#[test]
fn a_pick_sees_its_turn_its_request_and_the_live_figures() {
    // 64: where host functions leave what they return.
    let length_of_first_x_name =
        "(call $header (i32.const 400) (i32.const 6) (i32.const 64)) (call $choose (i32.load (i32.const 72)))";
    let number_of_headers = "(call $headers (i32.const 64)) (call $choose (i32.load (i32.const 68)))";
    let length_of_path = "(call $path (i32.const 64)) (call $choose (i32.load (i32.const 68)))";
    let last_tried = "(call $tried (i32.const 64)) (call $choose (i32.load (i32.load (i32.const 64))))";
    let in_flight_at_1 = "(call $choose (call $in_flight (i32.const 1)))";
    let all_in_flight =
        "(call $all_in_flight (i32.const 64)) (call $choose (i32.load offset=4 (i32.load (i32.const 64))))";
    let cases = [
        ("now", "(call $choose (i32.wrap_i64 (local.get $now)))", 70),
        ("random", "(call $choose (i32.wrap_i64 (local.get $random)))", 71),
        ("key", "(call $choose (i32.wrap_i64 (local.get $key)))", 72),
        ("attempt", "(call $choose (local.get $attempt))", 1),
        ("explain", "(call $choose (local.get $explain))", 0),
        ("header", length_of_first_x_name, 5),
        ("headers", number_of_headers, 2),
        ("path", length_of_path, 5),
        ("tried", last_tried, 2),
        ("in-flight", in_flight_at_1, 0),
        ("all-in-flight", all_in_flight, 0),
        ("wasi clock", "(call $choose (i32.wrap_i64 (call $clock)))", 70_000),
    ];
    for (name, pick, answer) in cases {
        let mut balancer = balancer(&guest::balancer().pick(pick)).unwrap();
        let turn = Turn { now_us: 70, random: 71, key: Some(72), attempt: 1, explain: false };
        let c = balancer.membership().ready[2].id;
        assert_eq!(balancer.pick(&mut head(), turn, &[c, 12345]), Ok(Decision::Choose(answer)), "{name}");
    }
}

#[test]
fn an_instance_is_dead_after_its_first_fault() {
    let mut balancer = balancer(&guest::balancer().pick("unreachable")).unwrap();
    let first = balancer.pick(&mut head(), turn(), &[]).unwrap_err();
    assert_eq!(
        (first.kind, first.call, &*first.text),
        (FaultKind::Trap, Call::Pick, "wasm `unreachable` instruction executed")
    );
    assert_eq!(first.frames, ["pick"]);
    let mut head = head();
    let again = balancer.pick(&mut head, turn(), &[]).unwrap_err();
    assert_eq!(again.text, "the instance is dead after an earlier fault");
    assert_eq!(head.headers.len(), 2, "the head comes back all the same");
    assert!(balancer.update(members()).is_err());
}

#[test]
fn every_way_to_fail_has_its_kind_and_its_words() {
    let fails = |body: &str| {
        let pick = format!("{body} {CHOOSE_FIRST}");
        balancer(&guest::balancer().pick(&pick)).unwrap().pick(&mut head(), turn(), &[]).unwrap_err()
    };
    let cases = [
        (GROW, FaultKind::Memory, "more than 16 MiB of memory"),
        (RECURSE, FaultKind::Trap, "stack overflow: more than 512 KiB, endless recursion perhaps"),
        ("(drop (i32.load (i32.const -1)))", FaultKind::Trap, "out of bounds memory access"),
        (
            "(drop (call $in_flight (i32.const 9)))",
            FaultKind::Trap,
            "asked for figures of position 9; the latest update listed 4",
        ),
        ("(drop (call $add (i32.const 0) (i64.const 1)))", FaultKind::Trap, "no counter has the handle 0"),
        ("(call $exit (i32.const 0))", FaultKind::Trap, "called exit: a plugin lives until its host drops it"),
        (
            "(loop $again (drop (call $subscribe (call $get_stdout))) (br $again))",
            FaultKind::Trap,
            "holds 256 handles of streams and pollables: it drops none of them",
        ),
        (
            "(drop (memory.grow (i32.const 1)))
            (call $write (call $get_stdout) (i32.const 0) (i32.const 4097) (i32.const 64))",
            FaultKind::Trap,
            "wrote 4097 bytes at once; 4096 are the most",
        ),
        ("(call $panic)", FaultKind::Trap, "panicked at src/lib.rs:31:9: index out of bounds: no such backend"),
    ];
    for (body, kind, text) in cases {
        let fault = fails(body);
        assert_eq!((fault.kind, &*fault.text), (kind, text), "{body}");
    }
}

#[test]
fn what_a_guest_hands_over_is_bounded() {
    let grow = "(drop (memory.grow (i32.const 16)))";
    // A log line of 1 MiB; an answer with 1000 headers whose values are all the same 4 KiB.
    let line = format!("{grow} (call $log (i32.const 1) (i32.const 4096) (i32.const 1000000)) {CHOOSE_FIRST}");
    let fault = balancer(&guest::balancer().pick(&line)).unwrap().pick(&mut head(), turn(), &[]).unwrap_err();
    assert!(fault.kind == FaultKind::Trap && fault.text.starts_with("too much data is being copied"), "{fault}");
    let headers = format!(
        "{grow} (memory.fill (i32.const 512) (i32.const 97) (i32.const 4096))
        (loop $again
            (i32.store (i32.add (i32.const 65536) (i32.mul (global.get $calls) (i32.const 16))) (i32.const 400))
            (i32.store (i32.add (i32.const 65540) (i32.mul (global.get $calls) (i32.const 16))) (i32.const 6))
            (i32.store (i32.add (i32.const 65544) (i32.mul (global.get $calls) (i32.const 16))) (i32.const 512))
            (i32.store (i32.add (i32.const 65548) (i32.mul (global.get $calls) (i32.const 16))) (i32.const 4096))
            (br_if $again (i32.eqz (call $nth (i32.const 1000)))))
        (call $respond (i32.const 200) (i32.const 65536) (i32.const 1000) (i32.const 0) (i32.const 0))
        (i32.const 1)"
    );
    let mut filter = filter(&guest::filter().on_request(&headers)).unwrap();
    let fault = filter.on_request(&mut head(), turn()).unwrap_err();
    assert!(fault.kind == FaultKind::Trap && fault.text.starts_with("too much data is being copied"), "{fault}");
}

#[test]
fn a_guests_words_are_quoted_up_to_a_limit() {
    let refuse = "(drop (memory.grow (i32.const 4))) (memory.fill (i32.const 4096) (i32.const 97) (i32.const 100000))
        (call $refuse (i32.const 4096) (i32.const 100000))";
    let fault = balancer(&guest::balancer().configure(refuse)).unwrap_err();
    assert_eq!((fault.kind, fault.text.len()), (FaultKind::Refused, 4096));
}

#[test]
fn there_is_no_request_outside_pick_and_on_request() {
    let ask = "(call $path (i32.const 64))";
    for (guest, call) in [
        (guest::balancer().configure(&format!("{ask} (i32.const 0)")), Call::Configure),
        (guest::balancer().update(ask), Call::Update),
    ] {
        let fault = balancer(&guest).unwrap_err();
        assert_eq!((fault.kind, fault.call), (FaultKind::Trap, call));
        assert_eq!(
            fault.text,
            format!("called request.path in {call}: there is no request outside pick and on-request")
        );
    }
    let mut ticking = balancer(&guest::balancer().tick(ask)).unwrap();
    assert_eq!(ticking.tick(1).unwrap_err().call, Call::Tick);
}

#[test]
fn a_ticker_is_asked_for_its_period_which_has_a_floor() {
    let mut balancer = balancer(&guest::balancer().tick("")).unwrap();
    assert_eq!(balancer.tick_period(), Some(Duration::from_millis(10)));
    assert_eq!(balancer.tick(5), Ok(()));
    assert_eq!(super::balancer(&guest::balancer()).unwrap().tick_period(), None);
}

#[test]
fn an_update_replaces_the_membership_and_is_timed() {
    // Remembers how many are ready, and answers that.
    let remember = "(global.set $calls (i32.add (i32.mul (local.get $ready) (i32.const 10)) (local.get $others)))";
    let guest = guest::balancer().update(remember).pick("(call $choose (global.get $calls))");
    let mut balancer = balancer(&guest).unwrap();
    assert_eq!(balancer.pick(&mut head(), turn(), &[]), Ok(Decision::Choose(31)));
    let mut fewer = members();
    fewer.ready.truncate(1);
    balancer.update(fewer).unwrap();
    assert_eq!(balancer.pick(&mut head(), turn(), &[]), Ok(Decision::Choose(11)));
    assert!(balancer.update_time() > Duration::ZERO);
}

#[test]
fn counters_are_one_for_all_workers_and_outlive_generations() {
    let count = "(call $choose (i32.wrap_i64 (call $add (call $counter (i32.const 400) (i32.const 6)) (i64.const 1))))";
    let guest = guest::balancer().pick(count);
    let runtime = runtime();
    let compiled = runtime.compile(artifact(guest.bytes())).unwrap();
    let answer = |generation: &Arc<crate::plugin::Generation>, pool: &str, worker| {
        let mut balancer = generation.balancer(&pool.into(), worker, "{}", members()).unwrap();
        balancer.pick(&mut head(), turn(), &[]).unwrap()
    };
    let first = runtime.admit(&compiled, Kind::Balancer, &[]).unwrap();
    assert_eq!(answer(&first, "cart", 0), Decision::Choose(0));
    assert_eq!(answer(&first, "cart", 1), Decision::Choose(1));
    assert_eq!(answer(&first, "shop", 0), Decision::Choose(0), "another pool counts for itself");
    let second = runtime.admit(&compiled, Kind::Balancer, &[]).unwrap();
    assert_eq!(answer(&second, "cart", 0), Decision::Choose(2));
    assert_eq!((first.number(), second.number()), (1, 2));
}

#[test]
fn the_trial_leaves_no_trace() {
    // Counts, prints and answers within the pool: the trial runs it a hundred times.
    let body =
        "(local.set $now (call $add (call $counter (i32.const 400) (i32.const 6)) (i64.const 1))) (call $println)
        (call $choose (i32.rem_u (i32.wrap_i64 (local.get $now)) (i32.const 3)))";
    let generation = admit(&guest::balancer().pick(body)).unwrap();
    assert!(generation.log().lines().is_empty());
    assert_eq!(generation.costs().totals(), Default::default());
    let mut live = generation.balancer(&"cart".into(), 0, "{}", members()).unwrap();
    let picks = [0, 1, 2].map(|_| live.pick(&mut head(), turn(), &[]).unwrap());
    assert_eq!(picks, [0, 1, 2].map(Decision::Choose), "the counter begins at 0");
    assert_eq!(generation.log().lines().len(), 3);
}

#[test]
fn the_sixty_fifth_counter_traps() {
    // One name for each pick: its two bytes are the number of the call.
    let ask = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 400) (i32.add (global.get $calls) (i32.const 32)))
        (drop (call $counter (i32.const 400) (i32.const 1))) {CHOOSE_FIRST}"
    );
    let mut balancer = balancer(&guest::balancer().pick(&ask)).unwrap();
    for _ in 0..64 {
        balancer.pick(&mut head(), turn(), &[]).unwrap();
    }
    let fault = balancer.pick(&mut head(), turn(), &[]).unwrap_err();
    assert_eq!(fault.text, "more than 64 counters, or a name that is too long");
}

#[test]
fn a_filter_edits_the_head_in_place() {
    let edit = "
        (call $set_header (i32.const 400) (i32.const 6) (i32.const 416) (i32.const 5))
        (call $append_header (i32.const 400) (i32.const 6) (i32.const 416) (i32.const 5))
        (call $set_path (i32.const 448) (i32.const 7))
        (call $set_tag (i32.const 400) (i32.const 6) (i32.const 416) (i32.const 5))
        (i32.const 0)";
    let mut filter = filter(&guest::filter().on_request(edit)).unwrap();
    let mut head = head();
    assert!(matches!(filter.on_request(&mut head, turn()), Ok(FilterVerdict::Next)));
    let name = http::HeaderName::from_static("x-name");
    let values: Vec<_> = head.headers.all(&name).collect();
    assert_eq!(values, ["value", "value"]);
    assert_eq!((head.target.as_str(), head.tag("x-name")), ("/b", Some("value")));
}

#[test]
fn a_filter_that_faults_leaves_the_head_as_it_was() {
    let edit = "(call $set_header (i32.const 400) (i32.const 6) (i32.const 416) (i32.const 5))
        (call $set_path (i32.const 448) (i32.const 7)) unreachable";
    let mut filter = filter(&guest::filter().on_request(edit)).unwrap();
    let mut head = head();
    filter.on_request(&mut head, turn()).unwrap_err();
    let name = http::HeaderName::from_static("x-name");
    let values: Vec<_> = head.headers.all(&name).collect();
    assert_eq!(values, ["first", "second"]);
    assert_eq!(head.target.as_str(), "/cart?x=1");
}

#[test]
fn a_filter_may_not_touch_what_is_the_hosts() {
    let edit = "(call $set_header (i32.const 432) (i32.const 4) (i32.const 416) (i32.const 5)) (i32.const 0)";
    let mut filter = filter(&guest::filter().on_request(edit)).unwrap();
    let fault = filter.on_request(&mut head(), turn()).unwrap_err();
    assert_eq!((fault.kind, &*fault.text), (FaultKind::Trap, "the header \"host\" belongs to the host"));
    let flood = "(memory.fill (i32.const 512) (i32.const 97) (i32.const 2048))
        (loop $again
            (call $append_header (i32.const 400) (i32.const 6) (i32.const 512) (i32.const 2048))
            (br $again))
        (i32.const 0)";
    let mut filter = super::filter(&guest::filter().on_request(flood)).unwrap();
    let fault = filter.on_request(&mut head(), turn()).unwrap_err();
    assert_eq!(fault.text, "a filter adds at most 65536 bytes to a request");
}

#[test]
fn a_filter_answers_in_the_backends_place() {
    let respond =
        "(call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 464) (i32.const 2)) (i32.const 1)";
    let mut filter = filter(&guest::filter().on_request(respond)).unwrap();
    let Ok(FilterVerdict::Respond(response)) = filter.on_request(&mut head(), turn()) else { panic!("no answer") };
    assert_eq!((response.status().as_u16(), &response.body()[..]), (403, &b"no"[..]));
}

#[test]
fn five_faults_quarantine_a_generation_and_are_told() {
    let generation = generation(&runtime(), &guest::balancer().pick("unreachable"));
    let trap = || {
        let mut balancer = generation.balancer(&"cart".into(), 0, "{}", members()).unwrap();
        balancer.pick(&mut head(), turn(), &[]).unwrap_err()
    };
    generation.record(&trap());
    let told = generation.last_fault().unwrap();
    let who = format!("ll {}", generation.hash().short());
    assert_eq!((told.code, told.headline), (Code::TRAPPED, format!("{who} trapped in pick (1st in 10 s); fell back")));
    assert_eq!(told.notes.last().unwrap(), "4 more in 10 s → quarantined");
    for _ in 0..4 {
        assert!(!generation.is_quarantined());
        generation.record(&trap());
    }
    assert!(generation.is_quarantined());
    assert_eq!(generation.costs().totals().faults_of(FaultKind::Trap), 5);
    let told = generation.last_fault().unwrap();
    assert_eq!(
        told.notes.last().unwrap(),
        "quarantined until other bytes arrive: the last good generation serves, else its fallback"
    );
}

#[test]
fn each_kind_of_fault_has_its_message() {
    let generation = generation(&runtime(), &guest::balancer());
    let who = format!("ll {}", generation.hash().short());
    let told = |kind, text: &str| {
        generation.record(&Fault { kind, call: Call::Pick, text: text.into(), frames: Vec::new() });
        let told = generation.last_fault().unwrap();
        (told.code.number(), told.headline)
    };
    assert_eq!(
        told(FaultKind::Deadline, "5.0 ms of CPU"),
        (402, format!("{who} stopped after 5.0 ms of CPU in pick (1st in 10 s); fell back"))
    );
    assert_eq!(
        told(FaultKind::Answer, "picked index 12 of a pool of 10"),
        (403, format!("{who} picked index 12 of a pool of 10 (2nd in 10 s); fell back"))
    );
    assert_eq!(
        told(FaultKind::Memory, "more than 16 MiB of memory"),
        (401, format!("{who} trapped in pick, denied more than 16 MiB of memory (3rd in 10 s); fell back"))
    );
}

#[test]
fn instances_are_told_apart_by_their_seeds() {
    let guest = guest::balancer()
        .configure("(global.set $calls (i32.wrap_i64 (local.get $seed))) (i32.const 0)")
        .pick("(call $choose (global.get $calls))");
    let runtime = runtime();
    let generation = generation(&runtime, &guest);
    let seed = |pool: &str, worker| {
        let mut balancer = generation.balancer(&pool.into(), worker, "{}", members()).unwrap();
        let Decision::Choose(seed) = balancer.pick(&mut head(), turn(), &[]).unwrap() else { panic!() };
        seed
    };
    assert_ne!(seed("cart", 0), seed("cart", 1));
    assert_ne!(seed("cart", 0), seed("shop", 0));
    assert_eq!(seed("cart", 1), seed("cart", 1));
}
