//! What `plugin new` writes: a project of its kind, and the SDK with the contract beside it. All of it is in the binary.

use super::manifest::Kind;

/// Where the SDK lies in a project.
pub(super) const VENDOR: &str = "vendor/pointsman-sdk";

/// A file of a project.
#[derive(Debug)]
pub(super) struct File {
    /// From the project's folder.
    pub(super) path: &'static str,
    /// For people, in a few words.
    pub(super) what: &'static str,
    /// With blanks: see [`fill`].
    pub(super) text: &'static str,
}

/// The files of a project of this kind, but for the SDK.
pub(super) fn project(kind: Kind) -> &'static [File] {
    match kind {
        Kind::Balancer => BALANCER,
        Kind::Filter => FILTER,
    }
}

/// Fills a file's blanks: the plugin's name, and the name that cargo gives to what it builds.
pub(super) fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{file}}", &name.replace('-', "_"))
}

macro_rules! project {
    ($kind:literal, $what:literal) => {
        &[
            File { path: "src/lib.rs", what: $what, text: include_str!(concat!("template/", $kind, "/lib.rs.txt")) },
            File {
                path: "plugin.toml",
                what: "its name, and how it is built",
                text: include_str!(concat!("template/", $kind, "/plugin.toml.txt")),
            },
            File {
                path: "Cargo.toml",
                what: "a workspace of its own",
                text: include_str!(concat!("template/", $kind, "/Cargo.toml.txt")),
            },
            File {
                path: "README.md",
                what: "three commands",
                text: include_str!(concat!("template/", $kind, "/README.md.txt")),
            },
            File { path: ".gitignore", what: "not what is built", text: include_str!("template/gitignore.txt") },
        ]
    };
}

const BALANCER: &[File] = project!("balancer", "the algorithm and its unit test");
const FILTER: &[File] = project!("filter", "the filter and its unit tests");

macro_rules! files {
    ($root:literal, $($path:literal)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), $root, $path)))),*]
    };
}

/// The files of the SDK.
#[rustfmt::skip]
pub(super) const SDK: &[(&str, &str)] = files!("/../sdk/",
    "Cargo.toml"
    "src/about.rs"
    "src/balancer.rs"
    "src/bindings.rs"
    "src/costs.rs"
    "src/deadlines.rs"
    "src/export.rs"
    "src/failing.rs"
    "src/feedback.rs"
    "src/filter.rs"
    "src/hand_over.rs"
    "src/hashing/jump.rs"
    "src/hashing/key.rs"
    "src/hashing/maglev.rs"
    "src/hashing/mod.rs"
    "src/hashing/rendezvous.rs"
    "src/hashing/ring.rs"
    "src/host/edits.rs"
    "src/host/figures.rs"
    "src/host/kv.rs"
    "src/host/log.rs"
    "src/host/metrics.rs"
    "src/host/mod.rs"
    "src/host/notes.rs"
    "src/host/probes.rs"
    "src/host/rate_limit.rs"
    "src/host/request.rs"
    "src/host/shared.rs"
    "src/host/subsets.rs"
    "src/lib.rs"
    "src/pool.rs"
    "src/prober.rs"
    "src/settings/mistake.rs"
    "src/settings/mod.rs"
    "src/settings/reader.rs"
    "src/slow_start.rs"
    "src/testing/behaviour.rs"
    "src/testing/bench.rs"
    "src/testing/chance.rs"
    "src/testing/fake.rs"
    "src/testing/kv.rs"
    "src/testing/mod.rs"
    "src/testing/notes.rs"
    "src/testing/request.rs"
    "src/testing/simulation.rs"
    "src/turn.rs"
    "src/weighted.rs"
    "wit/CHANGES.md"
    "wit/about.wit"
    "wit/balancer.wit"
    "wit/feedback.wit"
    "wit/filter.wit"
    "wit/handover.wit"
    "wit/host.wit"
    "wit/kv.wit"
    "wit/metrics.wit"
    "wit/notes.wit"
    "wit/prober.wit"
    "wit/probes.wit"
    "wit/rate-limit.wit"
    "wit/subsets.wit"
    "wit/types.wit"
    "wit/worlds.wit"
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// The paths of all files below a folder, in order. Links are followed, as the SDK's is to the contract.
    fn files_below(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_whole_sdk_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut there = files_below(&root.join("sdk"));
        // What a build of the SDK by itself leaves behind.
        there.retain(|path| !path.starts_with("target/") && path != "Cargo.lock");
        let embedded: Vec<_> = SDK.iter().map(|(path, _)| *path).collect();
        assert_eq!(embedded, there, "the list in this file and the files of sdk/ differ");
    }

    #[test]
    fn the_example_is_what_a_new_project_is() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello-balancer");
        for file in project(Kind::Balancer) {
            let text = fs::read_to_string(example.join(file.path)).unwrap();
            let text = text.replace("path = \"../../sdk\"", &format!("path = {VENDOR:?}"));
            assert_eq!(text, fill(file.text, "hello-balancer"), "{}", file.path);
        }
        let written = |path: &String| project(Kind::Balancer).iter().any(|file| file.path == path);
        let mut more = files_below(&example);
        more.retain(|path| !path.starts_with("target/") && path != "Cargo.lock" && !written(path));
        assert_eq!(more, [""; 0]);
    }
}
