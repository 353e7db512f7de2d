//! The immutable whole of what one request may see.

use super::Policy;
use crate::{balance, config::model::OnFault, filter, route};
use std::sync::Arc;

/// Everything a request is decided by. A request holds it until its response's head is out, a body or a tunnel never.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows with every snapshot.
    pub revision: u64,
    /// Finds the route.
    pub table: Arc<route::Table>,
    /// By the table's answer.
    pub routes: Arc<[RouteEntry]>,
    /// By [`RouteEntry::pool`].
    pub pools: Vec<Arc<balance::Assignment>>,
    /// By [`FilterLink::filter`].
    pub filters: Vec<Arc<filter::Assignment>>,
    /// What holds for requests, by what their connections call their listeners; in the order of these numbers.
    pub policies: Policies,
    /// Listeners that are no more, while requests may still come on connections of theirs. Those are served as by the last
    /// snapshot that had them.
    pub closing: Vec<usize>,
}

/// By the number of the listener.
pub type Policies = Arc<[(usize, Arc<Policy>)]>;

/// Where a route leads.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// Index into [`Snapshot::pools`].
    pub pool: usize,
    /// In order.
    pub filters: Vec<FilterLink>,
}

/// A filter on a route. Routes with the same plugin and settings share one.
#[derive(Clone, Copy, Debug)]
pub struct FilterLink {
    /// Index into [`Snapshot::filters`].
    pub filter: usize,
    /// What its failure means.
    pub on_fault: OnFault,
}
