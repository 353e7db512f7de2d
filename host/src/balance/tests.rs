//! The ladder from a plugin's choice to the fallback, rung by rung; and what the tests of this room share.

use super::{Assignment, Balancer, How, Pick, Question, Station};
use crate::{
    config::model::{self, Plugins},
    figures::{Figures, Standing},
    plugin::{
        Artifact, Call, Fault, FaultKind, Generation, Kind, Origin, Totals,
        tests::{
            guest::{self, Guest, LOOP},
            head,
        },
    },
    rng::Rng,
    upstream::{Backend, Pool},
};
use std::{net::SocketAddr, sync::Arc, thread, time::Duration};
use tokio::{runtime::Runtime, time::Instant};

/// A pool of ready backends `b0`, `b1`, … with these weights and priorities.
pub(super) fn pool(backends: &[(u32, u32)]) -> Arc<Pool> {
    let backend = |(number, &(weight, priority)): (u16, &(u32, u32))| {
        let address = SocketAddr::from(([127, 0, 0, 1], 9000 + number));
        model::Backend { weight, priority, ..model::Backend::new(format!("b{number}"), address) }
    };
    let config = model::Pool::new("test", (0..).zip(backends).map(backend).collect());
    let pool = Pool::new(&config, &Figures::default()).unwrap();
    for backend in &pool.backends {
        pool.stands(backend, Standing::Ready, "said the test");
    }
    pool
}

/// The first worker's.
pub(super) fn station() -> Station {
    Station { worker: 0, epoch: Instant::now(), bell: Arc::default() }
}

/// Long after everything that may happen has happened.
const PATIENCE: Duration = Duration::from_secs(20);
/// Chooses the last of those that its latest update listed as ready, after the first update of its life; after the second
/// the last but one, and so on.
const CHOOSE_FROM_THE_END: &str = "(call $choose (i32.sub (i32.load (i32.const 600)) (global.get $calls)))";
const COUNT_UPDATES: &str = "(i32.store (i32.const 600) (local.get $ready))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))";

/// One worker's balancer of a pool.
struct Stage {
    pool: Arc<Pool>,
    generation: Arc<Generation>,
    balancer: Balancer,
    rng: Rng,
    _side: Runtime,
}

impl Stage {
    fn new(guest: &Guest, pool: Arc<Pool>) -> Stage {
        let side = Runtime::new().unwrap();
        let plugins = crate::plugin::Runtime::new(&Plugins::default(), 1, "", None).unwrap();
        let compiled = plugins.compile(Artifact::new("ours", guest.bytes(), Origin::Embedded)).unwrap();
        let generation = plugins.admit(&compiled, Kind::Balancer, &[]).unwrap();
        let how = How { settings: "{}".into(), workers: 1, side: side.handle().clone() };
        let assignment = Assignment::new(pool.clone(), generation.clone(), None, None, &how).unwrap();
        let balancer = Balancer::new(assignment, &station());
        Stage { pool, generation, balancer, rng: Rng::new(1), _side: side }
    }

    /// The index of the backend that gets a request which has tried some; none: nobody.
    fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        let tried: Vec<Arc<Backend>> = tried.iter().map(|&index| self.pool.backends[index].clone()).collect();
        let attempt = u32::try_from(tried.len()).unwrap();
        let (mut head, now) = (head(), Instant::now());
        let question = Question { head: &mut head, now, rng: &mut self.rng, attempt, tried: &tried };
        match self.balancer.pick(question) {
            Pick::Backend(choice) => Some(choice.backend.index),
            Pick::Nobody | Pick::Full => None,
            Pick::Reject(status, _) => panic!("rejected with {status}"),
        }
    }

    /// Picks until it is this one, and never that one.
    fn picks_until(&mut self, wanted: usize, never: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let picked = self.pick(&[]);
            assert_ne!(picked, Some(never));
            if picked == Some(wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{picked:?} is picked still");
            thread::yield_now();
        }
    }

    fn stands(&self, index: usize, standing: Standing) {
        self.pool.stands(&self.pool.backends[index], standing, "said the test");
    }

    fn totals(&self) -> Totals {
        self.generation.costs().totals()
    }

    fn faults(&self) -> u64 {
        self.totals().all_faults()
    }
}

#[test]
fn a_plugin_is_never_asked_to_pick_among_nobody() {
    let mut stage = Stage::new(&guest::balancer(), pool(&[(1, 0), (1, 0)]));
    assert_eq!(stage.pick(&[]), Some(0));
    for index in [0, 1] {
        stage.stands(index, Standing::Unhealthy);
    }
    assert_eq!(stage.pick(&[]), None);
    assert_eq!((stage.totals().calls, stage.totals().fallbacks, stage.faults()), (1, 1, 0));
    stage.stands(1, Standing::Ready);
    assert_eq!(stage.pick(&[]), Some(1), "the same instance picks again");
    assert_eq!((stage.totals().calls, stage.faults()), (2, 0));
}

#[test]
fn a_choice_that_was_tried_is_asked_for_once_more_and_then_the_next_usable_one_serves() {
    let last = guest::balancer().pick("(call $choose (i32.const 2))");
    let mut stage = Stage::new(&last, pool(&[(0, 0), (1, 0), (1, 0)]));
    assert_eq!(stage.pick(&[]), Some(2));
    assert_eq!(stage.totals().calls, 1);
    assert_eq!(stage.pick(&[2]), Some(1), "round the corner, past the one without weight");
    assert_eq!(stage.totals().calls, 3);
    assert_eq!(stage.pick(&[2, 1]), None);
    assert_eq!((stage.totals().fallbacks, stage.faults()), (1, 0));
}

