//! Which requests go where.

use crate::problem::Spot;

/// A match on listener, host and path, and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Index into [`Config::listeners`]; none: all of them.
    pub listener: Option<usize>,
    /// Which hosts.
    pub host: HostMatch,
    /// Whole segments: `/cart` matches `/cart` and `/cart/x`, never `/cartoon`.
    pub path: String,
    /// Index into [`Config::pools`].
    pub pool: usize,
    /// In order.
    pub filters: Vec<FilterUse>,
}

/// Which hosts a route is for, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This one.
    Exact(String),
    /// Any host with one or more labels before this suffix; written `*.example.com`, kept as `.example.com`.
    Wildcard(String),
}

/// A filter on a route.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterUse {
    /// Its name.
    pub plugin: String,
    /// One JSON object.
    pub settings: String,
    /// What a fault, or a filter that never loaded, means for the request.
    pub on_fault: OnFault,
    /// Where it is named.
    pub spot: Option<Spot>,
}

/// What a filter's fault means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFault {
    /// 503.
    #[default]
    Reject,
    /// As if the filter were not there.
    Continue,
}
