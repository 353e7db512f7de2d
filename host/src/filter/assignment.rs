//! Which generation serves as which filter: the part of a snapshot that this room reads.

use crate::plugin::{Fault, FilterInstance, Generation, InstanceSet};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A filter with its settings, and the instances that serve it.
#[derive(Debug)]
pub struct Assignment {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// None: no plugin of that name could be admitted.
    pub(super) instances: Option<Arc<InstanceSet<FilterInstance>>>,
}

impl Assignment {
    /// No plugin: every request meets `on_fault`.
    pub fn bare(plugin: Arc<str>) -> Arc<Assignment> {
        Arc::new(Assignment { plugin, instances: None })
    }

    /// Builds the instances of all workers. Blocking.
    ///
    /// # Errors
    /// The first fault of any of them.
    pub fn new(
        generation: Arc<Generation>,
        settings: Arc<str>,
        workers: usize,
        side: Handle,
    ) -> Result<Arc<Assignment>, Fault> {
        let plugin = generation.name().clone();
        let build = {
            let generation = generation.clone();
            move |worker| generation.filter(worker, &settings)
        };
        let instances = Some(InstanceSet::fill(generation, workers, side, build)?);
        Ok(Arc::new(Assignment { plugin, instances }))
    }

    /// The generation that serves, unless there is none.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.instances.as_ref().map(|i| i.generation())
    }
}
