//! The immutable whole of what one request may see.

use crate::{balance, config::model::OnFault, filter, route};
use std::sync::Arc;

/// Everything a request is decided by. A request holds it until its response's head is out, a body or a tunnel never.
#[derive(Debug)]
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
}

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
