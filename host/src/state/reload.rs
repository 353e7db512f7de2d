//! Another configuration: first everything is made that could be refused, then it is published, which cannot fail.

use super::{
    Applier, Plan, Snapshot,
    applier::{cannot_be_built, missing},
    plan::{LinkPlan, PoolPlan, Wanted},
};
use crate::{
    balance, filter,
    plugin::{Artifact, Generation, Origin, Use, stock},
    problem::Problem,
    upstream::Pool,
};
use std::{collections::HashMap, sync::Arc};

/// A plan with all that it takes to serve it.
#[derive(Debug)]
pub struct Staged {
    plan: Arc<Plan>,
    /// In the plan's order.
    pools: Vec<Place>,
    /// In the plan's order.
    filters: Vec<Arc<filter::Assignment>>,
    /// Embedded plugins that nobody had asked for before.
    admitted: Vec<Arc<Generation>>,
}

/// Who chooses for a pool.
#[derive(Debug)]
enum Place {
    /// The pool is the same, and so is all else.
    Kept(Arc<balance::Assignment>),
    /// The same instances, of another pool.
    Moved(Arc<balance::Assignment>, Arc<Pool>),
    /// Other instances.
    Built(Arc<balance::Assignment>),
}

/// Generations by name that have been tried for a plan.
type Tried = HashMap<Arc<str>, Result<Arc<Generation>, Problem>>;

impl Applier {
    /// The plan in force.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Makes what another plan needs and this one has not: where the balancer, or its settings, or those of a filter, are
    /// others, the plugin is tried with them and its instances are built. Blocking. Nothing of it shows.
    ///
    /// # Errors
    /// Everything that is refused.
    pub fn stage(&self, plan: Plan) -> Result<Staged, Vec<Problem>> {
        let now = self.cell.load();
        let mut staging = Staging { applier: self, plan: &plan, tried: Tried::new(), problems: Vec::new() };
        let pools: Vec<_> = (0..plan.pools.len()).filter_map(|index| staging.pool(index, &now)).collect();
        let filters: Vec<_> = (0..plan.filters.len()).filter_map(|index| staging.filter(index, &now)).collect();
        let Staging { tried, problems, .. } = staging;
        if !problems.is_empty() {
            return Err(problems);
        }
        let fresh = |generation: &Arc<Generation>| self.board.generation(generation.name()).is_none();
        let admitted = tried.into_values().flatten().filter(fresh).collect();
        Ok(Staged { plan: Arc::new(plan), pools, filters, admitted })
    }

    /// Puts a staged plan in force. Nothing may have been applied since it was staged. Listeners that it has not are closing
    /// until [`Applier::closed`].
    pub fn publish(&mut self, staged: Staged) {
        let Staged { plan, pools, filters, admitted } = staged;
        let fresh = plan
            .pools
            .iter()
            .filter(|new| self.plan.pool(&new.pool.name).is_none_or(|old| !Arc::ptr_eq(&old.pool, &new.pool)));
        fresh.for_each(|new| new.pool.take_over());
        let pools = pools.into_iter().map(|place| match place {
            Place::Kept(assignment) | Place::Built(assignment) => assignment,
            Place::Moved(assignment, pool) => assignment.with(pool),
        });
        let now = self.cell.load();
        let before = now.policies.iter().map(|(number, _)| *number);
        let goes = |number: &usize| plan.policies.iter().all(|(other, _)| other != number);
        self.cell.publish(Snapshot {
            revision: now.revision + 1,
            table: plan.table.clone(),
            routes: plan.routes.clone(),
            pools: pools.collect(),
            filters,
            policies: plan.policies.clone(),
            closing: now.closing.iter().copied().chain(before.filter(goes)).collect(),
        });
        self.plan = plan;
        for generation in admitted {
            self.note_swap(generation.compiled().artifact(), generation.kind(), &generation);
        }
        self.note_use(None, |_| {});
        self.runtime.keep_pools(|name| self.plan.pool(name).is_some());
    }

