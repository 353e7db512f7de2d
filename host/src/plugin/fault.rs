//! From whatever stopped a guest to a fault that its author understands.

use super::{Call, Fault, FaultKind, limits::STACK_MAX, sandbox::Data};
use wasmtime::{Trap, WasmBacktrace};

/// How many functions a fault names.
const FRAMES_MAX: usize = 8;
/// How long a function's name may be, in bytes.
const FRAME_MAX: usize = 512;
/// Functions that tell an author nothing: Rust's own way from a panic to the trap.
const NOISE: [&str; 9] =
    ["core::", "std::", "alloc::", "__rust", "rust_", "_R", "abort", "dlmalloc", "wasi_snapshot_preview1"];

/// How the text of a stack overflow begins.
pub(super) const STACK_OVERFLOW: &str = "stack overflow";

/// What this error of that call was.
pub(super) fn fault(call: Call, error: &wasmtime::Error, data: &mut Data) -> Fault {
    let (kind, text) = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => (FaultKind::Deadline, data.meter.verdict()),
        Some(Trap::StackOverflow) => {
            (FaultKind::Trap, format!("{STACK_OVERFLOW}: more than {} KiB, endless recursion perhaps", STACK_MAX >> 10))
        }
        trap => {
            // An error that is no trap came out of a host function: its own words say best what was wrong.
            let cause = trap.map_or_else(|| error.root_cause().to_string(), in_words);
            match data.space.verdict() {
                Some(denied) => (FaultKind::Memory, denied),
                None => (FaultKind::Trap, with_last_words(cause, &data.last_words())),
            }
        }
    };
    Fault { frames: frames(error), ..Fault::new(kind, call, text) }
}

fn in_words(trap: &Trap) -> String {
    let text = trap.to_string();
    text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
}

/// A panic says more than the trap it ends in; anything else that was printed may explain the trap.
fn with_last_words(cause: String, words: &str) -> String {
    match words.rfind("panicked at ") {
        Some(start) => {
            words[start..].replacen(":\n", ": ", 1).lines().filter(|line| !line.starts_with("note:")).collect()
        }
        None if words.is_empty() => cause,
        None => format!("{cause}\n{words}"),
    }
}

/// The guest's functions, innermost first, in the spelling of their source.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let mut names: Vec<String> = names.map(readable).collect();
    let telling = |name: &String| !NOISE.iter().any(|noise| name.trim_start_matches('<').starts_with(noise));
    if names.iter().any(telling) {
        names.retain(telling);
    }
    names.truncate(FRAMES_MAX);
    names
}

/// As its author wrote it, and not without end.
fn readable(name: &str) -> String {
    let mut name = format!("{:#}", rustc_demangle::demangle(&name[..name.floor_char_boundary(FRAME_MAX)]));
    name.truncate(name.floor_char_boundary(FRAME_MAX));
    name
}
