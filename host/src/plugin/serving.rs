//! Who serves, and who takes over when that one fails too often: the instances of a generation, and behind them those of
//! the last good one. They are switched by the quarantine itself, so a worker's next call goes to the reserve; nobody has
//! to be told first.

use super::{Fault, Generation, InstanceSet};
use std::sync::Arc;

/// The instances of a generation, and of the one that served well before it.
pub struct Serving<I> {
    first: Arc<InstanceSet<I>>,
    reserve: Option<Arc<InstanceSet<I>>>,
}

impl<I: Send + 'static> Serving<I> {
    /// The instances of `first`; those of `reserve`, when they can be built, take over when that is quarantined. What
    /// `before` has of either is kept, `fill` makes the others.
    ///
    /// # Errors
    /// The first fault of any instance of `first`.
    pub fn new(
        first: Arc<Generation>,
        reserve: Option<Arc<Generation>>,
        before: Option<&Serving<I>>,
        fill: impl Fn(Arc<Generation>) -> Result<Arc<InstanceSet<I>>, Fault>,
    ) -> Result<Serving<I>, Fault> {
        let set_of = |generation: Arc<Generation>| match before.and_then(|before| before.of(&generation)) {
            Some(set) => Ok(set.clone()),
            None => fill(generation),
        };
        let first = set_of(first)?;
        let reserve = reserve.and_then(|reserve| {
            let (name, hash) = (reserve.name().clone(), reserve.hash().short());
            let cannot = |fault: &Fault| tracing::warn!("{name} {hash} cannot be kept in reserve: {fault}");
            set_of(reserve).inspect_err(cannot).ok()
        });
        Ok(Serving { first, reserve })
    }

    /// The same generations with instances of their own, `make` makes them, but for those that `before` has.
    pub fn like(
        &self,
        before: Option<&Serving<I>>,
        make: impl Fn(&Arc<Generation>) -> Arc<InstanceSet<I>>,
    ) -> Serving<I> {
        let like = |set: &Arc<InstanceSet<I>>| {
            let kept = before.and_then(|before| before.of(set.generation()));
            kept.cloned().unwrap_or_else(|| make(set.generation()))
        };
        Serving { first: like(&self.first), reserve: self.reserve.as_ref().map(like) }
    }

    /// The instances to call now; none: nobody is left. One relaxed load while all is well.
    pub fn current(&self) -> Option<&Arc<InstanceSet<I>>> {
        if !self.first.generation().is_quarantined() {
            return Some(&self.first);
        }
        self.reserve.as_ref().filter(|reserve| !reserve.generation().is_quarantined())
    }

    /// The generation that serves, or that served last.
    pub fn generation(&self) -> &Arc<Generation> {
        self.current().unwrap_or(&self.first).generation()
    }

    /// The instances of this generation, if they are here.
    pub fn of(&self, generation: &Arc<Generation>) -> Option<&Arc<InstanceSet<I>>> {
        let mut all = [Some(&self.first), self.reserve.as_ref()].into_iter().flatten();
        all.find(|set| Arc::ptr_eq(set.generation(), generation))
    }

    /// Whether the same instances serve in the other one.
    pub fn goes_on_in(&self, other: &Serving<I>) -> bool {
        self.current().zip(other.current()).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// A worker is done with this instance, and nothing is wrong with it: it waits, warm, for its generation to come back.
    pub fn put_back(&self, worker: usize, generation: &Arc<Generation>, instance: I) {
        if let Some(set) = self.of(generation) {
            set.put_back(worker, instance);
        }
    }
}

impl<I> std::fmt::Debug for Serving<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reserve = self.reserve.as_ref().map(|reserve| &reserve.generation);
        f.debug_struct("Serving").field("first", &self.first.generation).field("reserve", &reserve).finish()
    }
}
