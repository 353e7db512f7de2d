//! Which contract a component speaks, and which halves of it: read from the names it imports and exports, before anything
//! of it is compiled. Each version that is served is a folder here, and the rooms above never see its generated types.

pub(super) mod v0_1;

use super::{Artifact, Kind};
use crate::problem::{Code, Problem};
use wasmparser::{Encoding, Parser, Payload};

/// The package that a plugin's interfaces belong to.
const PACKAGE: &str = "pointsman:plugin/";
/// What this host speaks.
pub(super) const VERSION: &str = "0.1.0";
/// The halves of that version, by the names of the interfaces that a component exports.
const HALVES: [&str; 7] = ["balancer", "filter", "ticker", "feedback", "handover", "prober", "about"];
/// Those that only a balancer may have.
const OF_BALANCERS: [&str; 4] = ["ticker", "feedback", "handover", "prober"];
/// The interfaces of that version that a component may import.
const OFFERED: [&str; 12] = [
    "types",
    "request",
    "figures",
    "shared",
    "log",
    "edits",
    "notes",
    "subsets",
    "kv",
    "metrics",
    "rate-limit",
    "probes",
];
/// What of WASI is linked.
const WASI: [&str; 6] = ["cli", "io", "clocks", "random", "filesystem", "sockets"];
/// WASI's version, all of its patches.
const WASI_VERSION: &str = "0.2.";
/// How many names a message lists.
const NAMES_SHOWN: usize = 6;

/// What a component asks for and gives, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl Names {
    /// Whether this half is there.
    pub(super) fn has(&self, half: &str) -> bool {
        self.exports.iter().any(|name| interface(name) == Some(half))
    }
}

/// Reads a component's names. PM0301 when it is none.
pub(super) fn names(artifact: &Artifact) -> Result<Names, Problem> {
    let place = artifact.place();
    if !artifact.bytes.starts_with(b"\0asm") {
        return Err(not_webassembly(&place));
    }
    let mut names = Names::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&artifact.bytes) {
        let broken = |e: wasmparser::BinaryReaderError| broken(&place, e);
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(core_module(&place)),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    names.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Which kind of plugin these names make. PM0302, PM0303, PM0304, PM0307 when none that can be served.
pub(super) fn kind(place: &str, names: &Names) -> Result<Kind, Problem> {
    spoken_version(place, names)?;
    if let Some(later) = names.exports.iter().filter_map(|name| interface(name)).find(|half| !HALVES.contains(half)) {
        return Err(Problem::error(
            Code::NOT_OFFERED,
            format!("{place} exports {PACKAGE}{later}, which this host does not offer yet"),
        )
        .note(format!("it offers {}; build without that half, or run a newer Pointsman", HALVES.join(", "))));
    }
    let kind = match (names.has("balancer"), names.has("filter")) {
        (true, true) => {
            return Err(Problem::error(Code::NOT_OFFERED, format!("{place} exports both a balancer and a filter"))
                .note("one file is one of them: make two plugins of it"));
        }
        (true, false) => Kind::Balancer,
        (false, true) => match OF_BALANCERS.into_iter().find(|half| names.has(half)) {
            Some(half) => {
                let headline = format!("{place} is a filter that exports {PACKAGE}{half}");
                return Err(
                    Problem::error(Code::NOT_OFFERED, headline).note("only balancers have that half: build without it")
                );
            }
            None => Kind::Filter,
        },
        (false, false) => return Err(no_half(place, names)),
    };
    match names.imports.iter().find(|name| !is_offered(name)) {
        Some(foreign) => Err(not_offered(place, foreign)),
        None => Ok(kind),
    }
}

/// PM0304: this import cannot be had here.
pub(super) fn not_offered(place: &str, import: &str) -> Problem {
    let remedy = match import.split([':', '/']).nth(1) {
        Some("http") => "remove the dependency that speaks HTTP",
        _ if import.starts_with(PACKAGE) => "build without it, or run a newer Pointsman",
        _ => "remove the dependency that needs it",
    };
    Problem::error(Code::FORBIDDEN_IMPORT, format!("{place} imports {import}, which plugins are not given"))
        .note(format!("allowed: {PACKAGE}* and wasi:{{{}}}, the last two denied at use; {remedy}", WASI.join(",")))
}

/// PM0301: noise, or a file of another kind.
pub(super) fn not_webassembly(place: &str) -> Problem {
    Problem::error(Code::NOT_A_COMPONENT, format!("{place} is not WebAssembly"))
        .note("a plugin is a WebAssembly component; `pointsman plugin new` makes one to start from")
}

fn core_module(place: &str) -> Problem {
    Problem::error(Code::NOT_A_COMPONENT, format!("{place} is a core module, not a component")).note(
        "Rust: build with --target wasm32-wasip2; C/Zig: `wasm-tools component new`; see `pointsman explain PM0301`",
    )
}

/// PM0301: it begins like a component, and is none.
pub(super) fn broken(place: &str, cause: impl std::fmt::Display) -> Problem {
    Problem::error(Code::NOT_A_COMPONENT, format!("{place} is not a valid component"))
        .note("build it again; a file that was cut short or changed on its way looks like this")
        .detail(cause)
}

/// All interfaces of our package are of a version that is served.
fn spoken_version(place: &str, names: &Names) -> Result<(), Problem> {
    let ours = names.exports.iter().chain(&names.imports).filter(|name| name.starts_with(PACKAGE));
    let mut versions = ours.filter_map(|name| name.split_once('@')).map(|(_, version)| version);
    let Some(foreign) = versions.find(|version| !is_spoken(version)) else { return Ok(()) };
    Err(Problem::error(
        Code::WRONG_VERSION,
        format!("{place} was built for pointsman:plugin@{foreign}; this host speaks {VERSION}"),
    )
    .note("rebuild with the wit/ of `pointsman plugin new`, or run a Pointsman that speaks that version"))
}

/// Within 0.1 only additions come, and what was added is found by name.
fn is_spoken(version: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(VERSION)
}

/// The interface's own name, when it is of our package.
fn interface(name: &str) -> Option<&str> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').map_or(name, |(interface, _)| interface))
}

fn is_offered(import: &str) -> bool {
    if let Some(interface) = interface(import) {
        return OFFERED.contains(&interface);
    }
    let Some((package, rest)) = import.strip_prefix("wasi:").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    WASI.contains(&package) && rest.split_once('@').is_some_and(|(_, version)| version.starts_with(WASI_VERSION))
}

fn no_half(place: &str, names: &Names) -> Problem {
    let listed = match names.exports.len() {
        0 => "nothing".to_owned(),
        n if n > NAMES_SHOWN => format!("{} and {} more", names.exports[..NAMES_SHOWN].join(", "), n - NAMES_SHOWN),
        _ => names.exports.join(", "),
    };
    let [balancer, filter, ..] = HALVES;
    Problem::error(
        Code::MISSING_EXPORT,
        format!("{place} exports no `{PACKAGE}{balancer}@{VERSION}` and no `{filter}` (it exports: {listed})"),
    )
    .note(
        "a balancer needs `balancer!(Type)` (Rust) / `export const balancer` (JS) / `class Balancer` (Python); \
         a filter `filter!(Type)` / `export const filter` / `class Filter`",
    )
}