#[test]
fn a_second_answer_that_can_be_used_is_used() {
    let guest = guest::balancer().pick(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $choose (i32.sub (global.get $calls) (i32.const 1)))",
    );
    let mut stage = Stage::new(&guest, pool(&[(1, 0), (1, 0), (1, 0)]));
    assert_eq!(stage.pick(&[0]), Some(1));
    assert_eq!((stage.totals().calls, stage.faults()), (2, 0));
}

#[test]
fn a_backend_that_drains_may_be_chosen_and_one_that_is_ill_may_not() {
    let last = guest::balancer().pick("(call $choose (i32.const 1))");
    let mut stage = Stage::new(&last, pool(&[(1, 0), (1, 0)]));
    stage.stands(1, Standing::Draining);
    assert_eq!((stage.pick(&[]), stage.faults()), (Some(1), 0));
    stage.stands(1, Standing::Unhealthy);
    assert_eq!((stage.pick(&[]), stage.totals().faults_of(FaultKind::Answer)), (Some(0), 1));
}

#[test]
fn after_a_fault_the_fallback_serves_until_a_successor_is_built() {
    let trap_once = "(if (i64.eqz (call $add (call $counter (i32.const 400) (i32.const 6)) (i64.const 1)))
        (then unreachable)) (call $choose (i32.const 2))";
    let mut stage = Stage::new(&guest::balancer().pick(trap_once), pool(&[(1, 0), (1, 0), (0, 0)]));
    assert_eq!(stage.pick(&[]), Some(0));
    assert_eq!((stage.totals().fallbacks, stage.faults()), (1, 1));
    stage.picks_until(2, usize::MAX);
    assert_eq!(stage.faults(), 1);
}

#[test]
fn a_quick_update_runs_between_two_picks() {
    let guest = guest::balancer().update(COUNT_UPDATES).pick(CHOOSE_FROM_THE_END);
    let mut stage = Stage::new(&guest, pool(&[(1, 0); 4]));
    assert_eq!(stage.pick(&[]), Some(3));
    stage.stands(3, Standing::Unhealthy);
    assert_eq!(stage.pick(&[]), Some(1));
}

#[test]
fn a_slow_update_has_a_successor_built_aside() {
    let slow = format!(
        "{COUNT_UPDATES} (local.set $ready (i32.const 10000000))
        (loop $again
            (local.set $ready (i32.sub (local.get $ready) (i32.const 1)))
            (br_if $again (local.get $ready)))"
    );
    let mut stage = Stage::new(&guest::balancer().update(&slow).pick(CHOOSE_FROM_THE_END), pool(&[(1, 0); 4]));
    assert_eq!(stage.pick(&[]), Some(3));
    stage.stands(3, Standing::Unhealthy);
    assert_eq!(stage.pick(&[]), Some(0), "the old one goes on, and what it chooses is checked");
    stage.picks_until(2, 1);
    assert_eq!(stage.faults(), 0);
}

#[test]
fn an_update_of_many_more_has_a_successor_built_aside() {
    let guest = guest::balancer().update(COUNT_UPDATES).pick(CHOOSE_FROM_THE_END);
    let pool = pool(&[(1, 0); 40]);
    for backend in &pool.backends[2..] {
        pool.stands(backend, Standing::Unhealthy, "said the test");
    }
    let mut stage = Stage::new(&guest, pool);
    assert_eq!(stage.pick(&[]), Some(1));
    for index in 2..40 {
        stage.stands(index, Standing::Ready);
    }
    stage.picks_until(39, 38);
}

#[test]
fn a_looping_update_costs_a_worker_no_more_than_a_looping_pick() {
    let second = format!("(if (call $nth (i32.const 2)) (then {LOOP}))");
    let mut stage = Stage::new(&guest::balancer().update(&second), pool(&[(1, 0), (1, 0)]));
    assert_eq!(stage.pick(&[]), Some(0));
    stage.stands(1, Standing::Unhealthy);
    assert_eq!(stage.pick(&[]), Some(0));
    assert_eq!((stage.totals().faults_of(FaultKind::Deadline), stage.totals().fallbacks), (1, 1));
    let told = stage.generation.last_fault().unwrap();
    assert!(told.headline.contains(" in update ") && told.notes[0].contains("`plugins.deadline`"), "{told:?}");
}

#[test]
fn a_quarantined_plugin_is_called_no_more() {
    let guest = guest::balancer().update("(call $println)").tick("(call $println)");
    let mut stage = Stage::new(&guest, pool(&[(1, 0), (1, 0)]));
    assert_eq!(stage.pick(&[]), Some(0));
    let now = Instant::now();
    let due = stage.balancer.tick(now).expect("it ticks");
    stage.balancer.tick(due);
    let lines = stage.generation.log().lines().len();
    assert_eq!(lines, 2, "one update, one tick");
    for _ in 0..5 {
        stage.generation.record(&Fault::new(FaultKind::Trap, Call::Pick, "said the test"));
    }
    assert!(stage.generation.is_quarantined());
    stage.stands(1, Standing::Unhealthy);
    assert_eq!(stage.balancer.tick(due + Duration::from_secs(1)), None);
    assert_eq!(stage.pick(&[]), Some(0));
    assert_eq!(stage.generation.log().lines().len(), lines);
    assert_eq!((stage.totals().calls, stage.totals().fallbacks), (1, 1));
}
