//! A snapshot as one worker sees it: with this worker's own balancers and filters.

use crate::{
    balance::{self, Balancer},
    filter::Filter,
    state::{Cell, Policy, RouteEntry, Snapshot},
};
use std::{cell::RefCell, rc::Rc, sync::Arc};
use tokio::time::Instant;

/// What a request takes at its start and lets go of when its response's head is out.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    balancers: Vec<Rc<RefCell<Balancer>>>,
    tells_clients: bool,
    filters: Vec<Rc<RefCell<Filter>>>,
    /// By listener that closes: the last view that had it.
    closing: Vec<(usize, Rc<View>)>,
}

impl View {
    /// The first view of a worker.
    pub(super) fn first(cell: &Cell, worker: usize, epoch: Instant) -> View {
        View::new(cell.load(), None, worker, epoch)
    }

    /// The view of a newer snapshot. Where an assignment is unchanged, or only its pool is another, the balancer or filter
    /// goes along with its instance and its state; requests under way on the old view share it, and choose among the
    /// backends that there are now.
    pub(super) fn next(self: &Rc<Self>, cell: &Cell, worker: usize, epoch: Instant) -> View {
        View::new(cell.load(), Some(self), worker, epoch)
    }

    fn new(snapshot: Arc<Snapshot>, before: Option<&Rc<View>>, worker: usize, epoch: Instant) -> View {
        let balancers = snapshot.pools.iter().map(|assignment| {
            let old = before.and_then(|before| before.balancer_like(assignment));
            old.unwrap_or_else(|| Rc::new(RefCell::new(Balancer::new(assignment.clone(), worker, epoch))))
        });
        let filters = snapshot.filters.iter().map(|assignment| {
            let old = before
                .and_then(|b| b.filters.iter().find(|old| Arc::ptr_eq(old.borrow().assignment(), assignment)).cloned());
            old.unwrap_or_else(|| Rc::new(RefCell::new(Filter::new(assignment.clone(), worker))))
        });
        let tells_clients = snapshot.pools.iter().any(|assignment| assignment.pool.tells_client());
        let last = |number: &usize| {
            let before = before?.of(*number);
            before.policy(*number).is_some().then_some((*number, before))
        };
        let closing = snapshot.closing.iter().filter_map(last).collect();
        View { balancers: balancers.collect(), filters: filters.collect(), tells_clients, closing, snapshot }
    }

    /// The one that requests on connections of this listener see.
    pub(super) fn of(self: &Rc<Self>, listener: usize) -> Rc<View> {
        let last = self.closing.iter().find(|(closing, _)| *closing == listener);
        last.map_or_else(|| self.clone(), |(_, view)| view.clone())
    }

    /// What holds for requests on connections of this listener; none: it is no more.
    pub fn policy(&self, listener: usize) -> Option<&Arc<Policy>> {
        let policies = &self.snapshot.policies;
        let at = policies.binary_search_by_key(&listener, |(number, _)| *number).ok()?;
        Some(&policies.get(at)?.1)
    }

    /// The balancer that goes on with this assignment: if one does, that of the pool of the same name.
    fn balancer_like(&self, assignment: &Arc<balance::Assignment>) -> Option<Rc<RefCell<Balancer>>> {
        // Pools are in the order of their names. There may be many, on each worker and in a request's way.
        let named = |old: &Arc<balance::Assignment>| old.pool.name.cmp(&assignment.pool.name);
        let balancer = self.balancers.get(self.snapshot.pools.binary_search_by(named).ok()?)?;
        let (is_same, goes_on) = {
            let old = balancer.borrow();
            (Arc::ptr_eq(old.assignment(), assignment), old.assignment().shares_instances(assignment))
        };
        if !is_same && goes_on {
            balancer.borrow_mut().adopt(assignment.clone());
        }
        (is_same || goes_on).then(|| balancer.clone())
    }

    /// What it is a view of.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The route of this host (in lower case, without port) and path; none where the listener is no more.
    pub fn route(&self, listener: usize, host: &str, path: &str) -> Option<&RouteEntry> {
        self.policy(listener)?;
        self.snapshot.routes.get(self.snapshot.table.find(listener, host, path)?)
    }

    /// Whether any backend is told whose connection a request came on.
    pub fn tells_clients(&self) -> bool {
        self.tells_clients
    }

    /// The balancer of a pool.
    pub fn balancer(&self, pool: usize) -> Option<&RefCell<Balancer>> {
        self.balancers.get(pool).map(|b| &**b)
    }

    /// A filter.
    pub fn filter(&self, filter: usize) -> Option<&RefCell<Filter>> {
        self.filters.get(filter).map(|f| &**f)
    }

    /// Runs the ticks that are due; says when the next one is.
    pub fn tick(&self, now: Instant) -> Option<Instant> {
        self.balancers.iter().filter_map(|b| b.borrow_mut().tick(now)).min()
    }
}
