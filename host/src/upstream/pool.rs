//! A named group of backends, with a number that grows whenever a backend's standing changes.

use super::{Backend, budget::Budget};
use crate::{
    config::model,
    figures::{Figures, PoolFigures, Standing},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;

/// A named group of backends; shared by all workers.
#[derive(Debug)]
pub struct Pool {
    /// As configured.
    pub name: Arc<str>,
    /// In the order of the configuration.
    pub backends: Vec<Arc<Backend>>,
    /// What `turn.key` hashes.
    pub hash: Option<model::HashKey>,
    /// How backends are checked.
    pub health: model::Health,
    /// Limits of one request.
    pub timeout: model::PoolTimeout,
    /// Who chooses while the plugin cannot.
    pub fallback: model::Fallback,
    /// What is sent once more.
    pub retry: model::Retry,
    /// What is counted; it outlives this record.
    pub figures: Arc<PoolFigures>,
    budget: Budget,
    version: AtomicU64,
}

impl Pool {
    /// All backends warming; health checks or [`Pool::stands`] make them ready.
    pub fn new(config: &model::Pool, figures: &Figures) -> Arc<Pool> {
        let backends = config.backends.iter().enumerate();
        let backends: Vec<_> =
            backends.map(|(index, b)| Arc::new(Backend::new(&config.name, index, b, figures))).collect();
        Arc::new(Pool {
            budget: Budget::new(config.retry.budget, attempts(&backends), Instant::now()),
            retry: config.retry,
            name: config.name.as_str().into(),
            backends,
            hash: config.hash.clone(),
            health: config.health.clone(),
            timeout: config.timeout,
            fallback: config.fallback,
            figures: figures.pool(&config.name),
            version: AtomicU64::new(1),
        })
    }

    /// Grows with each change of who may be chosen. Read it before the standings: then a change in between is seen next time.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether the budget has a retry left, which is then paid for.
    pub fn pays_for_retry(&self, now: Instant) -> bool {
        self.budget.pay(attempts(&self.backends), now)
    }

    /// Sets a backend's standing and says why; true when it changed.
    pub fn stands(&self, backend: &Backend, standing: Standing, why: impl Into<String>) -> bool {
        let changed = backend.stands(standing, why.into());
        if changed {
            self.version.fetch_add(1, Ordering::Release);
        }
        changed
    }
}

/// All that were ever begun.
fn attempts(backends: &[Arc<Backend>]) -> u64 {
    backends.iter().map(|backend| backend.figures.attempts()).sum()
}
