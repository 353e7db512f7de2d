//! Having backends asked how busy they are. The host asks, as the pool's `probe` says; what comes of it is told to
//! [`Prober::probed`](crate::Prober::probed).

use super::ask;
use crate::Position;
#[cfg(target_family = "wasm")]
use crate::bindings::balancer::pointsman::plugin::probes as import;

/// Has this backend asked soon. Of one backend one probe is under way at a time: who asks meanwhile is told of that one. False
/// when nothing will be told: the pool has no `probe`, the macro names no half `prober`, or there were as many probes as may be
/// for now. A plugin is tried out before it serves, and always refused then: take no refusal for one of all that follow. Nor
/// wait for an answer for ever: it may stay out after a fault, a swap or a reload, and to ask again is always right.
///
/// The host of unit tests knows of no `probe`, half or budget; it refuses where its `asks_no_more` says so.
pub fn ask(of: Position) -> bool {
    ask!(import::ask(of), |host| host.ask(of))
}
