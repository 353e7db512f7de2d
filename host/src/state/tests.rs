//! News of plugin files, and what comes of them on the board and in the cell.

use super::{Applier, Entry, Plan, State};
use crate::{
    balance::Assignment,
    config::{
        self,
        model::{BalancerChoice, Plugins},
    },
    figures::{Figures, Standing},
    plugin::{Artifact, Call, Fault, FaultKind, Hash, Origin, loader::News, tests::guest},
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
    figures: Figures,
    /// Keeps the side runtime alive.
    _side: Runtime,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(BalancerChoice::Named("mine".into()))
    }

    /// Whichever balancer was admitted last serves; until then the embedded one.
    fn newest() -> Stage {
        Stage::with(BalancerChoice::Newest { until_then: "round-robin".into() })
    }

    fn with(balancer: BalancerChoice) -> Stage {
        let side = Runtime::new().unwrap();
        let mut config = config::parse(CONFIGURATION, Path::new("pointsman.toml")).unwrap();
        config.pools[0].balancer = balancer;
        let figures = Figures::default();
        let plan = Arc::new(Plan::new(&config, &[(0, Arc::default())], &figures).unwrap());
        let plugins = crate::plugin::Runtime::new(&Plugins::default(), 1, "", None).unwrap();
        let applier = Applier::new(plugins.clone(), plan, side.handle().clone(), 1);
        Stage { applier, plugins, figures, _side: side }
    }

    /// A reload with this configuration; what refused it.
    fn reload(&mut self, configuration: &str) -> Vec<Code> {
        let config = config::parse(configuration, Path::new("pointsman.toml")).unwrap();
        let plan = self.applier.plan().successor(&config, &[(0, Arc::default())], &self.figures).unwrap();
        match self.applier.stage(plan) {
            Ok(staged) => {
                self.applier.publish(staged);
                Vec::new()
            }
            Err(problems) => problems.iter().map(|problem| problem.code).collect(),
        }
    }

    fn pool(&self, name: &str) -> Arc<Assignment> {
        let snapshot = self.applier.cell().load();
        snapshot.pools.iter().find(|assignment| *assignment.pool.name == *name).unwrap().clone()
    }

    fn file(&self, name: &str, bytes: Vec<u8>) -> News {
        let artifact = Artifact::new(name, bytes, Origin::File(format!("plugins/{name}.wasm").into()));
        News::Compiled(self.plugins.compile(artifact).unwrap())
    }

    fn compiled(&mut self, name: &str, bytes: Vec<u8>) {
        let news = self.file(name, bytes);
        self.applier.apply(news);
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

    fn state(&self, name: &str) -> Option<State> {
        self.entry(name).map(|entry| entry.state())
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

#[test]
fn a_removed_plugin_that_nothing_uses_is_let_go() {
    let mut stage = Stage::new();
    stage.compiled("stranger", one());
    let generation = Arc::downgrade(&stage.entry("stranger").unwrap().generation.unwrap().0);
    assert_eq!(stage.state("stranger"), Some(State::Unused));
    stage.removed("stranger");
    assert!(stage.entry("stranger").is_none() && generation.upgrade().is_none());
}

#[test]
fn a_removed_plugin_that_serves_is_let_go_when_another_takes_its_place() {
    let mut stage = Stage::newest();
    stage.compiled("first", one());
    stage.removed("first");
    let first = stage.entry("first").unwrap();
    assert_eq!(first.state(), State::Serving);
    assert!(first.problem.unwrap().1.headline.ends_with(" still serves"));
    stage.compiled("second", another());
    assert_eq!((stage.state("first"), stage.state("second")), (None, Some(State::Serving)));
    stage.compiled("third", one());
    assert_eq!((stage.state("second"), stage.state("third")), (Some(State::Unused), Some(State::Serving)));
    stage.removed("second");
    assert_eq!(stage.state("second"), None);
}

#[test]
fn what_is_in_quarantine_is_not_said_to_serve() {
    let mut stage = Stage::new();
    stage.compiled("mine", one());
    let serving = |stage: &Stage| stage.entry("mine").unwrap().problem.unwrap().1.serving;
    stage.refused("mine");
    assert!(serving(&stage).unwrap().starts_with("still serving "));
    let (generation, _) = stage.entry("mine").unwrap().generation.unwrap();
    for _ in 0..5 {
        generation.record(&Fault::new(FaultKind::Trap, Call::Pick, "said the test"));
    }
    stage.refused("mine");
    assert_eq!(serving(&stage), None);
    stage.removed("mine");
    assert_eq!(stage.entry("mine").unwrap().problem.unwrap().1.headline, "plugins/mine.wasm was removed");
}

#[test]
fn an_embedded_plugin_displaces_no_file() {
    let mut stage = Stage::newest();
    let refused = stage.file("round-robin", guest::balancer().pick("unreachable").bytes());
    let news = vec![stage.file("mine", one()), refused];
    stage.applier.begin(news);
    assert_eq!((stage.state("mine"), stage.state("round-robin")), (Some(State::Serving), Some(State::Unused)));
    let mut alone = Stage::newest();
    alone.applier.begin(Vec::new());
    assert_eq!(alone.state("round-robin"), Some(State::Serving));
}

#[test]
fn a_pool_that_stays_as_it_is_stays_the_same_wherever_it_stands_now() {
    let mut stage = Stage::new();
    stage.compiled("mine", one());
    let (before, revision) = (stage.pool("cart"), stage.revision());
    let moved = format!("# a line more\n[pool.a]\nbackends = [\"127.0.0.1:2\"]\n{CONFIGURATION}");
    assert_eq!(stage.reload(&moved), []);
    assert!(Arc::ptr_eq(&before, &stage.pool("cart")));
    assert_eq!(stage.revision(), revision + 1);
    assert_eq!((stage.state("mine"), stage.state("round-robin")), (Some(State::Serving), Some(State::Serving)));
    assert_eq!(stage.reload(CONFIGURATION), []);
    assert!(Arc::ptr_eq(&before, &stage.pool("cart")));
    assert_eq!(stage.state("round-robin"), None, "nothing uses it any more");
}

#[test]
fn other_backends_are_the_same_instances_and_who_stays_stays_as_he_stood() {
    let mut stage = Stage::new();
    stage.compiled("mine", one());
    let before = stage.pool("cart");
    before.pool.stands(&before.pool.backends[0], Standing::Ready, "said the test");
    assert_eq!(stage.reload(&CONFIGURATION.replace("127.0.0.1:1", "127.0.0.1:2\", \"127.0.0.1:1")), []);
    let after = stage.pool("cart");
    assert!(before.shares_instances(&after) && !Arc::ptr_eq(&before.pool, &after.pool));
    let standings: Vec<_> = after.pool.backends.iter().map(|backend| backend.standing()).collect();
    assert_eq!(standings, [Standing::Warming, Standing::Ready]);
    assert!(Arc::ptr_eq(&before.pool.backends[0].figures, &after.pool.backends[1].figures));
    assert!(after.pool.version() > before.pool.version());
    // At another address nothing is known of it.
    let named = CONFIGURATION.replace("\"127.0.0.1:1\"", "{ address = \"127.0.0.1:3\", name = \"127.0.0.1:1\" }");
    assert_eq!(stage.reload(&named), []);
    assert_eq!(stage.pool("cart").pool.backends[0].standing(), Standing::Warming);
}

#[test]
fn other_settings_are_tried_and_a_refusal_changes_nothing() {
    let mut stage = Stage::new();
    let picky = guest::balancer().pick("unreachable").bytes();
    stage.compiled("mine", one());
    stage.compiled("picky", picky);
    let (before, revision) = (stage.pool("cart"), stage.revision());
    for (named, code) in
        [("picky", Code::LOAD_FAULT), ("nobody", Code::NO_SUCH_PLUGIN), ("require-token", Code::NOT_OFFERED)]
    {
        let refused = CONFIGURATION.replace("mine", named);
        assert_eq!(stage.reload(&refused), [code], "{named}");
    }
    assert!(Arc::ptr_eq(&before, &stage.pool("cart")) && stage.revision() == revision);
    assert_eq!(stage.state("require-token"), None);
    assert_eq!(stage.reload(&CONFIGURATION.replace("\"mine\"", "\"mine\"\nsettings = { a = 1 }")), []);
    let after = stage.pool("cart");
    assert!(!before.shares_instances(&after), "its instances are others");
    assert!(Arc::ptr_eq(before.generation().unwrap(), after.generation().unwrap()), "of the same generation");
}
