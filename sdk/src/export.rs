//! What the export macros stand on: a plugin's memory between two calls of the host.

use crate::{
    Backend, Balancer, Decision, Feedback, Filter, HandOver, Outcomes, Place, Pool, ProbeAnswers, Prober, Ticker, Turn,
    settings,
};
use std::cell::Cell;

pub use crate::about::describe;

/// The one value of a component, kept from `configure` on. It is never dropped, since an instance ends with its whole
/// memory; and so the thread-local that holds it needs no destructor, whose check every call would pay for.
pub struct Kept<T: 'static>(Cell<Option<&'static mut T>>);

impl<T> Kept<T> {
    /// Before `configure`.
    pub const fn empty() -> Kept<T> {
        Kept(Cell::new(None))
    }

    /// From now on.
    pub fn keep(&self, value: T) {
        self.0.set(Some(Box::leak(Box::new(value))));
    }

    /// Lends it for one call.
    pub fn lend<R>(&self, call: &str, act: impl FnOnce(&mut T) -> R) -> R {
        let Some(value) = self.0.take() else { panic!("the host called `{call}` before `configure`") };
        let answer = act(value);
        self.0.set(Some(value));
        answer
    }
}

/// A balancer with the pool that its latest update described.
pub struct Pooled<B> {
    balancer: B,
    pool: Pool,
}

impl<B: Balancer> Pooled<B> {
    /// A balancer of these settings, over an empty pool.
    pub fn configure(settings: &str, place: Place) -> Result<Self, String> {
        let balancer = B::new(settings::parse(settings)?, &place)?;
        Ok(Pooled { balancer, pool: Pool::empty(place) })
    }

    /// The pool is as these lists say.
    pub fn update(&mut self, backends: Vec<Backend>, others: Vec<Backend>) {
        self.pool.fill(backends, others);
        self.balancer.update(&self.pool);
    }

    /// The algorithm's choice.
    pub fn pick(&mut self, turn: &Turn) -> Decision {
        if self.pool.is_empty() { Decision::Pass } else { self.balancer.pick(turn, &self.pool) }
    }
}

impl<B: Ticker> Pooled<B> {
    /// How often to tick.
    pub fn period_ms(&self) -> u32 {
        self.balancer.period_ms()
    }

    /// Work on a schedule.
    pub fn tick(&mut self, now_us: u64) {
        self.balancer.tick(now_us, &self.pool);
    }
}

impl<B: Feedback> Pooled<B> {
    /// What became of its decisions.
    pub fn observe(&mut self, now_us: u64, outcomes: &Outcomes) {
        self.balancer.observe(now_us, outcomes, &self.pool);
    }
}

impl<B: Prober> Pooled<B> {
    /// What backends said of themselves.
    pub fn probed(&mut self, now_us: u64, answers: &ProbeAnswers) {
        self.balancer.probed(now_us, answers, &self.pool);
    }
}

impl<B: HandOver> Pooled<B> {
    /// What its state's bytes mean.
    pub fn schema(&self) -> u32 {
        B::SCHEMA
    }

    /// What it knows.
    pub fn save(&mut self) -> Vec<u8> {
        self.balancer.save(&self.pool)
    }

    /// What its predecessor knew.
    pub fn restore(&mut self, schema: u32, parts: &[Vec<u8>]) -> Result<(), String> {
        self.balancer.restore(schema, parts, &self.pool)
    }
}

/// A filter of these settings.
pub fn filter<F: Filter>(settings: &str, place: &Place) -> Result<F, String> {
    F::new(settings::parse(settings)?, place)
}
