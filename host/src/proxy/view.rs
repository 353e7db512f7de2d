//! A snapshot as one worker sees it: with this worker's own balancers and filters.

use crate::{
    balance::{self, Balancer, Station},
    filter::{self, Filter},
    state::{Cell, Policy, RouteEntry, Snapshot},
};
use std::{
    cell::{LazyCell, RefCell},
    rc::Rc,
    sync::Arc,
};
use tokio::time::Instant;

/// What a request takes at its start and lets go of when its response's head is out.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    balancers: Vec<Rc<RefCell<Balancer>>>,
    filters: Vec<Rc<RefCell<Filter>>>,
    /// By listener that closes: the last view that had it.
    closing: Vec<(usize, Rc<View>)>,
}

impl View {
    /// The first view of a worker.
    pub(super) fn first(cell: &Cell, at: &Station) -> View {
        View::new(cell.load(), None, at)
    }

    /// The view of a newer snapshot. Where an assignment is unchanged, or only its pool is another, the balancer or filter
    /// goes along with its instance and its state; requests under way on the old view share it, and choose among the
    /// backends that there are now.
    pub(super) fn next(self: &Rc<Self>, cell: &Cell, at: &Station) -> View {
        View::new(cell.load(), Some(self), at)
    }

    fn new(snapshot: Arc<Snapshot>, before: Option<&Rc<View>>, at: &Station) -> View {
        let balancers = snapshot.pools.iter().map(|assignment| {
            let old = before.and_then(|before| before.balancer_like(assignment));
            old.unwrap_or_else(|| Rc::new(RefCell::new(Balancer::new(assignment.clone(), at))))
        });
        let filters = snapshot.filters.iter().map(|assignment| {
            let old = before.and_then(|before| before.filter_like(assignment));
            old.unwrap_or_else(|| Rc::new(RefCell::new(Filter::new(assignment.clone(), at.worker))))
        });
        let closing = before.map_or_else(Vec::new, |before| before.last_of(&snapshot.closing));
        View { balancers: balancers.collect(), filters: filters.collect(), closing, snapshot }
    }

    /// For those of these listeners that this view has: the last view that does. None of them has others that closed before:
    /// as long as listeners come and go, none would ever be the last.
    fn last_of(self: &Rc<Self>, closing: &[usize]) -> Vec<(usize, Rc<View>)> {
        let bare = LazyCell::new(|| match self.closing.is_empty() {
            true => self.clone(),
            false => Rc::new(View {
                snapshot: self.snapshot.clone(),
                balancers: self.balancers.clone(),
                filters: self.filters.clone(),
                closing: Vec::new(),
            }),
        });
        let last = |number: &usize| {
            let earlier = self.closing.iter().find(|(closing, _)| closing == number).map(|(_, view)| view);
            let last = earlier.or_else(|| self.policy(*number).map(|_| &*bare))?;
            Some((*number, last.clone()))
        };
        closing.iter().filter_map(last).collect()
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

    /// The balancer that goes on with this assignment: that of the pool of the same name, if there was one.
    fn balancer_like(&self, assignment: &Arc<balance::Assignment>) -> Option<Rc<RefCell<Balancer>>> {
        // Pools are in the order of their names. There may be many, on each worker and in a request's way.
        let named = |old: &Arc<balance::Assignment>| old.pool.name.cmp(&assignment.pool.name);
        let balancer = self.balancers.get(self.snapshot.pools.binary_search_by(named).ok()?)?;
        if !Arc::ptr_eq(balancer.borrow().assignment(), assignment) {
            balancer.borrow_mut().adopt(assignment.clone());
        }
        Some(balancer.clone())
    }

    /// The filter that goes on with this assignment, if one does.
    fn filter_like(&self, assignment: &Arc<filter::Assignment>) -> Option<Rc<RefCell<Filter>>> {
        let is_same = |old: &filter::Assignment| std::ptr::eq(old, &**assignment) || old.shares_instances(assignment);
        let filter = self.filters.iter().find(|filter| is_same(filter.borrow().assignment()))?;
        filter.borrow_mut().adopt(assignment.clone());
        Some(filter.clone())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Table;

    #[test]
    fn listeners_that_close_one_after_the_other_do_not_hold_each_others_views() {
        let station = || Station { worker: 0, epoch: Instant::now(), bell: Arc::default() };
        let snapshot = |revision: u64, open: usize, closing: &[usize]| Snapshot {
            revision,
            table: Arc::new(Table::default()),
            routes: [].into(),
            pools: Vec::new(),
            filters: Vec::new(),
            policies: (0..open).map(|number| (number, Arc::default())).collect(),
            closing: closing.to_vec(),
        };
        let mut view = Rc::new(View::first(&Cell::new(snapshot(1, 4, &[])), &station()));
        let mut next = |snapshot| {
            let next = Rc::new(view.next(&Cell::new(snapshot), &station()));
            (std::mem::replace(&mut view, next.clone()), next)
        };
        let revision = |view: &Rc<View>, listener| view.of(listener).snapshot().revision;
        let (first, second) = next(snapshot(2, 3, &[3]));
        assert_eq!((revision(&second, 3), revision(&second, 2)), (1, 2));
        drop(second);
        let (_, third) = next(snapshot(3, 2, &[3, 2]));
        assert_eq!((revision(&third, 3), revision(&third, 2), revision(&third, 1)), (1, 2, 3));
        drop(third);
        // The first to close has closed, the next one has not, and another follows.
        let (_, fourth) = next(snapshot(4, 1, &[2, 1]));
        assert_eq!((revision(&fourth, 2), revision(&fourth, 1)), (2, 3));
        assert_eq!(Rc::strong_count(&first), 1, "nobody else needs it any more");
    }
}
