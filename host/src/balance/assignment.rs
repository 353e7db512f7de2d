//! Which generation balances which pool: the part of a snapshot that this room reads.

use super::roster::{Roster, draw_up};
use crate::{
    plugin::{BalancerInstance, Fault, Generation, InstanceSet},
    upstream::Pool,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// A pool and the instances that choose for it.
#[derive(Debug)]
pub struct Assignment {
    /// Whose backends are chosen.
    pub pool: Arc<Pool>,
    /// None: no plugin of that name could be admitted, the fallback serves.
    pub(super) instances: Option<Arc<InstanceSet<Prepared>>>,
    /// The pool that those will be told of that are built from now on; shared by all assignments that have these instances.
    builds_for: Arc<Mutex<Arc<Pool>>>,
}

/// An instance, and what its positions mean.
#[derive(Debug)]
pub(super) struct Prepared {
    pub instance: BalancerInstance,
    pub roster: Roster,
}

impl Assignment {
    /// No plugin: the fallback serves.
    pub fn bare(pool: Arc<Pool>) -> Arc<Assignment> {
        Arc::new(Assignment { builds_for: Arc::new(Mutex::new(pool.clone())), pool, instances: None })
    }

    /// Builds the instances of all workers. Blocking.
    ///
    /// # Errors
    /// The first fault of any of them.
    pub fn new(
        pool: Arc<Pool>,
        generation: Arc<Generation>,
        settings: Arc<str>,
        workers: usize,
        side: Handle,
    ) -> Result<Arc<Assignment>, Fault> {
        let builds_for = Arc::new(Mutex::new(pool.clone()));
        let build = {
            let (builds_for, generation) = (builds_for.clone(), generation.clone());
            move |worker| {
                let pool = current(&builds_for);
                let (roster, membership) = draw_up(&pool);
                let instance = generation.balancer(&pool.name, worker, &settings, membership)?;
                Ok(Prepared { instance, roster })
            }
        };
        let instances = Some(InstanceSet::fill(generation, workers, side, build)?);
        Ok(Arc::new(Assignment { pool, instances, builds_for }))
    }

    /// The same instances for a successor of the pool; they are told of it before their next pick. From now on others are
    /// built for it too, so this is for an assignment that is about to be published.
    pub fn with(&self, pool: Arc<Pool>) -> Arc<Assignment> {
        *self.builds_for.lock().unwrap_or_else(PoisonError::into_inner) = pool.clone();
        Arc::new(Assignment { pool, instances: self.instances.clone(), builds_for: self.builds_for.clone() })
    }

    /// Whether the other one has these instances too.
    pub fn shares_instances(&self, other: &Assignment) -> bool {
        self.instances.as_ref().zip(other.instances.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The generation that chooses, unless there is none.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.instances.as_ref().map(|i| i.generation())
    }

    /// Who the pool's members are now, as a plugin would be told: for dry picks.
    pub fn membership(pool: &Pool) -> crate::plugin::Membership {
        draw_up(pool).1
    }
}

fn current(pool: &Mutex<Arc<Pool>>) -> Arc<Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
