//! All backends of a pool and what is known of them: who is out since when, how all stand together, and what is told to
//! people about it, once per change.

use super::{
    Backend,
    condition::Cause,
    lineup::{Single, line_up},
};
use crate::{
    config::model::Tiers,
    figures::Standing,
    problem::{Code, Problem},
};
use std::{fmt::Write, sync::Arc};
use tokio::time::Instant;

/// What was told of a pool's backends last.
#[derive(Debug)]
pub(super) struct Ward {
    /// By the backend's index.
    out: Vec<Option<Out>>,
    /// Nobody is ready, and that was said.
    is_full: bool,
    is_panic: bool,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    since: Instant,
    cause: Cause,
}

impl Ward {
    /// Who is out already was told of, and so was a panic that goes on.
    pub(super) fn new(backends: &[Arc<Backend>], is_panic: bool) -> Ward {
        let since = Instant::now();
        let out = |backend: &Arc<Backend>| backend.with_condition(|it| it.cause()).map(|cause| Out { since, cause });
        let out: Vec<_> = backends.iter().map(out).collect();
        let is_full = !out.is_empty() && out.iter().all(Option::is_some);
        Ward { out, is_full, is_panic }
    }

    pub(super) fn is_panic(&self) -> bool {
        self.is_panic
    }

    /// How many are out for failing requests alone.
    pub(super) fn ejected(&self) -> usize {
        self.out.iter().flatten().filter(|out| out.cause == Cause::Ejected).count()
    }

    /// Gives every backend its standing among the others; true when one changed.
    pub(super) fn settle(&mut self, pool: &str, backends: &[Arc<Backend>], panic: Option<u32>, tiers: Tiers) -> bool {
        let alone = backends.iter().map(|backend| match (backend.alone(), tiers) {
            (alone, Tiers::Host) => alone,
            // For the host all are one tier.
            (alone, Tiers::Plugin) => Single { priority: 0, ..alone },
        });
        let alone: Vec<Single> = alone.collect();
        let lineup = line_up(&alone, panic);
        let mut changed = false;
        for (backend, standing) in backends.iter().zip(lineup.standings) {
            changed |= backend.stands(standing);
        }
        if std::mem::replace(&mut self.is_panic, lineup.panic) != lineup.panic {
            self.tell_of_panic(pool, &alone);
        }
        changed
    }

    /// Tells of a backend that went out or came back by what is known now.
    pub(super) fn tell(&mut self, pool: &str, backend: &Backend) {
        let (cause, why) = backend.with_condition(|condition| (condition.cause(), condition.why().to_owned()));
        let Some(out) = self.out.get_mut(backend.index) else { return };
        let since = out.map_or_else(Instant::now, |out| out.since);
        let before = std::mem::replace(out, cause.map(|cause| Out { since, cause }));
        match (before, cause) {
            (None, Some(Cause::Ejected)) => tracing::warn!("backend {} of pool {pool} is ejected: {why}", backend.name),
            (None, Some(Cause::Drained)) => tracing::info!("backend {} of pool {pool} is out: {why}", backend.name),
            (None, Some(_)) => tracing::warn!("backend {} of pool {pool} is out: {why}", backend.name),
            (Some(_), None) => tracing::info!("backend {} of pool {pool} is back: {why}", backend.name),
            (None, None) | (Some(_), Some(_)) => {}
        }
        let (ready, all) = (self.ready(), self.out.len());
        if ready == 0 && !self.is_full {
            Problem::error(Code::NO_BACKEND, format!("pool {pool}: {}", self.summary())).log();
        }
        if ready > 0 && self.is_full {
            tracing::info!("pool {pool}: {ready} of {all} backends ready again");
        }
        self.is_full = ready == 0;
    }

    fn tell_of_panic(&self, pool: &str, alone: &[Single]) {
        let ready = alone.iter().filter(|b| b.standing == Standing::Ready).count();
        let all = alone.len();
        if self.is_panic {
            tracing::warn!("pool {pool} panics: with {ready} of {all} backends ready, all of them get requests");
        } else {
            tracing::info!("pool {pool} panics no more: {ready} of {all} backends are ready");
        }
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
            (Cause::Ejected, "ejected", "ejected"),
            (Cause::Drained, "drained", "drained"),
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
        let mut ward = Ward { out: vec![out(Cause::Refused); 8], ..Ward::new(&[], false) };
        tokio::time::advance(Duration::from_secs(41)).await;
        ward.out.extend([out(Cause::Timeout), out(Cause::Timeout)]);
        assert_eq!(ward.summary(), "0 of 10 backends ready (8 refused, 2 timeouts; longest down 41 s)");
        ward.out = vec![None, out(Cause::BadAnswer), out(Cause::Drained)];
        assert_eq!(ward.summary(), "1 of 3 backends ready (1 bad answer, 1 drained; longest down 0 s)");
    }
}
