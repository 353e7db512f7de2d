//! Which generation balances which pool: the part of a snapshot that this room reads.

use super::roster::{Part, Roster, draw_up};
use crate::{
    plugin::{BalancerInstance, Fault, Generation, InstanceSet, Serving},
    upstream::Pool,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// A pool, the instances that choose for it, and who stands behind them: one link of a chain with the links that follow.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Whose backends are chosen.
    pub pool: Arc<Pool>,
    /// None: no plugin of that name could be admitted.
    pub(super) serving: Option<Arc<Serving<Prepared>>>,
    /// Whom those will be told of that are built from now on; shared by all assignments that have these instances.
    builds_for: Arc<Mutex<Whom>>,
    /// What its instances are built with; none where there is none.
    how: Option<How>,
    /// Who is asked when this link has no opinion, or chooses inside of what it narrows to.
    pub(super) next: Option<Arc<Assignment>>,
}

/// Whom a link chooses among: a pool, or a part of it.
#[derive(Clone, Debug)]
struct Whom {
    pool: Arc<Pool>,
    part: Option<Arc<Part>>,
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
#[derive(Clone, Debug)]
pub struct How {
    /// One JSON object.
    pub settings: Arc<str>,
    /// One instance for each.
    pub workers: usize,
    /// Where those are built that a fault makes necessary.
    pub side: Handle,
}

impl How {
    /// An instance for every worker. Blocking.
    fn fill(
        &self,
        generation: Arc<Generation>,
        builds_for: &Arc<Mutex<Whom>>,
    ) -> Result<Arc<InstanceSet<Prepared>>, Fault> {
        let build = self.build(generation.clone(), builds_for.clone());
        InstanceSet::fill(generation, self.workers, self.side.clone(), build)
    }

    /// None yet: who needs one orders it.
    fn empty(&self, generation: Arc<Generation>, builds_for: &Arc<Mutex<Whom>>) -> Arc<InstanceSet<Prepared>> {
        let build = self.build(generation.clone(), builds_for.clone());
        InstanceSet::empty(generation, self.workers, self.side.clone(), build)
    }

    fn build(
        &self,
        generation: Arc<Generation>,
        builds_for: Arc<Mutex<Whom>>,
    ) -> impl Fn(usize) -> Result<Prepared, Fault> + Send + Sync + use<> {
        let settings = self.settings.clone();
        move |worker| {
            let Whom { pool, part } = lock(&builds_for).clone();
            let (roster, membership) = draw_up(&pool, part.as_deref());
            let instance = match part {
                None => generation.balancer(&pool.name, worker, &settings, membership)?,
                Some(_) => generation.balancer_of_part(&pool.name, worker, &settings, membership)?,
            };
            Ok(Prepared { instance, roster, heritage: Heritage::Unasked })
        }
    }
}

impl Assignment {
    /// So many links without a plugin: the fallback serves.
    pub fn bare(pool: Arc<Pool>, links: usize) -> Arc<Assignment> {
        let next = (links > 1).then(|| Assignment::bare(pool.clone(), links - 1));
        let builds_for = all_of(&pool);
        Arc::new(Assignment { pool, serving: None, builds_for, how: None, next })
    }

    /// Has a generation choose; `reserve`, when it can be built, takes over should that be quarantined. Instances that
    /// `before`, an assignment of the same pool and settings, has of either are kept, and so is who stands behind it; others
    /// are built, for all workers. Blocking.
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
        let builds_for = before.map_or_else(|| all_of(&pool), |before| before.builds_for.clone());
        let next = before.and_then(|before| before.next.clone());
        let before = before.and_then(|before| before.serving.as_deref());
        let serving = Serving::new(generation, reserve, before, |generation| how.fill(generation, &builds_for))?;
        Ok(Arc::new(Assignment { pool, serving: Some(Arc::new(serving)), builds_for, how: Some(how.clone()), next }))
    }

    /// The same instances for a successor of the pool; they are told of it before their next pick. From now on others are
    /// built for it too, so this is for an assignment that is about to be published.
    pub fn with(&self, pool: Arc<Pool>) -> Arc<Assignment> {
        *lock(&self.builds_for) = Whom { pool: pool.clone(), part: None };
        let next = self.next.as_ref().map(|next| next.with(pool.clone()));
        Arc::new(Assignment { pool, next, ..self.clone() })
    }

    /// The same, with this one behind it.
    pub fn followed_by(&self, next: Option<Arc<Assignment>>) -> Arc<Assignment> {
        Arc::new(Assignment { next, ..self.clone() })
    }

    /// The same chain with another link at this place.
    pub fn with_link(&self, at: usize, link: &Assignment) -> Arc<Assignment> {
        match (at, &self.next) {
            (0, next) => link.followed_by(next.clone()),
            (_, next) => self.followed_by(next.as_ref().map(|next| next.with_link(at - 1, link))),
        }
    }

    /// The links of the chain, this one first.
    pub fn links(&self) -> impl Iterator<Item = &Assignment> {
        std::iter::successors(Some(self), |link| link.next.as_deref())
    }

    /// The same chain for a part of the pool, with the instances that `before` has of it; others are built when they are
    /// needed.
    pub(super) fn for_part(&self, part: &Arc<Part>, before: Option<&Assignment>) -> Arc<Assignment> {
        let next = self.next.as_ref().map(|next| next.for_part(part, before.and_then(|before| before.next.as_deref())));
        let settings = |link: &Assignment| link.how.as_ref().map(|how| how.settings.clone());
        let before = before.filter(|before| settings(before) == settings(self));
        let whom = Whom { pool: self.pool.clone(), part: Some(part.clone()) };
        let builds_for = before.map_or_else(|| Arc::new(Mutex::new(whom.clone())), |before| before.builds_for.clone());
        *lock(&builds_for) = whom;
        let (before, how) = (before.and_then(|before| before.serving.as_deref()), self.how.clone());
        let serving = self.serving.as_ref().zip(how.as_ref());
        let serving =
            serving.map(|(serving, how)| Arc::new(serving.like(before, |of| how.empty(of.clone(), &builds_for))));
        Arc::new(Assignment { pool: self.pool.clone(), serving, builds_for, how, next })
    }

    /// Those that are built from now on are told of this part.
    pub(super) fn moves_to(&self, part: &Arc<Part>) {
        lock(&self.builds_for).part = Some(part.clone());
    }

    /// The instances that choose now; none: the fallback does.
    pub(super) fn current(&self) -> Option<&Arc<InstanceSet<Prepared>>> {
        self.serving.as_ref()?.current()
    }

    /// Whether the same instances choose in this link of the other one.
    pub fn shares_instances(&self, other: &Assignment) -> bool {
        self.serving.as_ref().zip(other.serving.as_ref()).is_some_and(|(a, b)| a.goes_on_in(b))
    }

    /// The generation that chooses, or chose last, unless there is none.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.serving.as_ref().map(|serving| serving.generation())
    }

    /// Who the pool's members are now, as a plugin would be told: for dry picks.
    pub fn membership(pool: &Pool) -> crate::plugin::Membership {
        draw_up(pool, None).1
    }
}

fn all_of(pool: &Arc<Pool>) -> Arc<Mutex<Whom>> {
    Arc::new(Mutex::new(Whom { pool: pool.clone(), part: None }))
}

fn lock(whom: &Mutex<Whom>) -> MutexGuard<'_, Whom> {
    whom.lock().unwrap_or_else(PoisonError::into_inner)
}
