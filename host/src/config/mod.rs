//! Reads `pointsman.toml` into types that cannot express a wrong configuration, or tells all that is wrong with it.
//!
//! The way of a file: `toml` parses it into values with their places; the shapes read them into the tables of `file`,
//! where every key stands once, with its type, its default and its sentence for editors; `check` makes the [`model`] of
//! them. Each step tells what is wrong and goes on, so that an operator mends a file in one round.

mod check;
mod diff;
mod file;
pub mod model;
mod place;
mod read;
mod schema;
mod secrets;
mod shapes;
mod table;
mod units;

pub use diff::{Diff, changeable, diff};
pub use place::{default_admin, runtime_directory, token_file};
pub use schema::json_schema;
pub use shapes::{PLUGIN_NAME_MOST, is_plugin_name};

use crate::problem::{Code, Problem, Spot};
use model::Config;
use read::{Reader, Shape, Value};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::{DeTable, DeValue};

/// A configuration is written by people; a file larger than this is another file.
const FILE_MOST: u64 = 1 << 20;
/// Where a configuration is looked for when none is named.
pub const DEFAULT_FILES: [&str; 2] = ["pointsman.toml", "/etc/pointsman/pointsman.toml"];

/// The file to read: the named one, else the first of [`DEFAULT_FILES`] that is there.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Problem> {
    let there = || DEFAULT_FILES.iter().map(PathBuf::from).find(|file| file.exists());
    named.map(PathBuf::from).or_else(there).ok_or_else(|| {
        let headline = format!("no configuration: neither {} nor {}", DEFAULT_FILES[0], DEFAULT_FILES[1]);
        Problem::error(Code::NO_CONFIGURATION, headline)
            .note("name one with -c FILE, write one with `pointsman init`, or start without one: `pointsman try`")
    })
}

/// Reads and checks a file; relative paths in it start at its directory. Err: everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
    let text = read_file(path).map_err(|error| {
        let headline = format!("cannot read {}: {error}", path.display());
        vec![Problem::error(Code::NO_CONFIGURATION, headline).note("`pointsman init` writes a commented one")]
    })?;
    parse(&text, path)
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() && !metadata.is_dir() {
        // A pipe would have a reload wait for who writes into it, and all changes behind it.
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MOST {
        return Err(std::io::Error::other("it is larger than 1 MiB, no configuration is"));
    }
    Ok(text)
}

/// Checks the text of a file of this name. Err: everything that is wrong with it, in the order of the file, never empty.
pub fn parse(text: &str, path: &Path) -> Result<Config, Vec<Problem>> {
    // What messages show of it.
    let source: Arc<str> = secrets::blanked(text).into();
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut problems: Vec<_> = errors.iter().map(|error| not_toml(error, path, &source)).collect();
        problems.sort_by_key(|problem| problem.spot.as_ref().map(|spot| spot.span.start));
        return Err(problems);
    }
    let mut reader = Reader::new(path.into(), source);
    let root = DeValue::Table(table.into_inner());
    let file = file::File::read(&Value::root(&root), &mut reader).unwrap_or_default();
    let config = check::check(file, path.parent().unwrap_or(Path::new("")), &mut reader);
    let problems = reader.finish();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn not_toml(error: &toml::de::Error, path: &Path, source: &Arc<str>) -> Problem {
    let span = error.span().unwrap_or(source.len()..source.len());
    let spot = Spot { file: path.into(), source: source.clone(), span };
    let message = error.message();
    let message = message.strip_suffix(", expected nothing").unwrap_or(message);
    Problem::error(Code::BAD_VALUE, "this is not TOML").at(spot, message)
}

#[cfg(test)]
mod tests;
