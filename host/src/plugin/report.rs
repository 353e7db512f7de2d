//! Faults in people's words: those of the trial refuse a plugin (PM0305, PM0306), those of serving say what happened
//! instead (PM0401 to PM0403).

use super::{Call, Compiled, Fault, FaultKind, Generation, Kind, Use, fault::STACK_OVERFLOW, quarantine::Strike};
use crate::problem::{Code, Problem};
use std::time::Duration;

/// Why a plugin was not admitted; the use it failed for, if it was tried for one.
pub(super) fn of_trial(compiled: &Compiled, one: Option<&Use>, fault: &Fault) -> Problem {
    if fault.kind == FaultKind::Refused {
        return refused(compiled, one, &fault.text);
    }
    let place = compiled.artifact().place();
    let call = match fault.call {
        Call::Pick => "a dry pick".to_owned(),
        call => call.to_string(),
    };
    let what = match fault.kind {
        FaultKind::Deadline => format!("overran its time in {call}: {}", fault.text),
        FaultKind::Memory => format!("overran its memory in {call}: {}", fault.text),
        FaultKind::Answer => format!("{} in {call}", fault.text),
        FaultKind::Trap if fault.text.starts_with(STACK_OVERFLOW) => format!("overran its stack in {call}"),
        FaultKind::Trap | FaultKind::Refused => format!("trapped in {call}"),
    };
    let mut problem = Problem::error(Code::LOAD_FAULT, format!("{place} {what}"));
    problem.notes = causes(fault);
    match one {
        Some(one) if !one.pool.is_empty() => problem.note(format!("with the settings of pool {}", one.pool)),
        _ => problem,
    }
}

fn refused(compiled: &Compiled, one: Option<&Use>, why: &str) -> Problem {
    let headline = format!("{} refused its config: {why:?}", compiled.artifact().name);
    let problem = Problem::error(Code::SETTINGS_REFUSED, headline);
    match one.and_then(|one| one.spot.as_ref()) {
        Some(spot) => problem.at(spot.clone(), "these settings"),
        None => problem,
    }
}

/// What a live instance did, and what that means for its generation. `window`: how long faults count.
pub(super) fn of_serving(generation: &Generation, fault: &Fault, strike: Strike, window: Duration) -> Problem {
    let Fault { kind, call, text, .. } = fault;
    let who = format!("{} {}", generation.name(), generation.hash().short());
    let window = window.as_secs();
    let seen = match strike {
        Strike::Counted { seen, .. } | Strike::Last { seen } => format!("{} in {window} s", ordinal(seen)),
        Strike::Late => "in quarantine already".to_owned(),
    };
    let (instead, until_then) = match generation.kind() {
        Kind::Balancer => ("fell back", "its fallback"),
        Kind::Filter => ("`on_fault` decides", "`on_fault`"),
    };
    let (code, what) = match kind {
        FaultKind::Deadline => (Code::OVERRAN, format!("stopped after {text} in {call}")),
        FaultKind::Answer => (Code::BAD_ANSWER, text.clone()),
        FaultKind::Memory => (Code::TRAPPED, format!("trapped in {call}, denied {text}")),
        FaultKind::Trap => (Code::TRAPPED, format!("trapped in {call}")),
        FaultKind::Refused => (Code::SETTINGS_REFUSED, format!("refused its config: {text:?}")),
    };
    let mut problem = Problem::warning(code, format!("{who} {what} ({seen}); {instead}"));
    problem.notes = causes(fault);
    match strike {
        Strike::Counted { left, .. } => problem.note(format!("{left} more in {window} s → quarantined")),
        Strike::Last { .. } | Strike::Late => problem
            .note(format!("quarantined until other bytes arrive: the last good generation serves, else {until_then}")),
    }
}

/// What a headline leaves out: the guest's words, the limit it met, the functions it was in.
fn causes(fault: &Fault) -> Vec<String> {
    let mut causes = match fault.kind {
        FaultKind::Trap => fault.text.lines().map(str::to_owned).collect(),
        FaultKind::Memory => vec!["the limit is `plugins.memory`".to_owned()],
        FaultKind::Deadline if fault.call.is_on_worker() => vec!["the limit is `plugins.deadline`".to_owned()],
        FaultKind::Deadline | FaultKind::Answer | FaultKind::Refused => Vec::new(),
    };
    causes.extend(fault.frames_in_words());
    causes
}

/// `1st`, `2nd`, `11th`.
fn ordinal(number: usize) -> String {
    let suffix = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
