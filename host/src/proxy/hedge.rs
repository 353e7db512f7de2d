//! A request that takes long is asked of a second backend, where it may be done twice: whichever answers first serves it,
//! and the other is let go.

use super::forward::{Lost, Sender, Start};
use crate::{
    figures::{Loss, Slip},
    net::{Head, Response},
    upstream::Backend,
};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// The answer of the first backend, or of the second that is asked `after` so long, if there is one.
pub(super) async fn race(
    sender: &Sender<'_>,
    head: &Head,
    first: Start,
    after: Duration,
    second: impl FnOnce(&Arc<Backend>) -> Option<Start>,
) -> Result<(Response, Arc<Backend>), Lost> {
    let (by, slip, mut since) = (first.backend.clone(), first.slip(), Instant::now());
    let (answered, is_outrun) = {
        let mut first = pin!(sender.send(first, head));
        tokio::select! {
            biased;
            answered = &mut first => return answered,
            () = sleep(after) => {}
        }
        let Some(second) = second(&by) else { return first.await };
        tracing::debug!(slow = %by.name, backend = %second.backend.name, "a second backend is asked");
        let other_slip = second.slip();
        sender.hush();
        if sender.has_body() {
            // The client may have sent the last of it just now.
            since = Instant::now();
        }
        let mut second = pin!(sender.send(second, head));
        // Who fails leaves it to the other.
        tokio::select! {
            biased;
            answered = &mut first => match answered {
                Err(lost) => {
                    // Its attempt is over now, and who chose it hears so.
                    drop(slip);
                    (second.await.map_err(|last| last.and(lost)), false)
                }
                answered => {
                    outruns(other_slip);
                    (answered, false)
                }
            },
            answered = &mut second => match answered {
                Err(lost) => {
                    drop(other_slip);
                    (first.await.map_err(|last| last.and(lost)), false)
                }
                answered => {
                    outruns(slip);
                    (answered, true)
                }
            },
        }
    };
    // Its attempt is gone, and nothing else would tell that it took so long.
    if is_outrun {
        by.figures.was_outrun(since.elapsed(), Instant::now());
    }
    answered
}

/// Whoever chose the one that is let go hears why.
fn outruns(slip: Option<Slip>) {
    if let Some(slip) = slip {
        slip.lost(Loss::Outrun);
    }
}
