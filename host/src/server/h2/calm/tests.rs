//! What is allowed and what is not, by the frame.

use super::{
    super::frames::{self, Scanner},
    *,
};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::advance;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Frame {
    let bytes = [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat();
    let mut found = None;
    Scanner::of_server().scan(&bytes, |frame| found = Some(frame));
    found.unwrap()
}

fn reset(code: u8) -> Frame {
    frame(frames::RST_STREAM, 0, &[0, 0, 0, code])
}

const PING: u8 = 6;
const CANCEL: u8 = 8;

#[tokio::test(start_paused = true)]
async fn resets_are_allowed_by_number_time_and_answers() {
    let mut calm = Calm::new();
    (0..RESETS_MOST).for_each(|_| calm.came(reset(CANCEL)));
    assert_eq!(calm.flood(), None, "all streams given up twice");
    (0..1000).for_each(|_| {
        calm.answered();
        calm.came(reset(CANCEL));
    });
    assert_eq!(calm.flood(), None, "as many answers as resets");
    advance(Duration::from_secs(1)).await;
    (0..RESETS_PER_SECOND).for_each(|_| calm.came(reset(CANCEL)));
    assert_eq!(calm.flood(), None, "a second's");
    calm.came(reset(CANCEL));
    assert_eq!(calm.flood(), Some(Flood::Resets));
}

#[tokio::test(start_paused = true)]
async fn our_resets_count_when_the_client_made_them_necessary() {
    for (code, counts) in [(1, true), (3, true), (5, true), (7, true), (0, false), (2, false), (8, false)] {
        let mut calm = Calm::new();
        (0..=RESETS_MOST).for_each(|_| calm.went(reset(code)));
        assert_eq!(calm.flood().is_some(), counts, "code {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_count_from_the_acknowledgement_of_our_settings_on() {
    let (head, acknowledged) = (frame(HEADERS, 0, b"a"), frame(SETTINGS, 1, &[]));
    let refused = |calm: &mut Calm, times: u32| (0..times).for_each(|_| calm.went(reset(REFUSED_STREAM as u8)));
    let mut calm = Calm::new();
    (0..800).for_each(|_| calm.came(head));
    calm.came(acknowledged);
    refused(&mut calm, 800);
    assert_eq!(calm.flood(), None, "it had not heard how many there may be");
    (0..RESETS_MOST).for_each(|_| calm.came(head));
    refused(&mut calm, RESETS_MOST);
    assert_eq!(calm.flood(), None, "its allowance is untouched");
    refused(&mut calm, 1);
    assert_eq!(calm.flood(), Some(Flood::Resets));
    let mut calm = Calm::new();
    (0..100_000).for_each(|_| calm.came(head));
    refused(&mut calm, EARLY_MOST + RESETS_MOST);
    assert_eq!(calm.flood(), None);
    refused(&mut calm, 1);
    assert_eq!(calm.flood(), Some(Flood::Resets), "who never acknowledges them is no exception");
}

#[tokio::test(start_paused = true)]
async fn frames_that_carry_nothing_are_counted() {
    for (name, one, most) in [
        ("PING", frame(PING, 0, &[0; 8]), OVERHEAD_MOST),
        ("SETTINGS", frame(frames::SETTINGS, 0, &[]), OVERHEAD_MOST / SETTINGS_COST),
        ("its acknowledgement", frame(frames::SETTINGS, 1, &[]), OVERHEAD_MOST),
        ("empty DATA", frame(frames::DATA, 0, &[]), OVERHEAD_MOST),
        ("an unknown one", frame(99, 0, &[]), OVERHEAD_MOST),
    ] {
        let mut calm = Calm::new();
        (0..most).for_each(|_| calm.came(one));
        assert_eq!(calm.flood(), None, "{name}");
        calm.came(one);
        assert_eq!(calm.flood(), Some(Flood::Overhead), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_download_opens_its_windows_as_often_as_it_likes() {
    const WINDOW_UPDATE: u8 = 8;
    let mut calm = Calm::new();
    for _ in 0..100_000 {
        calm.went(frame(frames::DATA, 0, b"a piece"));
        calm.came(frame(WINDOW_UPDATE, 0, &[0, 0, 1, 0]));
        calm.came(frame(WINDOW_UPDATE, 0, &[0, 0, 1, 0]));
    }
    assert_eq!(calm.flood(), None);
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Came(Frame),
    Went(Frame),
    Answered,
}

/// With what it counts for: of frames that carry nothing, and of resets.
#[derive(Clone, Copy, Debug)]
struct Priced {
    event: Event,
    costs: [u32; 2],
    earns: [u32; 2],
}

fn events() -> Vec<Priced> {
    let costs = |event, costs| Priced { event, costs, earns: [0, 0] };
    let earns = |event, earns| Priced { event, costs: [0, 0], earns };
    vec![
        costs(Event::Came(frame(PING, 0, &[0; 8])), [1, 0]),
        costs(Event::Came(frame(frames::SETTINGS, 0, &[])), [SETTINGS_COST, 0]),
        costs(Event::Came(frame(frames::DATA, 0, &[])), [1, 0]),
        costs(Event::Came(reset(CANCEL)), [0, 1]),
        costs(Event::Went(reset(PROTOCOL_ERROR as u8)), [0, 1]),
        costs(Event::Went(reset(CANCEL)), [0, 0]),
        earns(Event::Came(frame(frames::DATA, 0, b"a")), [OVERHEAD_EARNED, 0]),
        earns(Event::Came(frame(frames::HEADERS, 0, b"a")), [OVERHEAD_EARNED, 0]),
        earns(Event::Answered, [0, 1]),
    ]
}

proptest! {
    #[test]
    fn who_stays_within_the_allowances_is_calm_and_who_outdoes_all_it_earns_is_not(
        spells in prop::collection::vec((prop::sample::select(events()), 1_u32..700), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let flood = runtime.block_on(async {
            let mut calm = Calm::new();
            for (Priced { event, .. }, times) in &spells {
                (0..*times).for_each(|_| match *event {
                    Event::Came(frame) => calm.came(frame),
                    Event::Went(frame) => calm.went(frame),
                    Event::Answered => calm.answered(),
                });
            }
            calm.flood()
        });
        let sum = |of: fn(&Priced) -> u32| spells.iter().map(|(event, times)| of(event) * times).sum::<u32>();
        let (overhead, resets) = (sum(|it| it.costs[0]), sum(|it| it.costs[1]));
        let (won_overhead, won_resets) = (sum(|it| it.earns[0]), sum(|it| it.earns[1]));
        if overhead <= OVERHEAD_MOST && resets <= RESETS_MOST {
            prop_assert_eq!(flood, None);
        }
        if overhead > OVERHEAD_MOST + won_overhead || resets > RESETS_MOST + won_resets {
            prop_assert!(flood.is_some());
        }
    }
}
