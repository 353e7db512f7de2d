//! Whether there is room for a request in its pool, and who waits until there is. Only a request's first attempt waits: it
//! keeps nobody from ending.

use super::{Error, Kind, forward::Start};
use crate::{
    figures::Place,
    upstream::{Bounds, Permit, Pool},
};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The right to be one of the pool's requests, and whom to ask first. `start` says none while nobody has room.
pub(super) async fn enter(
    pool: &Pool,
    now: Instant,
    until: Instant,
    mut start: impl FnMut(Instant) -> Result<Option<Start>, Error>,
) -> Result<(Option<Permit>, Start), Error> {
    let Some((limit, bounds)) = pool.limit.zip(pool.bounds()) else {
        return start(now)?.map(|start| (None, start)).ok_or(Kind::NobodyReady.into());
    };
    let mut permit = None;
    // Who waits already comes first.
    if bounds.queue.length() == 0
        && let Some(start) = try_enter(bounds, &mut permit, || start(now))?
    {
        return Ok((permit, start));
    }
    let place = bounds.queue.join(limit.queue as usize).ok_or(Kind::QueueFull)?;
    let until = until.min(now + limit.wait);
    Box::pin(wait(bounds, permit, place, until, start)).await
}

async fn wait(
    bounds: &Arc<Bounds>,
    mut permit: Option<Permit>,
    place: Place,
    until: Instant,
    mut start: impl FnMut(Instant) -> Result<Option<Start>, Error>,
) -> Result<(Option<Permit>, Start), Error> {
    loop {
        if timeout_at(until, place.called()).await.is_err() {
            return Err(Kind::WaitedInVain.into());
        }
        if let Some(start) = try_enter(bounds, &mut permit, || start(Instant::now()))? {
            return Ok((permit, start));
        }
    }
}

/// The permit is kept while there is no room at a backend: given back, it would only call who waits here already.
fn try_enter(
    bounds: &Arc<Bounds>,
    permit: &mut Option<Permit>,
    start: impl FnOnce() -> Result<Option<Start>, Error>,
) -> Result<Option<Start>, Error> {
    if permit.is_none() {
        *permit = bounds.admit();
    }
    if permit.is_some() { start() } else { Ok(None) }
}
