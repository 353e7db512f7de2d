//! Who is asked how busy it is, and what was answered, laid out as the contract has it.

use super::bindings::pointsman::plugin::{probes, types};
use crate::{
    figures::{Probed, micros},
    plugin::{Membership, sandbox::Data},
};
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::{Result, bail};

/// In place of a number that is not known, and of the position of a backend that left the pool.
const NONE: u32 = u32::MAX;

impl probes::Host for Data {
    fn ask(&mut self, of: u32) -> Result<bool> {
        let Some(member) = self.members.get(of) else {
            bail!("asked for a probe of position {of}; the latest update listed {}", self.members.len());
        };
        let asks = |worker| self.members.probes.ask(member.id, &member.figures, worker);
        Ok(self.told_on.is_some_and(asks))
    }
}

/// Rows on their way to a guest.
pub(crate) struct Answers(types::ProbeAnswers);

impl Answers {
    /// For an instance of which these are the members.
    pub(crate) fn of(probed: &[Probed], members: &Membership, now: Instant) -> Answers {
        let column = |figure: &dyn Fn(&Probed) -> Option<u32>| {
            probed.iter().map(|one| figure(one).unwrap_or(NONE)).collect::<Vec<_>>()
        };
        Answers(types::ProbeAnswers {
            at: column(&|one| members.position(one.backend)),
            in_flight: column(&|one| Some(one.load?.in_flight)),
            latency_us: column(&|one| one.load?.latency_us),
            took_us: column(&|one| Some(one.took_us)),
            age_us: column(&|one| Some(narrow(now.saturating_duration_since(one.at)))),
        })
    }

    pub(super) fn columns(&self) -> &types::ProbeAnswers {
        &self.0
    }
}

fn narrow(time: Duration) -> u32 {
    u32::try_from(micros(time)).unwrap_or(u32::MAX)
}
