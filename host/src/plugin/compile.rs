//! From an artifact to code that can be instantiated. It takes seconds for large plugins, so never on a worker; the
//! engine's cache remembers by content.

use super::{
    Artifact,
    abi::{
        self, Names,
        v0_1::{About, Exports},
    },
    sandbox::Data,
};
use crate::problem::{Code, Problem};
use std::{fmt, time::Duration};
use tokio::time::Instant;
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker},
};

/// The remedy when names fit and shapes do not.
const OUR_WIT: &str = "rebuild with the wit/ of `pointsman plugin new`, unchanged";

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chooses backends.
    Balancer,
    /// Sees requests.
    Filter,
}

impl Kind {
    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Balancer => "balancer",
            Kind::Filter => "filter",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A plugin that was compiled and linked; nothing of it has run yet.
pub struct Compiled {
    artifact: Artifact,
    kind: Kind,
    names: Names,
    compile_time: Duration,
    pre: InstancePre<Data>,
    exports: Exports,
    about: Option<About>,
}

impl Compiled {
    /// Reads the names, compiles, links. Blocks.
    pub(super) fn new(engine: &Engine, linker: &Linker<Data>, artifact: Artifact) -> Result<Compiled, Problem> {
        let began = Instant::now();
        let place = artifact.place();
        let names = abi::names(&artifact)?;
        let kind = abi::kind(&place, &names)?;
        let component = Component::new(engine, &artifact.bytes).map_err(|e| abi::broken(&place, format!("{e:#}")))?;
        let pre = linker.instantiate_pre(&component).map_err(|e| odd_import(&place, &e))?;
        let exports = Exports::find(&pre, kind, &names).map_err(|e| odd_export(&place, kind, &e))?;
        let about = names.has("about").then(|| About::find(&pre)).transpose();
        let about = about.map_err(|e| odd_export(&place, kind, &e))?;
        Ok(Compiled { artifact, kind, names, compile_time: began.elapsed(), pre, exports, about })
    }

    /// The bytes it was compiled from.
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it has this half.
    pub(super) fn has(&self, half: &str) -> bool {
        self.names.has(half)
    }

    /// Names of what it imports, as they stand in the file.
    pub fn imports(&self) -> &[String] {
        &self.names.imports
    }

    /// Names of what it exports, as they stand in the file.
    pub fn exports(&self) -> &[String] {
        &self.names.exports
    }

    /// How long compiling took; little when the cache knew it.
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    pub(super) fn pre(&self) -> &InstancePre<Data> {
        &self.pre
    }

    pub(super) fn guest(&self) -> &Exports {
        &self.exports
    }

    /// The half that tells what it is for, if it has one.
    pub(super) fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("artifact", &self.artifact.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// PM0304: the name is offered, and yet something behind it is not. wasmtime's text quotes the name first.
fn odd_import(place: &str, error: &wasmtime::Error) -> Problem {
    let raw = format!("{error:#}");
    let name = raw.split('`').nth(1).unwrap_or("an interface");
    Problem::error(Code::FORBIDDEN_IMPORT, format!("{place} imports `{name}` in another shape than this host offers"))
        .note(OUR_WIT)
        .detail(raw)
}

/// PM0303: the name is right, and yet a function behind it is missing or different.
fn odd_export(place: &str, kind: Kind, error: &wasmtime::Error) -> Problem {
    let name = format!("pointsman:plugin/{kind}@{}", abi::VERSION);
    Problem::error(Code::MISSING_EXPORT, format!("{place} exports `{name}` in another shape than this host knows"))
        .note(OUR_WIT)
        .detail(format!("{error:#}"))
}
