//! The live connections of one worker: how many there may be, and how they hear of a drain without each of them
//! watching a lock that all workers share.

use super::pulse::Pulse;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};
use tokio::sync::Notify;

/// Connections that one worker has open. Further ones wait in the sockets' queues.
const CONNECTIONS_MOST: usize = 65_536;

/// Idle connections that are told to end at one time, when files are short.
const SHED_MOST: usize = 32;

/// The live connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Register {
    /// Each with its listener.
    pulses: RefCell<HashMap<u64, (usize, Rc<Pulse>)>>,
    next: Cell<u64>,
    /// One has ended while there were as many as there may be.
    room: Notify,
}

/// A place in the register; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    register: Rc<Register>,
    number: u64,
    pub pulse: Rc<Pulse>,
}

impl Register {
    /// Takes in one more connection of a listener.
    pub(super) fn enter(self: &Rc<Self>, listener: usize) -> Place {
        let number = self.next.get();
        self.next.set(number + 1);
        let pulse = Pulse::new();
        self.pulses.borrow_mut().insert(number, (listener, pulse.clone()));
        Place { register: self.clone(), number, pulse }
    }

    /// Waits until there may be one more.
    pub(super) async fn room(&self) {
        while self.pulses.borrow().len() >= CONNECTIONS_MOST {
            self.room.notified().await;
        }
    }

    /// Ends some of those that wait for their next request: somebody else has one.
    pub(super) fn shed(&self) {
        let pulses = self.pulses.borrow();
        let resting = pulses.values().filter(|(_, pulse)| pulse.is_resting());
        resting.take(SHED_MOST).for_each(|(_, pulse)| pulse.drain());
    }

    /// Tells every connection of a listener that it drains.
    pub(super) fn drain(&self, listener: usize) {
        for (of, pulse) in self.pulses.borrow().values() {
            if *of == listener {
                pulse.drain();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pulses = self.register.pulses.borrow_mut();
        if pulses.len() >= CONNECTIONS_MOST {
            self.register.room.notify_waiters();
        }
        pulses.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::pulse::UnderWay, *};
    use tokio::task::yield_now;

    #[tokio::test]
    async fn a_full_register_has_room_when_one_leaves() {
        let register = Rc::new(Register::default());
        let mut places: Vec<Place> = (0..CONNECTIONS_MOST).map(|_| register.enter(0)).collect();
        let leaving = async {
            yield_now().await;
            places.pop();
        };
        tokio::join!(register.room(), leaving);
        assert_eq!(register.pulses.borrow().len(), CONNECTIONS_MOST - 1);
    }

    #[tokio::test]
    async fn a_drain_reaches_every_connection_of_the_listener() {
        let register = Rc::new(Register::default());
        let (gone, place, other) = (register.enter(1), register.enter(1), register.enter(2));
        drop(gone);
        for place in [&place, &other] {
            drop(UnderWay::begin(&place.pulse));
        }
        register.drain(1);
        assert!(place.pulse.shall_finish() && !other.pulse.shall_finish());
    }
}
