//! The walls of the house: which room may use which, the one door through which a package comes in, words that have
//! another name here. What a room needs from above is handed down to it as a small reader or a channel.

mod plan;
mod source;

use plan::{BANNED, DOORS, GROUND, ROOMS};
use source::Source;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn rooms_use_only_what_the_plan_draws() {
    let mut breaches = Vec::new();
    for source in sources(&["host/src"]) {
        let Some(room) = source.room() else { continue };
        for (line, used) in source.rooms_used() {
            if !plan::allows(&room, &used) {
                breaches.push(format!("{}:{line}: {room} → {used}; {}", source.path, plan::way_out(&room, &used)));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_plan_knows_every_room_and_no_other() {
    let mut standing: Vec<String> = sources(&["host/src"]).iter().filter_map(Source::room).collect();
    standing.sort();
    standing.dedup();
    let mut planned: Vec<&str> = ROOMS.iter().chain(GROUND).map(|room| room.name).collect();
    planned.sort_unstable();
    assert_eq!(standing, planned);
}

#[test]
fn a_package_comes_in_through_one_door() {
    let mut breaches = Vec::new();
    for source in sources(&["host/src", "sdk/src", "tests/xtask/src"]) {
        for door in DOORS {
            let own = door.rooms.iter().any(|room| source.path.starts_with(room));
            for (line, package) in source.packages_named(door.packages) {
                if !own {
                    let (path, rooms, reason) = (&source.path, door.rooms.join(", "), door.reason);
                    breaches.push(format!("{path}:{line}: names {package}; ask {rooms} instead: {reason}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn no_word_is_used_that_has_another_name_here() {
    let mut breaches = Vec::new();
    for source in sources(&["host/src", "sdk/src", "plugins"]) {
        for banned in BANNED {
            let own = banned.but_in.iter().any(|room| source.path.starts_with(room));
            for line in source.lines_with(banned.word) {
                if !own {
                    breaches.push(format!("{}:{line}: `{}`; instead: {}", source.path, banned.word, banned.instead));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = sources(&["host/src", "sdk/src", "plugins", "tests"]);
    let silent: Vec<_> = files.iter().filter(|source| !source.text.starts_with("//!")).map(|s| &s.path).collect();
    assert!(silent.is_empty(), "the first line of these is no `//!`: {silent:?}");
}

#[test]
fn every_stock_plugin_is_small_and_complete() {
    for folder in folders("plugins") {
        for file in ["README.md", "plugin.toml", "cases.toml", "src/lib.rs"] {
            assert!(folder.join(file).is_file(), "{} has no {file}", folder.display());
        }
        let lines = fs::read_to_string(folder.join("src/lib.rs")).unwrap().lines().count();
        assert!(
            lines <= 200,
            "{}/src/lib.rs has {lines} lines; what plugins share belongs to the SDK",
            folder.display()
        );
    }
}

#[test]
fn a_breach_is_seen() {
    let text = "//! A room.\nuse crate::{net::Body, server};\n// crate::tls\nlet word = \"crate::app\";\nrustls::x();\n\
                #[cfg(test)]\nmod tests {\n    use crate::app::App;\n}\nuse super::super::state::Cell;\n";
    let source = Source::new("host/src/proxy/forward.rs".into(), text.into());
    let used = [(2, "net".into()), (2, "server".into()), (10, "state".into())];
    assert_eq!(source.rooms_used(), used);
    assert!(plan::allows("proxy", "net") && !plan::allows("proxy", "server"));
    assert_eq!(source.packages_named(&["rustls"]), [(5, "rustls".to_owned())]);
    assert_eq!(source.lines_with("word"), [4]);
    assert!(plan::way_out("proxy", "tls").contains("app"));
}

/// Every Rust file below these folders, in order.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| collect(&root().join(folder), &mut found));
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source::new(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The crates in a folder.
fn folders(of: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(of)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("Cargo.toml").is_file()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
