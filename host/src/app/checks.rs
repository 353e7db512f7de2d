//! The health checks of all pools, as many as there are pools in force.

use crate::{
    drain::Drain,
    upstream::{Pool, health},
};
use std::{collections::HashMap, sync::Arc};
use tokio::{runtime::Handle, task::JoinHandle};

/// Checks that go on until the process drains. What is kept here is no live work itself: it outlives the drain.
#[derive(Debug)]
pub(super) struct Checks {
    side: Handle,
    drain: Arc<Drain>,
    /// By the pool's name.
    running: HashMap<Arc<str>, (Arc<Pool>, JoinHandle<()>)>,
}

impl Checks {
    /// None yet.
    pub(super) fn new(side: Handle, drain: Arc<Drain>) -> Checks {
        Checks { side, drain, running: HashMap::new() }
    }

    /// Checks these pools and no others. What is checked already goes on undisturbed.
    pub(super) fn follow(&mut self, pools: &[Arc<Pool>]) {
        let share = health::share(pools.len());
        let mut before = std::mem::take(&mut self.running);
        for pool in pools {
            let running = match before.remove(&pool.name) {
                Some((same, task)) if Arc::ptr_eq(&same, pool) => task,
                other => {
                    if let Some((_, task)) = other {
                        task.abort();
                    }
                    self.side.spawn(health::run(pool.clone(), share, self.drain.enter()))
                }
            };
            self.running.insert(pool.name.clone(), (pool.clone(), running));
        }
        before.into_values().for_each(|(_, task)| task.abort());
    }
}
