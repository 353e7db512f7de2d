//! Which generation balances which pool: the part of a snapshot that this room reads.

use super::roster::{Roster, draw_up};
use crate::{
    plugin::{BalancerInstance, Fault, Generation, InstanceSet},
    upstream::Pool,
};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A pool and the instances that choose for it.
#[derive(Debug)]
pub struct Assignment {
    /// Whose backends are chosen.
    pub pool: Arc<Pool>,
    /// None: no plugin of that name could be admitted, the fallback serves.
    pub(super) instances: Option<Arc<InstanceSet<Prepared>>>,
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
        Arc::new(Assignment { pool, instances: None })
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
        let build = {
            let (pool, generation) = (pool.clone(), generation.clone());
            move |worker| {
                let (roster, membership) = draw_up(&pool);
                let instance = generation.balancer(&pool.name, worker, &settings, membership)?;
                Ok(Prepared { instance, roster })
            }
        };
        let instances = Some(InstanceSet::fill(generation, workers, side, build)?);
        Ok(Arc::new(Assignment { pool, instances }))
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
