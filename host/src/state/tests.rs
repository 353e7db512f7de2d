//! News of plugin files, and what comes of them on the board and in the cell.

use super::{Applier, Entry, Plan, State};
use crate::{
    config::{self, model::Plugins},
    figures::Figures,
    plugin::{Artifact, Hash, Origin, loader::News, tests::guest},
    problem::{Code, Problem},
};
use std::{path::Path, sync::Arc};
use tokio::runtime::Runtime;

/// One pool, whose balancer is called `mine`.
const CONFIGURATION: &str = r#"
    [[listen]]
    address = "127.0.0.1:0"
    [pool.cart]
    backends = ["127.0.0.1:1"]
    balancer = "mine"
    [[route]]
    pool = "cart"
"#;

struct Stage {
    applier: Applier,
    plugins: Arc<crate::plugin::Runtime>,
    /// Keeps the side runtime alive.
    _side: Runtime,
}

impl Stage {
    fn new() -> Stage {
        let side = Runtime::new().unwrap();
        let config = config::parse(CONFIGURATION, Path::new("pointsman.toml")).unwrap();
        let plan = Arc::new(Plan::new(&config, &Figures::default()));
        let plugins = crate::plugin::Runtime::new(&Plugins::default(), 1, "", None).unwrap();
        let applier = Applier::new(plugins.clone(), plan, side.handle().clone(), 1);
        Stage { applier, plugins, _side: side }
    }

    fn compiled(&mut self, name: &str, bytes: Vec<u8>) {
        let artifact = Artifact::new(name, bytes, Origin::File(format!("plugins/{name}.wasm").into()));
        let compiled = self.plugins.compile(artifact).unwrap();
        self.applier.apply(News::Compiled(compiled));
    }

    fn refused(&mut self, name: &str) {
        let problem = Problem::error(Code::NOT_A_COMPONENT, "noise");
        let (path, hash) = (format!("plugins/{name}.wasm").into(), Some(Hash::of(b"noise")));
        self.applier.apply(News::Refused { name: name.into(), path, hash, problem });
    }

    fn removed(&mut self, name: &str) {
        self.applier.apply(News::Removed { name: name.into(), path: format!("plugins/{name}.wasm").into() });
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        self.applier.board().entry(name)
    }

    /// State, generation and code of what is amiss with `mine`.
    fn mine(&self) -> (State, Option<u64>, Option<Code>) {
        let entry = self.entry("mine").unwrap();
        let number = entry.generation.as_ref().map(|(generation, _)| generation.number());
        (entry.state(), number, entry.problem.as_ref().map(|(_, problem)| problem.code))
    }

    fn revision(&self) -> u64 {
        self.applier.cell().load().revision
    }
}

fn one() -> Vec<u8> {
    guest::balancer().bytes()
}

fn another() -> Vec<u8> {
    guest::balancer().update("(nop)").bytes()
}

#[test]
fn other_bytes_are_a_new_generation() {
    let mut stage = Stage::new();
    stage.compiled("mine", one());
    assert_eq!(stage.mine(), (State::Serving, Some(1), None));
    let before = stage.revision();
    stage.compiled("mine", another());
    assert_eq!(stage.mine(), (State::Serving, Some(2), None));
    assert_eq!(stage.revision(), before + 1);
}

#[test]
fn a_file_that_comes_back_as_it_was_is_no_new_generation() {
    let mut stage = Stage::new();
    stage.compiled("mine", one());
    let before = stage.revision();
    for spoil in [Stage::removed, Stage::refused] {
        spoil(&mut stage, "mine");
        assert!(stage.mine().2.is_some(), "what is amiss is told");
        stage.compiled("mine", one());
        assert_eq!(stage.mine(), (State::Serving, Some(1), None));
    }
    assert_eq!(stage.revision(), before);
}

#[test]
fn a_removed_file_leaves_a_mark_only_where_its_name_matters() {
    let mut stage = Stage::new();
    for name in ["mine", "stranger"] {
        stage.refused(name);
        stage.removed(name);
    }
    assert_eq!(stage.mine(), (State::Refused, None, Some(Code::PLUGIN_REMOVED)));
    assert!(stage.entry("stranger").is_none());
}
