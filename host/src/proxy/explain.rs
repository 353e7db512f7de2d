//! How a backend was chosen, in short, for a trusted proxy that asked: a line of the answer for each decision.

use crate::figures::Seen;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Its name.
pub(super) static DECISION: HeaderName = HeaderName::from_static("pointsman-decision");
/// Characters of a plugin's note.
const NOTE_MOST: usize = 200;
/// Decisions that an answer tells of: each is a line of its head, and a head may not be long.
const DECISIONS_MOST: usize = 16;

/// Adds a decision to those that an answer tells of, the latest.
pub(super) fn keep(decisions: &mut Vec<Arc<Seen>>, decision: Arc<Seen>) {
    // A request that waits for room asks again and again.
    let waits = |seen: &Arc<Seen>| seen.outcome == "full";
    if waits(&decision) && decisions.last().is_some_and(waits) {
        decisions.pop();
    }
    if decisions.len() == DECISIONS_MOST {
        decisions.remove(0);
    }
    decisions.push(decision);
}

/// `chosen b; by=zone-aware/1+power-of-two/3; ns=1204; of=3; in-flight=2; latency-us=5100; note="…"`; `by` names those who had
/// an opinion, and when nobody had, who was asked last.
pub(super) fn value(seen: &Seen) -> HeaderValue {
    let chosen = seen.chosen.as_deref().map_or_else(String::new, |name| format!(" {name}"));
    let decided = seen.by.iter().enumerate().filter(|(at, by)| by.said != "passed" || at + 1 == seen.by.len());
    let by: Vec<_> = decided.map(|(_, by)| format!("{}/{}", by.plugin, by.generation)).collect();
    let by = if by.is_empty() { String::new() } else { format!("; by={}", by.join("+")) };
    let attempt = if seen.attempt == 0 { String::new() } else { format!("; attempt={}", seen.attempt) };
    let of = seen.candidates.len() + seen.left_out;
    let known = seen.candidates.iter().find(|candidate| Some(&candidate.name) == seen.chosen.as_ref());
    let known = known.map_or_else(String::new, |candidate| {
        format!("; in-flight={}; latency-us={}", candidate.in_flight, candidate.latency_us)
    });
    let note = seen.by.iter().rev().find_map(|by| by.note.as_deref()).map_or_else(String::new, |note| {
        format!("; note=\"{}\"", note.chars().take(NOTE_MOST).collect::<String>().replace('"', "'"))
    });
    let ns = seen.took.as_nanos();
    let text = format!("{}{chosen}{by}{attempt}; ns={ns}; of={of}{known}{note}", seen.outcome);
    let visible = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    // All of it is visible now, so it is a value.
    HeaderValue::from_str(&text.chars().map(visible).collect::<String>())
        .unwrap_or_else(|_| HeaderValue::from_static("unsayable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Candidate, Opinion};
    use std::time::Duration;

    fn seen(attempt: u32, outcome: &'static str) -> Arc<Seen> {
        Arc::new(Seen {
            request: "GET /".into(),
            attempt,
            by: Vec::new(),
            candidates: Vec::new(),
            left_out: 0,
            outcome,
            chosen: None,
            took: Duration::ZERO,
        })
    }

    #[test]
    fn a_request_that_waits_and_tries_again_does_not_make_its_answer_long() {
        let mut kept = Vec::new();
        (0..100).for_each(|_| keep(&mut kept, seen(0, "full")));
        assert_eq!(kept.len(), 1);
        (1..100).for_each(|attempt| keep(&mut kept, seen(attempt, "chosen")));
        assert_eq!((kept.len(), kept[0].attempt, kept.last().unwrap().attempt), (DECISIONS_MOST, 84, 99));
    }

    #[test]
    fn it_says_all_in_a_line_whatever_the_note() {
        let candidate =
            Candidate { name: "b".into(), weight: 1, in_flight: 2, latency_us: 5100, success_permille: 1000 };
        let seen = Seen {
            request: "GET /".into(),
            attempt: 1,
            by: [("ours", 3, "narrowed"), ("none", 1, "passed"), ("theirs", 2, "chose")]
                .map(|(plugin, generation, said)| Opinion {
                    plugin: plugin.into(),
                    generation,
                    said,
                    note: Some(format!("{said} \"less\"\r\nbusy: ü").into()),
                })
                .into(),
            candidates: vec![candidate],
            left_out: 2,
            outcome: "chosen",
            chosen: Some("b".into()),
            took: Duration::from_nanos(1204),
        };
        let text = "chosen b; by=ours/3+theirs/2; attempt=1; ns=1204; of=3; in-flight=2; latency-us=5100; \
                    note=\"chose 'less'??busy: ?\"";
        assert_eq!(value(&seen), text);
    }
}
