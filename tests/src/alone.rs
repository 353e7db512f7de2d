//! A process of its own for a story that looks at its whole process: its memory, its environment.

use crate::story;
use std::process::{Command, Stdio};

/// Set for the process that a story is alone in.
const MARK: &str = "POINTSMAN_TESTS_ALONE";

/// True in the process where the story is alone. Elsewhere it starts that process with this one story, waits for its end,
/// and gives false: the story is told.
///
/// # Panics
/// When the story fails there; its words are printed here.
pub fn here(story: &str) -> bool {
    with_environment(story, &[])
}

/// The same, with these variables.
///
/// # Panics
/// As there.
pub fn with_environment(story: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let this = std::env::current_exe().expect("a path of this program");
    let mut command = Command::new(this);
    command.args(["--exact", story, "--nocapture"]).env(MARK, "1").envs(variables.iter().copied()).stdin(Stdio::null());
    let output = story::aside(|| command.output()).expect("it starts");
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && words.contains("1 passed"), "alone, {story} failed:\n{words}");
    print!("{words}");
    false
}
