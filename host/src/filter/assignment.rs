//! Which generation serves as which filter: the part of a snapshot that this room reads.

use crate::plugin::{Fault, FilterInstance, Generation, InstanceSet, Serving};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A filter with its settings, and the instances that serve it.
#[derive(Debug)]
pub struct Assignment {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// None: no plugin of that name could be admitted.
    pub(super) serving: Option<Arc<Serving<FilterInstance>>>,
}

impl Assignment {
    /// No plugin: every request meets `on_fault`.
    pub fn bare(plugin: Arc<str>) -> Arc<Assignment> {
        Arc::new(Assignment { plugin, serving: None })
    }

    /// Has a generation serve; `reserve`, when it can be built, takes over should that be quarantined. Instances that
    /// `before`, an assignment with the same settings, has of either are kept; others are built, for all workers. Blocking.
    ///
    /// # Errors
    /// The first fault of any instance.
    pub fn new(
        generation: Arc<Generation>,
        reserve: Option<Arc<Generation>>,
        before: Option<&Assignment>,
        settings: &Arc<str>,
        workers: usize,
        side: &Handle,
    ) -> Result<Arc<Assignment>, Fault> {
        let plugin = generation.name().clone();
        let before = before.and_then(|before| before.serving.as_deref());
        let serving = Serving::new(generation, reserve, before, |generation| {
            let (makes, settings) = (generation.clone(), settings.clone());
            let build = move |worker| makes.filter(worker, &settings);
            InstanceSet::fill(generation, workers, side.clone(), build)
        })?;
        Ok(Arc::new(Assignment { plugin, serving: Some(Arc::new(serving)) }))
    }

    /// Whether the same instances serve in the other one.
    pub fn shares_instances(&self, other: &Assignment) -> bool {
        self.serving.as_ref().zip(other.serving.as_ref()).is_some_and(|(a, b)| a.goes_on_in(b))
    }

    /// The generation that serves, or served last, unless there is none.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.serving.as_ref().map(|serving| serving.generation())
    }
}
