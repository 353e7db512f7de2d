//! One instance of a generation for each worker: built aside, waiting in a seat until its worker takes it, and built again
//! when a fault has killed it.

use super::{Call, Fault, FaultKind, Generation, Seat};
use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::runtime::Handle;

/// Makes the instance of one worker; may take long.
type Build<I> = Box<dyn Fn(usize) -> Result<I, Fault> + Send + Sync>;

/// What all workers share about the instances of one generation with one set of settings.
pub struct InstanceSet<I> {
    pub(super) generation: Arc<Generation>,
    build: Build<I>,
    places: Box<[Place<I>]>,
    side: Handle,
}

struct Place<I> {
    seat: Seat<I>,
    /// A build is under way, so that a busy worker asks for one and not for one a request.
    ordered: AtomicBool,
}

impl<I: Send + 'static> InstanceSet<I> {
    /// Builds an instance for every worker. Blocking.
    ///
    /// # Errors
    /// The first fault of any of them; nothing serves then.
    pub fn fill(
        generation: Arc<Generation>,
        workers: usize,
        side: Handle,
        build: impl Fn(usize) -> Result<I, Fault> + Send + Sync + 'static,
    ) -> Result<Arc<InstanceSet<I>>, Fault> {
        let set = InstanceSet::empty(generation, workers, side, build);
        for (worker, place) in set.places.iter().enumerate() {
            place.seat.put(set.build(worker)?);
        }
        Ok(set)
    }

    /// Builds none yet: they are [ordered](Self::order).
    pub fn empty(
        generation: Arc<Generation>,
        workers: usize,
        side: Handle,
        build: impl Fn(usize) -> Result<I, Fault> + Send + Sync + 'static,
    ) -> Arc<InstanceSet<I>> {
        let places = (0..workers).map(|_| Place { seat: Seat::default(), ordered: AtomicBool::new(false) }).collect();
        Arc::new(InstanceSet { generation, build: Box::new(build), places, side })
    }

    /// The generation that its instances are of.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The instance that waits for this worker, if one does. Costs one load when none does.
    pub fn take(&self, worker: usize) -> Option<I> {
        self.places.get(worker)?.seat.take()
    }

    /// Whether none waits for this worker.
    pub fn is_empty(&self, worker: usize) -> bool {
        self.places.get(worker).is_none_or(|place| place.seat.is_empty())
    }

    /// Leaves an instance that its worker needs no more in its seat, unless a younger one waits there.
    pub fn put_back(&self, worker: usize, instance: I) {
        if let Some(place) = self.places.get(worker).filter(|place| place.seat.is_empty()) {
            place.seat.put(instance);
        }
    }

    /// Has a new instance built for this worker, aside; [`take`](Self::take) finds it some milliseconds later. Does nothing
    /// while one is being built. A build that fails is one more fault of the generation, so a plugin that cannot be built
    /// again ends in quarantine.
    pub fn order(self: &Arc<Self>, worker: usize) {
        let Some(place) = self.places.get(worker) else { return };
        if self.generation.is_quarantined() || place.ordered.swap(true, Ordering::AcqRel) {
            return;
        }
        self.aside(worker, move |set| (set.build)(worker), || {});
    }

    /// Has a worker's next instance made by this, aside; meanwhile none is built. When that is over, well or not, `done` is
    /// called. The rest is as with [`order`](Self::order).
    pub fn aside(
        self: &Arc<Self>,
        worker: usize,
        make: impl FnOnce(&Self) -> Result<I, Fault> + Send + 'static,
        done: impl FnOnce() + Send + 'static,
    ) {
        if let Some(place) = self.places.get(worker) {
            place.ordered.store(true, Ordering::Release);
        }
        let set = self.clone();
        self.side.spawn_blocking(move || {
            let made = caught(|| make(&set));
            let Some(place) = set.places.get(worker) else { return };
            match made {
                Ok(instance) => place.seat.put(instance),
                Err(fault) => set.generation.record(&fault),
            }
            place.ordered.store(false, Ordering::Release);
            done();
        });
    }

    /// Builds an instance for this worker. Blocking.
    ///
    /// # Errors
    /// Its fault.
    pub fn build(&self, worker: usize) -> Result<I, Fault> {
        caught(|| (self.build)(worker))
    }
}

/// A build that panics is a fault like any other: its worker gets another one.
fn caught<I>(make: impl FnOnce() -> Result<I, Fault>) -> Result<I, Fault> {
    panic::catch_unwind(AssertUnwindSafe(make))
        .unwrap_or_else(|_| Err(Fault::new(FaultKind::Trap, Call::Instantiate, "it brought its builder down")))
}

impl<I> fmt::Debug for InstanceSet<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceSet").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::tests::{generation, guest, runtime};
    use std::{sync::atomic::AtomicUsize, thread, time::Duration};
    use tokio::time::Instant;

    #[test]
    fn a_build_that_panics_is_a_fault_and_the_next_one_is_built() {
        let side = tokio::runtime::Runtime::new().unwrap();
        let generation = generation(&runtime(), &guest::balancer());
        let builds = AtomicUsize::new(0);
        let build = move |_| match builds.fetch_add(1, Ordering::Relaxed) {
            1 => panic!("as asked"),
            number => Ok(number),
        };
        let set = InstanceSet::fill(generation.clone(), 1, side.handle().clone(), build).unwrap();
        assert_eq!(set.take(0), Some(0));
        let deadline = Instant::now() + Duration::from_secs(20);
        let next = loop {
            set.order(0);
            if let Some(next) = set.take(0) {
                break next;
            }
            assert!(Instant::now() < deadline, "none is built");
            thread::yield_now();
        };
        assert!(next >= 2, "{next} is an older one");
        assert_eq!(generation.costs().totals().faults_of(FaultKind::Trap), 1);
    }
}
