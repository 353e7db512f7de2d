//! `pointsman plugin new NAME`: a project that builds, tests and serves as it stands, and needs nothing but a Rust
//! toolchain and crates.io: the SDK and the contract lie in its `vendor/`.

use super::{manifest::Kind, template};
use crate::{
    cli::{Context, Exit, Failure},
    config::is_plugin_name,
};
use anyhow::{Context as _, anyhow};
use std::{fs, path::Path};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plugin's name and its folder: lower-case letters, digits and dashes, a letter first
    name: String,
    /// What it is for
    #[arg(long, value_enum, default_value = "balancer")]
    kind: Kind,
    /// The language it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
}

/// Languages that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    Rust,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let Lang::Rust = args.lang;
    if let Some(refusal) = refusal(&args.name) {
        return Err(Failure { exit: Exit::Refused, ..anyhow!(refusal).into() });
    }
    let folder = Path::new(&args.name);
    write(folder, &args.name, args.kind)?;

    let out = &mut context.console.out;
    writeln!(out, "{}/", args.name)?;
    for file in template::project(args.kind) {
        writeln!(out, "  {:24} {}", file.path, file.what)?;
    }
    writeln!(
        out,
        "  {:24} the SDK and the contract, to build with no other download than crates.io",
        template::VENDOR
    )?;
    writeln!(out, "Next: cd {} && pointsman plugin build && pointsman plugin install", args.name)?;
    Ok(Exit::Ok)
}

/// Writes a project into a folder that must not exist.
fn write(folder: &Path, name: &str, kind: Kind) -> anyhow::Result<()> {
    if folder.exists() {
        anyhow::bail!("{} exists already: choose another name", folder.display());
    }
    fs::create_dir(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let project = template::project(kind).iter().map(|file| (file.path.to_owned(), template::fill(file.text, name)));
    let vendor = template::SDK.iter().map(|(path, text)| (format!("{}/{path}", template::VENDOR), (*text).to_owned()));
    for (path, text) in project.chain(vendor) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Names that Rust or cargo would not take for a crate, or that the template's own dependencies have.
#[rustfmt::skip]
const TAKEN: &[&str] = &[
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "build", "const", "continue", "core",
    "crate", "deps", "do", "dyn", "else", "enum", "examples", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "incremental", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "pointsman-sdk",
    "priv", "proc-macro", "pub", "ref", "return", "self", "serde", "serde-json", "static", "std", "struct", "super",
    "test", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
    "wit-bindgen", "xxhash-rust", "yield",
];

/// Why nothing may be called so.
fn refusal(name: &str) -> Option<String> {
    if !is_plugin_name(name) {
        return Some(format!(
            "{name:?} is no name for a plugin: lower-case letters, digits and dashes, a letter first"
        ));
    }
    TAKEN.contains(&name).then(|| format!("{name:?} is a name that Rust or cargo keeps to itself; choose another"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_project_has_its_name_everywhere_and_no_blank_left() {
        for kind in [Kind::Balancer, Kind::Filter] {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("least-loaded");
            write(&folder, "least-loaded", kind).unwrap();
            for path in files(&folder) {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains("{{name}}") && !text.contains("{{file}}"), "{}", path.display());
            }
            let manifest = super::super::manifest::Manifest::read(&folder).unwrap();
            assert_eq!((manifest.name.as_str(), manifest.kind), ("least-loaded", kind));
            assert!(manifest.build().unwrap().component.ends_with("least_loaded.wasm"));
        }
    }

    #[test]
    fn an_existing_folder_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let error = write(home.path(), "x", Kind::Balancer).unwrap_err();
        assert!(format!("{error:#}").contains("exists"), "{error:#}");
        assert!(files(home.path()).is_empty());
    }

    #[test]
    fn names_that_cannot_be_crates_are_refused() {
        for name in ["match", "pointsman-sdk", "Upper", "a_b", "", "9x"] {
            assert!(refusal(name).is_some(), "{name}");
        }
        assert_eq!(refusal("least-loaded"), None);
    }
}
