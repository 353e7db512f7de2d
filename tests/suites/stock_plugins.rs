//! The stock plugins, as components in the real runtime, against their `cases.toml`: behaviour as data.

mod balancers;
mod filters;

use pointsman::{
    config::model::Plugins,
    net::{Connection, Head},
    plugin::{Artifact, Compiled, Kind, Origin, Runtime, Turn, stock},
    rng::Rng,
};
use pointsman_tests::guests;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// More than any case asks for.
const WORKERS_MAX: usize = 8;
const SEED: u64 = 1;

#[test]
fn behave_as_their_cases_say() {
    let runtime = Runtime::new(&Plugins::default(), WORKERS_MAX, "", None).unwrap();
    let mut wrong = Vec::new();
    for folder in guests::folders() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let bytes = stock::bytes(name).expect("embedded");
        let compiled = runtime.compile(Artifact::new(name, bytes, Origin::Embedded)).unwrap();
        let about: About = read(&folder.join("plugin.toml"));
        assert_eq!((about.name.as_str(), about.kind.as_str()), (name, compiled.kind().as_str()));
        let told = runtime.describe(&compiled).unwrap().expect("it says what it is for");
        assert_eq!(told.summary, about.summary, "{name}");
        let settings: BTreeSet<&str> = told.settings.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(settings, about.settings.keys().map(String::as_str).collect(), "{name}");
        let cases = folder.join("cases.toml");
        match compiled.kind() {
            Kind::Balancer => check(&cases, &mut wrong, |case| balancers::run(&runtime, &compiled, case)),
            Kind::Filter => check(&cases, &mut wrong, |case| filters::run(&runtime, &compiled, case)),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_embedded_is_what_the_folders_hold() {
    let mut folders: Vec<_> =
        guests::folders().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    folders.sort();
    assert_eq!(stock::names(), folders);
}

/// A plugin's `plugin.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    name: String,
    kind: String,
    summary: String,
    #[serde(default)]
    settings: toml::Table,
    #[serde(default, rename = "cost")]
    _cost: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases<C> {
    case: Vec<C>,
}

/// Runs each case; an error is what went otherwise than it says.
fn check<C: DeserializeOwned>(path: &Path, wrong: &mut Vec<String>, run: impl Fn(&C) -> Result<(), String>) {
    let cases: Cases<C> = read(path);
    assert!(!cases.case.is_empty(), "{} has no case", path.display());
    for case in &cases.case {
        if let Err(difference) = run(case) {
            wrong.push(format!("{}: {difference}", path.display()));
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As the host hands settings to a plugin.
fn json(settings: &toml::Table) -> Arc<str> {
    serde_json::to_string(settings).unwrap().into()
}

/// Whether a plugin was refused as a case says.
fn expect_refusal<T>(answer: Result<T, impl std::fmt::Debug>, words: &str) -> Result<(), String> {
    match answer {
        Ok(_) => Err(format!("is taken, where `{words}` was to be said")),
        Err(problem) if format!("{problem:?}").contains(&words.escape_debug().to_string()) => Ok(()),
        Err(problem) => Err(format!("is refused otherwise: {problem:?}")),
    }
}

/// `GET /` over plain HTTP.
fn head() -> Head {
    let client = Ipv4Addr::new(192, 0, 2, 1);
    let peer = SocketAddr::new(IpAddr::V4(client), 4711);
    Head {
        method: http::Method::GET,
        target: http::uri::PathAndQuery::from_static("/"),
        authority: http::HeaderValue::from_static("localhost"),
        headers: pointsman::net::Headers::default(),
        client: client.into(),
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, peer, None)),
    }
}

/// The turns of one case: time passes, chance repeats.
struct Turns {
    now_us: u64,
    rng: Rng,
}

impl Turns {
    fn new() -> Turns {
        Turns { now_us: 0, rng: Rng::new(SEED) }
    }

    fn next(&mut self, attempt: usize) -> Turn {
        self.now_us += 100;
        Turn {
            now_us: self.now_us,
            random: self.rng.bits(),
            key: None,
            attempt: u32::try_from(attempt).unwrap(),
            explain: false,
        }
    }
}

type Admitted = Arc<pointsman::plugin::Generation>;
type Component = Arc<Compiled>;
