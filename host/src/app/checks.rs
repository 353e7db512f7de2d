//! The health checks of all pools, and the probes that balancers ask for there, as long as the pools are in force.

use crate::{
    drain::Drain,
    upstream::{Pool, health},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle};

/// How long a start, or a change, waits for the first check of the backends that it brings; who is later is offered later.
pub(super) const FIRST_ROUND_MOST: Duration = Duration::from_secs(1);

/// Checks that go on until the process drains. What is kept here is no live work itself: it outlives the drain.
#[derive(Debug)]
pub(super) struct Checks {
    side: Handle,
    drain: Arc<Drain>,
    /// What each of them may check at the same time.
    share: usize,
    /// For the probes of all of them.
    connections: Arc<Semaphore>,
    /// By the pool's name.
    running: HashMap<Arc<str>, Running>,
}

#[derive(Debug)]
struct Running {
    pool: Arc<Pool>,
    turns: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Checks {
    /// None yet.
    pub(super) fn new(side: Handle, drain: Arc<Drain>) -> Checks {
        Checks { side, drain, share: 0, connections: health::probe_connections(), running: HashMap::new() }
    }

    /// Checks once who never was, so that who is ready is known before it is offered. Blocking; a drain ends it, for it may
    /// not outlive the runtime.
    pub(super) fn first_round(&self, pools: &[Arc<Pool>]) {
        let mut live = self.drain.enter();
        self.side.block_on(async {
            tokio::select! {
                () = health::first_round(pools, FIRST_ROUND_MOST) => {}
                () = live.draining() => {}
            }
        });
    }

    /// Checks these pools and no others. What is checked already goes on undisturbed.
    pub(super) fn follow(&mut self, pools: &[Arc<Pool>]) {
        let old_share = std::mem::replace(&mut self.share, health::share(pools.len()));
        let mut before = std::mem::take(&mut self.running);
        for pool in pools {
            let running = match before.remove(&pool.name) {
                Some(same) if Arc::ptr_eq(&same.pool, pool) => {
                    self.resize(&same.turns, old_share);
                    same
                }
                other => {
                    if let Some(other) = other {
                        other.task.abort();
                    }
                    let turns = Arc::new(Semaphore::new(self.share));
                    let (connections, live) = (self.connections.clone(), self.drain.enter());
                    let task = self.side.spawn(health::run(pool.clone(), turns.clone(), connections, live));
                    Running { pool: pool.clone(), turns, task }
                }
            };
            self.running.insert(pool.name.clone(), running);
        }
        before.into_values().for_each(|running| running.task.abort());
    }

    /// Gives a pool that stays the share that it has now.
    fn resize(&self, turns: &Arc<Semaphore>, before: usize) {
        turns.add_permits(self.share.saturating_sub(before));
        let too_many = u32::try_from(before.saturating_sub(self.share)).unwrap_or(u32::MAX);
        if too_many > 0 {
            let turns = turns.clone();
            // They are taken away when the checks that have them end.
            self.side.spawn(async move {
                if let Ok(taken) = turns.acquire_many_owned(too_many).await {
                    taken.forget();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::model, figures::Figures};
    use tokio::time::Instant;

    #[test]
    fn pools_that_stay_have_the_share_of_how_many_there_are() {
        let side = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let figures = Figures::new(1);
        // Without backends, nobody takes a turn.
        let pools: Vec<_> = (0..200)
            .map(|n| Pool::new(&model::Pool::new(format!("pool {n:03}"), Vec::new()), &figures).unwrap())
            .collect();
        let mut checks = Checks::new(side.handle().clone(), Arc::new(Drain::new().0));
        for count in [1, 200, 2, 7, 200, 1] {
            checks.follow(&pools[..count]);
            let of_first = checks.running[&pools[0].name].turns.clone();
            let give_up = Instant::now() + Duration::from_secs(10);
            while of_first.available_permits() != health::share(count) {
                assert!(Instant::now() < give_up, "{} of {count}", of_first.available_permits());
                std::thread::yield_now();
            }
        }
    }
}
