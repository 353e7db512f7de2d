//! Which generation balances which pool: the part of a snapshot that this room reads.

use super::roster::{Roster, draw_up};
use crate::{
    plugin::{BalancerInstance, Fault, Generation, InstanceSet, Serving},
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
    pub(super) serving: Option<Arc<Serving<Prepared>>>,
    /// The pool that those will be told of that are built from now on; shared by all assignments that have these instances.
    builds_for: Arc<Mutex<Arc<Pool>>>,
}

/// An instance, and what its positions mean.
#[derive(Debug)]
pub(super) struct Prepared {
    pub instance: BalancerInstance,
    pub roster: Roster,
    pub heritage: Heritage,
}

/// What an instance knows when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heritage {
    /// Nothing, and it was not asked to take over any state.
    Unasked,
    /// What its predecessor knew.
    Taken,
    /// Nothing, for it did not take its predecessor's state.
    Refused,
    /// What it knew when it served last.
    Own,
}

/// What instances are built with.
#[derive(Debug)]
pub struct How {
    /// One JSON object.
    pub settings: Arc<str>,
    /// One instance for each.
    pub workers: usize,
    /// Where those are built that a fault makes necessary.
    pub side: Handle,
}

impl How {
    fn fill(
        &self,
        generation: Arc<Generation>,
        builds_for: &Arc<Mutex<Arc<Pool>>>,
    ) -> Result<Arc<InstanceSet<Prepared>>, Fault> {
        let build = {
            let (builds_for, generation, settings) = (builds_for.clone(), generation.clone(), self.settings.clone());
            move |worker| {
                let pool = current(&builds_for);
                let (roster, membership) = draw_up(&pool);
                let instance = generation.balancer(&pool.name, worker, &settings, membership)?;
                Ok(Prepared { instance, roster, heritage: Heritage::Unasked })
            }
        };
        InstanceSet::fill(generation, self.workers, self.side.clone(), build)
    }
}

impl Assignment {
    /// No plugin: the fallback serves.
    pub fn bare(pool: Arc<Pool>) -> Arc<Assignment> {
        Arc::new(Assignment { builds_for: Arc::new(Mutex::new(pool.clone())), pool, serving: None })
    }

    /// Has a generation choose; `reserve`, when it can be built, takes over should that be quarantined. Instances that
    /// `before`, an assignment of the same pool and settings, has of either are kept; others are built, for all workers.
    /// Blocking.
    ///
    /// # Errors
    /// The first fault of any instance.
    pub fn new(
        pool: Arc<Pool>,
        generation: Arc<Generation>,
        reserve: Option<Arc<Generation>>,
        before: Option<&Assignment>,
        how: &How,
    ) -> Result<Arc<Assignment>, Fault> {
        let builds_for = before.map_or_else(|| Arc::new(Mutex::new(pool.clone())), |b| b.builds_for.clone());
        let before = before.and_then(|before| before.serving.as_deref());
        let serving = Serving::new(generation, reserve, before, |generation| how.fill(generation, &builds_for))?;
        Ok(Arc::new(Assignment { pool, serving: Some(Arc::new(serving)), builds_for }))
    }

    /// The same instances for a successor of the pool; they are told of it before their next pick. From now on others are
    /// built for it too, so this is for an assignment that is about to be published.
    pub fn with(&self, pool: Arc<Pool>) -> Arc<Assignment> {
        *self.builds_for.lock().unwrap_or_else(PoisonError::into_inner) = pool.clone();
        Arc::new(Assignment { pool, serving: self.serving.clone(), builds_for: self.builds_for.clone() })
    }

    /// The instances that choose now; none: the fallback does.
    pub(super) fn current(&self) -> Option<&Arc<InstanceSet<Prepared>>> {
        self.serving.as_ref()?.current()
    }

    /// Whether the same instances choose in the other one.
    pub fn shares_instances(&self, other: &Assignment) -> bool {
        self.serving.as_ref().zip(other.serving.as_ref()).is_some_and(|(a, b)| a.goes_on_in(b))
    }

    /// The generation that chooses, or chose last, unless there is none.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.serving.as_ref().map(|serving| serving.generation())
    }

    /// Who the pool's members are now, as a plugin would be told: for dry picks.
    pub fn membership(pool: &Pool) -> crate::plugin::Membership {
        draw_up(pool).1
    }
}

fn current(pool: &Mutex<Arc<Pool>>) -> Arc<Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
