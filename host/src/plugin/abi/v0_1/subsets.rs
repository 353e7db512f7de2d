//! Groups of backends that a balancer narrows to.

use super::bindings::pointsman::plugin::subsets;
use crate::plugin::{Call, Subset, sandbox::Data};
use wasmtime::{Result, bail};

/// How many groups there may be at the same time.
const SUBSETS_MAX: usize = 64;

impl subsets::Host for Data {
    fn define(&mut self, members: Vec<u32>, weights: Vec<u32>) -> Result<u32> {
        if !matches!(self.call, Call::Update | Call::UpdateLive | Call::Tick) {
            bail!("called subsets.define in {}: only update and tick define", self.call);
        }
        if members.is_empty() || members.len() != weights.len() {
            bail!("a subset has at least one member, and a weight for each");
        }
        if self.subsets.len() == SUBSETS_MAX {
            bail!("there are at most {SUBSETS_MAX} subsets at the same time");
        }
        let mut is_in = vec![false; self.members.ready.len()];
        for at in &members {
            match is_in.get_mut(*at as usize) {
                Some(is_in) if !*is_in => *is_in = true,
                Some(_) => bail!("position {at} is in a subset twice"),
                None => bail!("position {at} is in a subset; the latest update listed {} as ready", is_in.len()),
            }
        }
        self.subsets.push(Subset { members: members.into_iter().zip(weights).collect() });
        Ok(u32::try_from(self.subsets.len() - 1)?)
    }
}
