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

/// What begins with `pointsman` in code: the lines of blocks, and what stands between backquotes in running text.
fn shown(text: &str) -> Vec<String> {
    let mut shown = Vec::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            shown.extend(part.lines().map(|line| line.trim_start_matches(['$', ' ']).to_owned()));
        } else {
            // A line may end within it.
            shown.extend(part.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")));
        }
    }
    shown.retain(|line| line.split_whitespace().next() == Some("pointsman"));
    shown
}

#[test]
fn a_command_that_is_shown_is_found() {
    let text = "Say `pointsman rnu` or `pointsman\nplugin xy`.\n```\npointsman chekc -c x\n  $ pointsman -v\nx pointsman y\n```\n`z`";
    assert_eq!(shown(text), ["pointsman rnu", "pointsman plugin xy", "pointsman chekc -c x", "pointsman -v"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_shown_exist() {
    let room = Room::new();
    let mut seen = std::collections::BTreeSet::new();
    for (path, text) in documents() {
        for line in shown(&text) {
            let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
            let mut words = line.split_whitespace().skip(1).take_while(is_word);
            let command = match (words.next(), words.next()) {
                (Some("plugin"), Some(second)) => format!("plugin {second}"),
                (Some(first), _) => first.to_owned(),
                (None, _) => continue,
            };
            seen.insert((command, path.clone()));
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
    assert!(["run", "check", "plugin new", "plugin log"].iter().all(|shown| helped.contains(*shown)), "{helped:?}");
}
