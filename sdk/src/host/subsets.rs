//! Groups of backends, for a balancer that narrows the choice and leaves it to who comes after it: the next balancer of the
//! pool's chain, else the host, by weight. Only inside [`Balancer::update`](crate::Balancer::update) and
//! [`Ticker::tick`](crate::Ticker::tick).

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::balancer::pointsman::plugin::subsets as import;
use crate::{Position, Subset};

/// A group of ready backends with these weights, for [`Decision::Narrow`](crate::Decision::Narrow); it lasts until the next
/// update begins, and there are at most 64. The host stops a plugin that defines an empty group, names a position twice, or
/// one that is not ready.
///
/// ```
/// # use pointsman_sdk::{Decision, host::subsets, testing};
/// # testing::host(|host| host.figures = vec![Default::default(); 3]);
/// let near = subsets::define(&[0, 2], &[1, 3]);
/// let decision = Decision::Narrow(near);
/// # assert_eq!((decision, testing::host(|host| host.subsets.clone())), (Decision::Narrow(0), vec![vec![(0, 1), (2, 3)]]));
/// ```
pub fn define(members: &[Position], weights: &[u32]) -> Subset {
    ask!(import::define(members, weights), |host| host.define(members, weights))
}
