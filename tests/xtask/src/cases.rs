//! The list of cases (`tests/cases.md`), and what became of each in a run of the tests.

use anyhow::{Result, bail};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// The list as people read it.
const LIST: &str = include_str!("../../cases.md");
/// How many there are.
const ALL: u8 = 74;
/// The widest text of a case in the table.
const WIDTH_MOST: usize = 88;

/// What the stories of a run said, by case.
#[derive(Debug, Default)]
pub(crate) struct Cases(BTreeMap<u8, Stories>);

/// The stories of a case that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stories {
    passed: u32,
    failed: u32,
}

/// Runs the tests, shows what they print as they print it, and reads along. Gives whether all passed.
pub(crate) fn read_along(tests: &mut Command) -> Result<(bool, Cases)> {
    let mut running = tests.stdout(Stdio::piped()).spawn()?;
    let mut cases = Cases::default();
    if let Some(stdout) = running.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            cases.read(&line);
        }
    }
    Ok((running.wait()?.success(), cases))
}

impl Cases {
    /// Takes note of a line such as `test answers::case_47_what_is_no_answer ... ok`.
    fn read(&mut self, line: &str) {
        let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            return;
        };
        let mut path = name.rsplit("::");
        let story = path.next().unwrap_or_default();
        // A unit test is no story.
        if path.any(|part| part == "tests") {
            return;
        }
        for number in numbers(story) {
            let stories = self.0.entry(number).or_default();
            match outcome.split([',', ' ']).next() {
                Some("ok") => stories.passed += 1,
                Some("FAILED") => stories.failed += 1,
                _ => {}
            }
        }
    }

    /// Prints the list; only what ran of it, unless all should have run. Err: a case has no story.
    pub(crate) fn tell(&self, all: bool) -> Result<()> {
        let mut missing = Vec::new();
        let mut table = String::new();
        for (number, words) in list()? {
            let stories = self.0.get(&number).copied().unwrap_or_default();
            if stories == Stories::default() {
                missing.push(number);
                if !all {
                    continue;
                }
            }
            writeln!(table, "{number:>4}  {:<8}  {}", stories.verdict(), shortened(&words))?;
        }
        if table.is_empty() {
            return Ok(());
        }
        println!("\nthe cases of tests/cases.md:\n{table}");
        if all && !missing.is_empty() {
            bail!("no story tells of the cases {missing:?}");
        }
        Ok(())
    }
}

impl Stories {
    fn verdict(self) -> &'static str {
        match self {
            Stories { failed: 1.., .. } => "FAILED",
            Stories { passed: 1.., .. } => "passed",
            Stories { .. } => "missing",
        }
    }
}

/// The cases that a story's name begins with: `case_7_…`, `cases_42_43_and_45_…`, `cases_1_to_5_…`.
fn numbers(story: &str) -> Vec<u8> {
    let Some(words) = story.strip_prefix("case_").or_else(|| story.strip_prefix("cases_")) else { return Vec::new() };
    let (mut numbers, mut up_to) = (Vec::<u8>::new(), false);
    for word in words.split('_') {
        match word.parse::<u8>() {
            Ok(number) if std::mem::take(&mut up_to) => {
                numbers.extend(numbers.last().map_or(number, |n| n + 1)..=number)
            }
            Ok(number) => numbers.push(number),
            Err(_) if word == "to" => up_to = true,
            Err(_) if word == "and" => {}
            Err(_) => break,
        }
    }
    numbers
}

/// Number and words of each case, in order; Err: the file does not list them all once.
fn list() -> Result<Vec<(u8, String)>> {
    let mut cases = Vec::new();
    for line in LIST.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", number, what, must, ""] = cells[..]
            && let Ok(number) = number.parse()
        {
            cases.push((number, format!("{what}: {must}")));
        }
    }
    cases.sort_unstable();
    if !cases.iter().map(|(number, _)| *number).eq(1..=ALL) {
        bail!("tests/cases.md must list the cases 1 to {ALL}, each once");
    }
    Ok(cases)
}

fn shortened(words: &str) -> String {
    if words.chars().count() <= WIDTH_MOST {
        return words.to_owned();
    }
    words.chars().take(WIDTH_MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_says_which_cases_it_tells_of() {
        assert_eq!(numbers("case_07_two_codings"), [7]);
        assert_eq!(numbers("cases_42_43_and_45_malformed_heads"), [42, 43, 45]);
        assert_eq!(numbers("cases_1_to_5_and_9_of_10"), [1, 2, 3, 4, 5, 9]);
        assert_eq!(numbers("case_56_all_dead_is_503_at_once"), [56]);
        assert!(numbers("a_case_7").is_empty());
    }

    #[test]
    fn the_file_lists_each_case_once() {
        assert_eq!(list().unwrap().len(), usize::from(ALL));
    }

    #[test]
    fn one_failure_fails_a_case_and_unit_tests_do_not_count() {
        let mut cases = Cases::default();
        for line in [
            "test answers::case_50_one ... ok",
            "test answers::case_50_two ... FAILED",
            "test routes::case_71_three ... ok",
            "test drain::case_61_four ... ignored, for a reason",
            "test route::table::tests::case_70_five ... ok",
            "test result: ok. 3 passed",
        ] {
            cases.read(line);
        }
        let verdict = |number| cases.0.get(&number).copied().unwrap_or_default().verdict();
        assert_eq!([50, 71, 61, 70].map(verdict), ["FAILED", "passed", "missing", "missing"]);
    }
}
