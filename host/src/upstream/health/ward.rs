//! All backends of a pool as their checks see them: who is out since when, and what is told to people about it, once per
//! change.

use super::check::{Cause, Ill};
use crate::{
    figures::Standing,
    problem::{Code, Problem},
    upstream::{Backend, Pool},
};
use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// A pool and who is out in it.
#[derive(Debug)]
pub(super) struct Ward {
    pool: Arc<Pool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By the backend's index.
    out: Vec<Option<Out>>,
    /// Nobody is ready, and that was said.
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    since: Instant,
    cause: Cause,
}

impl Ward {
    pub(super) fn new(pool: Arc<Pool>) -> Ward {
        let state = State { out: vec![None; pool.backends.len()], is_full: false };
        Ward { pool, state: Mutex::new(state) }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A check succeeded.
    pub(super) fn is_well(&self, backend: &Backend, said: String) {
        let mut state = self.state();
        self.pool.stands(backend, Standing::Ready, said.as_str());
        if state.changes(backend, None) {
            tracing::info!("backend {} of pool {} is back: {said}", backend.name, self.pool.name);
        }
        if std::mem::take(&mut state.is_full) {
            tracing::info!("pool {}: {} of {} backends ready again", self.pool.name, state.ready(), state.out.len());
        }
    }

    /// A check failed; `out` when it is one too many.
    pub(super) fn is_ill(&self, backend: &Backend, ill: Ill, out: bool) {
        let mut state = self.state();
        if !out {
            self.pool.stands(backend, Standing::Ready, ill.said);
            return;
        }
        self.pool.stands(backend, Standing::Unhealthy, ill.said.as_str());
        if state.changes(backend, Some(ill.cause)) {
            tracing::warn!("backend {} of pool {} is out: {}", backend.name, self.pool.name, ill.said);
        }
        if state.ready() == 0 && !std::mem::replace(&mut state.is_full, true) {
            Problem::error(Code::NO_BACKEND, format!("pool {}: {}", self.pool.name, state.summary())).log();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sets what ails a backend; true when it goes out or comes back by this.
    fn changes(&mut self, backend: &Backend, cause: Option<Cause>) -> bool {
        let Some(out) = self.out.get_mut(backend.index) else { return false };
        let since = out.map_or_else(Instant::now, |out| out.since);
        let before = std::mem::replace(out, cause.map(|cause| Out { since, cause }));
        before.is_some() != cause.is_some()
    }

    fn ready(&self) -> usize {
        self.out.iter().filter(|out| out.is_none()).count()
    }

    /// `0 of 10 backends ready (8 refused, 2 timeouts; longest down 41 s)`
    fn summary(&self) -> String {
        let mut text = format!("{} of {} backends ready (", self.ready(), self.out.len());
        let mut separator = "";
        for (cause, one, many) in [
            (Cause::Refused, "refused", "refused"),
            (Cause::Timeout, "timeout", "timeouts"),
            (Cause::BadAnswer, "bad answer", "bad answers"),
            (Cause::Unreachable, "unreachable", "unreachable"),
        ] {
            let count = self.out.iter().flatten().filter(|out| out.cause == cause).count();
            if count > 0 {
                // Writing to a String cannot fail.
                let _ = write!(text, "{separator}{count} {}", if count == 1 { one } else { many });
                separator = ", ";
            }
        }
        let longest = self.out.iter().flatten().map(|out| out.since.elapsed().as_secs()).max().unwrap_or(0);
        let _ = write!(text, "; longest down {longest} s)");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_summary_counts_causes() {
        let out = |cause| Some(Out { since: Instant::now(), cause });
        let mut state = State { out: vec![out(Cause::Refused); 8], is_full: false };
        tokio::time::advance(Duration::from_secs(41)).await;
        state.out.extend([out(Cause::Timeout), out(Cause::Timeout)]);
        assert_eq!(state.summary(), "0 of 10 backends ready (8 refused, 2 timeouts; longest down 41 s)");
        state.out = vec![None, out(Cause::BadAnswer)];
        assert_eq!(state.summary(), "1 of 2 backends ready (1 bad answer; longest down 0 s)");
    }
}
