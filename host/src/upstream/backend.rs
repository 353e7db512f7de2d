//! One address of a pool: who it is, and how it stands now.

use crate::{
    config::model,
    figures::{BackendFigures, Figures, Standing},
    net::Address,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering::Relaxed},
};
use xxhash_rust::xxh64::xxh64;

/// One address of a pool, with what all workers share about it.
#[derive(Debug)]
pub struct Backend {
    /// See [`backend_id`].
    pub id: u64,
    /// Index among the pool's backends, in the order of the configuration.
    pub index: usize,
    /// As configured; the address when no name was given.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// 0 takes no new work.
    pub weight: u32,
    /// Tier, 0 first.
    pub priority: u32,
    /// Empty when none was configured.
    pub zone: Arc<str>,
    /// In the order of the file.
    pub metadata: Arc<[(String, String)]>,
    /// Live figures; they outlive this record.
    pub figures: Arc<BackendFigures>,
    standing: AtomicU8,
    last_check: Mutex<String>,
}

/// A backend's stable id: a pure function of the pool's name and the backend's, so every worker, process and restart
/// agrees on it.
pub fn backend_id(pool: &str, backend: &str) -> u64 {
    // The zero byte keeps ("a", "bc") and ("ab", "c") apart; no name holds one.
    xxh64(format!("{pool}\0{backend}").as_bytes(), 0)
}

impl Backend {
    pub(super) fn new(pool: &str, index: usize, config: &model::Backend, figures: &Figures) -> Backend {
        let id = backend_id(pool, &config.name);
        Backend {
            id,
            index,
            name: config.name.as_str().into(),
            address: config.address.clone(),
            weight: config.weight,
            priority: config.priority,
            zone: config.zone.as_str().into(),
            metadata: config.metadata.clone().into(),
            figures: figures.of(id),
            standing: AtomicU8::new(Standing::Warming as u8),
            last_check: Mutex::new("not checked yet".into()),
        }
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        Standing::from_number(self.standing.load(Relaxed))
    }

    /// Whether a request may be sent there.
    pub fn is_ready(&self) -> bool {
        self.standing() == Standing::Ready
    }

    /// What the last health check said, for people.
    pub fn last_check(&self) -> String {
        self.last_check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the standing and says why; true when it changed. Off the request path only.
    pub(super) fn stands(&self, standing: Standing, why: String) -> bool {
        *self.last_check.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.standing.swap(standing as u8, Relaxed) != standing as u8
    }
}
