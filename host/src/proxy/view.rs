//! A snapshot as one worker sees it: with this worker's own balancers and filters.

use crate::{
    balance::{self, Balancer},
    filter::Filter,
    state::{Cell, RouteEntry, Snapshot},
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
}

impl View {
    /// The first view of a worker.
    pub(super) fn first(cell: &Cell, worker: usize, epoch: Instant) -> View {
        View::of(cell.load(), None, worker, epoch)
    }

    /// The view of a newer snapshot. Where an assignment is unchanged, or only its pool is another, the balancer or filter
    /// goes along with its instance and its state; requests under way on the old view share it, and choose among the
    /// backends that there are now.
    pub(super) fn next(&self, cell: &Cell, worker: usize, epoch: Instant) -> View {
        View::of(cell.load(), Some(self), worker, epoch)
    }

    fn of(snapshot: Arc<Snapshot>, before: Option<&View>, worker: usize, epoch: Instant) -> View {
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
        View { balancers: balancers.collect(), filters: filters.collect(), tells_clients, snapshot }
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

    /// The route of this host (in lower case, without port) and path.
    pub fn route(&self, listener: usize, host: &str, path: &str) -> Option<&RouteEntry> {
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