    /// No request comes any more on connections of this listener.
    pub fn closed(&self, listener: usize) {
        let now = self.cell.load();
        if now.closing.contains(&listener) {
            let mut next = Snapshot { revision: now.revision + 1, ..Snapshot::clone(&now) };
            next.closing.retain(|closing| *closing != listener);
            self.cell.publish(next);
        }
    }
}

struct Staging<'a> {
    applier: &'a Applier,
    plan: &'a Plan,
    tried: Tried,
    problems: Vec<Problem>,
}

impl Staging<'_> {
    /// None: it is refused.
    fn pool(&mut self, index: usize, now: &Snapshot) -> Option<Place> {
        let plan = self.plan.pools.get(index)?;
        let before = self.applier.plan.index_of(&plan.pool.name);
        let before = before.and_then(|at| Some((self.applier.plan.pools.get(at)?, now.pools.get(at)?)));
        if let Some((old, assignment)) = before.filter(|(old, _)| old.wants_the_same(plan)) {
            let same = Arc::ptr_eq(&old.pool, &plan.pool);
            let assignment = assignment.clone();
            return Some(if same { Place::Kept(assignment) } else { Place::Moved(assignment, plan.pool.clone()) });
        }
        // All of them, so that what is refused is told of all of them.
        let links: Vec<_> = plan.links().map(|link| self.link(plan, &link)).collect();
        let built = links.into_iter().rev().try_fold(None, |behind, link| Some(Some(link?.followed_by(behind))))?;
        Some(Place::Built(built?))
    }

    fn link(&mut self, plan: &PoolPlan, link: &LinkPlan<'_>) -> Option<Arc<balance::Assignment>> {
        let generation = self.generation(&plan.wanted(link))?;
        let built = self.applier.assign(plan, link, &generation, None);
        let built = built.map_err(|fault| cannot_be_built(generation.compiled().artifact(), &fault));
        self.noted(built)
    }

    fn filter(&mut self, index: usize, now: &Snapshot) -> Option<Arc<filter::Assignment>> {
        let plan = self.plan.filters.get(index)?;
        let before = self.applier.plan.index_of_filter(plan).and_then(|at| now.filters.get(at));
        if let Some(assignment) = before {
            return Some(assignment.clone());
        }
        let generation = self.generation(&plan.wanted())?;
        let built = self.applier.assign_filter(plan, &generation, None);
        let built = built.map_err(|fault| cannot_be_built(generation.compiled().artifact(), &fault));
        self.noted(built)
    }

    /// The generation that shall serve, tried with all that the plan wants of it. A refusal is told once.
    fn generation(&mut self, wanted: &Wanted) -> Option<Arc<Generation>> {
        if let Some(tried) = self.tried.get(&wanted.name) {
            return tried.as_ref().ok().cloned();
        }
        let tried = self.try_out(wanted);
        self.tried.insert(wanted.name.clone(), tried.clone());
        self.noted(tried)
    }

    /// The one that was admitted last, else the embedded one.
    fn try_out(&self, wanted: &Wanted) -> Result<Arc<Generation>, Problem> {
        let uses: Vec<Use> = self.plan.uses(&wanted.name, wanted.kind);
        let entry = self.applier.board.entry(&wanted.name);
        if let Some((generation, _)) = entry.as_ref().and_then(|entry| entry.generation.as_ref()) {
            return generation.suits(wanted.kind, &uses).map(|()| generation.clone());
        }
        let Some(bytes) = stock::bytes(&wanted.name) else {
            // That its file was refused says more than that there is none.
            let refused = entry.and_then(|entry| entry.problem);
            let problem = refused.map_or_else(|| missing(wanted), |(_, problem)| problem);
            // Nothing will serve in its place, for nothing will change.
            return Err(Problem { serving: None, ..problem });
        };
        let artifact = Artifact::new(wanted.name.clone(), bytes, Origin::Embedded);
        let compiled = self.applier.runtime.compile(artifact)?;
        self.applier.runtime.admit(&compiled, wanted.kind, &uses)
    }

    fn noted<T>(&mut self, made: Result<T, Problem>) -> Option<T> {
        made.map_err(|problem| self.problems.push(problem)).ok()
    }
}
