//! What the documents show works: configurations pass their check, commands exist.

use pointsman::config;
use pointsman_tests::cli::Room;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// README and manual, and whatever else lies at the top in Markdown.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [root.clone(), root.join("host/manual"), root.join("host/manual/codes")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder of documents"));
    let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md"));
    files.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The blocks of a language, each with the words behind it on its first line.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(&'a str, &'a str)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("```") {
        let (fence, after) = rest[at + 3..].split_once('\n').expect("a block has lines");
        let (body, next) = after.split_once("```").expect("a block ends");
        let (first, words) = fence.trim().split_once([',', ' ']).unwrap_or((fence.trim(), ""));
        if first == language {
            blocks.push((words, body));
        }
        rest = next;
    }
    blocks
}

#[test]
fn configurations_pass_their_check() {
    let mut checked = 0;
    for (path, text) in documents() {
        for (_, sample) in blocks(&text, "toml") {
            // Parts of other files, such as a plugin's, have tables of their own.
            if !["[[listen]]", "[pool.", "[[route]]", "[plugins]", "[admin]", "[server]"]
                .iter()
                .any(|t| sample.contains(t))
            {
                continue;
            }
            if let Err(problems) = config::parse(sample, Path::new("sample.toml")) {
                panic!("{}: {sample}\n{problems:#?}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked >= 2, "{checked} samples were found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in documents() {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = path.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(file.exists(), "{} links to {link}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_shown_exist() {
    let room = Room::new();
    let mut seen = std::collections::BTreeSet::new();
    for (path, text) in documents() {
        // `pointsman …` in code, in running text and in blocks.
        for rest in text.split("pointsman ").skip(1) {
            let words: Vec<&str> = rest.split(|c: char| !c.is_ascii_lowercase()).take(2).collect();
            let command = match words[..] {
                ["plugin", second] => vec!["plugin", second],
                [first, _] => vec![first],
                _ => continue,
            };
            let known = ["try", "run", "check", "init", "schema", "explain", "version", "status", "plugin"];
            if known.contains(&command[0]) && command.iter().all(|word| !word.is_empty()) {
                seen.insert((command.join(" "), path.clone()));
            }
        }
    }
    let mut helped = std::collections::BTreeSet::new();
    for (command, path) in seen {
        if helped.insert(command.clone()) {
            let arguments: Vec<&str> = command.split(' ').chain(["--help"]).collect();
            let said = room.run(&arguments).await;
            assert_eq!(said.code, Some(0), "{} shows `pointsman {command}`: {}", path.display(), said.stderr);
        }
    }
    assert!(helped.len() >= 5, "{helped:?}");
}
