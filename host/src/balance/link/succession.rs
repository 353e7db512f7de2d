//! How one instance takes the place of another. What the old one knows goes over where both keep it: it saves on the worker,
//! between two picks, and serves on; the new one restores aside, and waits in its seat until the worker comes by.

use super::Link;
use crate::{
    balance::{
        Assignment, Station,
        assignment::{Heritage, Prepared},
        roster::Part,
    },
    figures::Undelivered,
    plugin::{InstanceSet, State},
};
use std::sync::{Arc, Weak};

impl Link {
    /// What it was made of.
    pub(in crate::balance) fn assignment(&self) -> &Arc<Assignment> {
        &self.assignment
    }

    /// Goes on with another assignment of the same pool. Where that has the same instances, the live one stays; where it has
    /// others of the same plugin, what the live one knows goes over to its successor, if both can. So each link by itself.
    pub(in crate::balance) fn adopt(&mut self, assignment: Arc<Assignment>) {
        match (&mut self.next, &assignment.next) {
            (Some(kept), Some(next)) if Arc::ptr_eq(kept.assignment(), next) => {}
            (kept, next) => {
                match (kept.as_mut(), next) {
                    (Some(kept), Some(next)) => kept.adopt(next.clone()),
                    (_, next) => {
                        let new = |next: &Arc<Assignment>| Link::new(next.clone(), self.part.clone(), &self.site);
                        *kept = next.as_ref().map(|next| Box::new(new(next)));
                    }
                }
                self.narrows.adopt(next.as_ref());
            }
        }
        let goes_on = self.assignment.shares_instances(&assignment);
        self.assignment = assignment;
        if goes_on || self.live.is_none() {
            return;
        }
        if !self.will_hand_over() && !self.is_to_wait() {
            self.let_go();
        }
    }

    /// It chooses in this part from now on, and so do those behind it.
    pub(in crate::balance) fn moves_to(&mut self, part: &Arc<Part>) {
        self.part = Some(part.clone());
        self.assignment.moves_to(part);
        if let Some(next) = &mut self.next {
            next.moves_to(part);
        }
    }

    /// Whether its successor is to be built first: those of parts are not built before they are needed.
    fn is_to_wait(&self) -> bool {
        let next = self.assignment.current();
        self.part.is_some() && next.is_some_and(|next| next.is_empty(self.site.at.worker))
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
            serving.put_back(self.site.at.worker, &generation, live);
        }
    }

    /// A successor that waits takes its place, as soon as it has the state of the live one.
    pub(super) fn look_for_successor(&mut self, instances: &Arc<InstanceSet<Prepared>>) {
        match instances.take(self.site.at.worker) {
            Some(mut next) => {
                // One that was to take the place of an earlier one, and never did, has its state of that time.
                if next.heritage == Heritage::Taken && !self.has_heir_in(instances) {
                    next.heritage = Heritage::Own;
                }
                match self.state_for(&next) {
                    Some(state) => {
                        self.heir_in = Arc::downgrade(instances);
                        bring_up(instances, &self.site.at, next, state);
                    }
                    None => self.succeed(next, instances),
                }
            }
            // Does nothing while one is on its way.
            None => instances.order(self.site.at.worker),
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

    /// Whether the live instance's state is on the way to one of these, or was and is there.
    pub(super) fn has_heir_in(&self, instances: &Arc<InstanceSet<Prepared>>) -> bool {
        self.heir_in.as_ptr() == Arc::as_ptr(instances)
    }

    /// Another instance takes the place of the live one.
    fn succeed(&mut self, next: Prepared, of: &Arc<InstanceSet<Prepared>>) {
        self.hearing.begins(&next);
        self.put_back();
        (self.home, self.heir_in, self.next_tick) = (Arc::downgrade(of), Weak::new(), None);
        self.live = Some(next);
        self.narrows.renew();
    }
}

/// Has this instance take over the state, and come back to its worker's seat.
fn bring_up(instances: &Arc<InstanceSet<Prepared>>, at: &Station, mut heir: Prepared, state: State) {
    let (worker, bell) = (at.worker, at.bell.clone());
    // What it is to be told waits for it, and a pool without requests would not look for a second.
    let awaited = move || bell.notify_one();
    let make = move |set: &InstanceSet<Prepared>| {
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
    };
    instances.aside(worker, make, awaited);
}
