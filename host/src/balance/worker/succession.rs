//! How one instance takes the place of another. What the old one knows goes over where both keep it: it saves on the worker,
//! between two picks, and serves on; the new one restores aside, and waits in its seat until the worker comes by.

use super::Balancer;
use crate::{
    balance::{
        Assignment,
        assignment::{Heritage, Prepared},
        fallback::RoundRobin,
        guard::Guard,
    },
    figures::Undelivered,
    plugin::{InstanceSet, State},
};
use std::sync::Arc;

impl Balancer {
    /// Goes on with another assignment of the same pool. Where that has the same instances, the live one stays; where it has
    /// others of the same plugin, what the live one knows goes over to its successor, if both can.
    pub fn adopt(&mut self, assignment: Arc<Assignment>) {
        self.fallback = RoundRobin::new(&assignment.pool);
        if self.assignment.pool.share != assignment.pool.share {
            self.guard = Guard::of(&assignment.pool);
        }
        let goes_on = self.assignment.shares_instances(&assignment);
        self.assignment = assignment;
        if goes_on || self.live.is_none() {
            return;
        }
        self.has_heir = false;
        self.leaves = self.will_hand_over();
        if !self.leaves {
            self.let_go();
        }
    }

    /// Whether the live instance is one of the plugin that serves from now on, and both keep what they know.
    fn will_hand_over(&self) -> bool {
        let next = self.assignment.current();
        let (Some(next), Some(live)) = (next, &self.live) else { return false };
        live.instance.hands_over()
            && next.generation().hands_over()
            && live.instance.generation().name() == next.generation().name()
    }

    /// The live instance ends, in good health, and its state with it.
    fn let_go(&mut self) {
        self.hearing.ends(Undelivered::Ended);
        self.put_back();
    }

    /// The live instance may be asked for again: a generation that follows may fail.
    pub(super) fn put_back(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        live.heritage = Heritage::Own;
        let next = self.assignment.current();
        let generation = live.instance.generation().clone();
        // One with other settings never serves again.
        if let Some(serving) = &self.assignment.serving
            && next.is_none_or(|next| !Arc::ptr_eq(next.generation(), &generation))
        {
            serving.put_back(self.worker, &generation, live);
        }
    }

    /// A successor that waits takes its place, as soon as it has the state of the live one.
    pub(super) fn look_for_successor(&mut self, instances: &Arc<InstanceSet<Prepared>>) {
        match instances.take(self.worker) {
            Some(next) => match self.state_for(&next) {
                Some(state) => {
                    self.has_heir = true;
                    bring_up(instances, self.worker, next, state);
                }
                None => self.succeed(next),
            },
            // Does nothing while one is on its way.
            None => instances.order(self.worker),
        }
    }

    /// What the live instance knows, for this one, if both keep it and that one was not offered any yet.
    fn state_for(&mut self, next: &Prepared) -> Option<State> {
        let live = self.live.as_mut().filter(|_| next.heritage == Heritage::Unasked && next.instance.hands_over())?;
        match live.instance.save() {
            Ok(state) => state,
            // Nothing is wrong with how it chose, and it is to be there if the next one fails.
            Err(fault) => {
                next.instance.generation().began_without(&fault.to_string());
                self.hearing.ends(Undelivered::Fault);
                self.live = None;
                None
            }
        }
    }

    /// Another instance takes the place of the live one.
    fn succeed(&mut self, next: Prepared) {
        self.hearing.begins(&next);
        self.put_back();
        (self.leaves, self.has_heir, self.next_tick) = (false, false, None);
        self.live = Some(next);
    }
}

/// Has this instance take over the state, and come back to its worker's seat.
fn bring_up(instances: &Arc<InstanceSet<Prepared>>, worker: usize, mut heir: Prepared, state: State) {
    instances.aside(worker, move |set| {
        let refusal = match heir.instance.restore(&state) {
            Ok(Ok(())) => {
                heir.heritage = Heritage::Taken;
                set.generation().took_over();
                return Ok(heir);
            }
            Ok(Err(refusal)) => refusal,
            // Nothing is wrong with what has served so far: it begins without, in another instance.
            Err(fault) => {
                heir = set.build(worker)?;
                fault.to_string()
            }
        };
        set.generation().began_without(&refusal);
        heir.heritage = Heritage::Refused;
        Ok(heir)
    });
}
