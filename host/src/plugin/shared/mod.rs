//! What all instances of a plugin in a pool share, whichever worker they live on. It outlives instances and swaps.

mod cells;
mod counters;
mod kv;
mod meters;
mod rates;
mod table;

pub(super) use cells::{Cells, Row, SLOTS};
pub(super) use counters::{COUNTERS_MAX, Counters};
pub(super) use kv::{Kv, Refusal};
pub(super) use meters::Meters;
pub use meters::{MeterKind, Reading};
pub(super) use rates::Rates;
pub(super) use table::Table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the instances of one plugin in one pool share.
#[derive(Debug, Default)]
pub(super) struct Commons {
    pub(super) counters: Counters,
    pub(super) cells: Arc<Cells>,
    pub(super) table: Arc<Table>,
    pub(super) kv: Arc<Kv>,
    pub(super) rates: Arc<Rates>,
    pub(super) meters: Arc<Meters>,
}

impl Commons {
    /// The same for those that choose in a part of the pool. What is said of backends, keys and clients holds there too;
    /// counters do not: turns that are counted together go to some of each part alone.
    pub(super) fn of_part(&self) -> Arc<Commons> {
        Arc::new(Commons {
            counters: Counters::default(),
            cells: self.cells.clone(),
            table: self.table.clone(),
            kv: self.kv.clone(),
            rates: self.rates.clone(),
            meters: self.meters.clone(),
        })
    }
}

/// The commons of all plugins, by plugin and pool.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<HashMap<Owner, Arc<Commons>>>);

/// A plugin's name and a pool's, or none: what it shares in all of them.
type Owner = (Arc<str>, Option<Arc<str>>);

impl Shared {
    /// What this plugin shares in this pool, or in all of them. Off the request path only.
    pub(super) fn of(&self, plugin: &Arc<str>, pool: Option<&Arc<str>>) -> Arc<Commons> {
        self.lock().entry((plugin.clone(), pool.cloned())).or_default().clone()
    }

    /// What this plugin shares, by pool; it need not have shared anything anywhere.
    pub(super) fn by_pool(&self, plugin: &str) -> Vec<(Arc<str>, Arc<Commons>)> {
        let all = self.lock();
        let of_plugin = all.iter().filter(|((of, _), _)| **of == *plugin);
        of_plugin.filter_map(|((_, pool), commons)| Some((pool.clone()?, commons.clone()))).collect()
    }

    /// Lets go of what this plugin shares in all pools; instances that are left keep theirs.
    pub(super) fn forget(&self, plugin: &str) {
        self.lock().retain(|(of, _), _| **of != *plugin);
    }

    /// Lets go of what was shared in pools that are gone, once no instance has it any more.
    pub(super) fn keep_pools(&self, is_there: impl Fn(&str) -> bool) {
        let stays = |pool: &Option<Arc<str>>| pool.as_ref().is_none_or(|pool| is_there(pool));
        self.lock().retain(|(_, pool), commons| stays(pool) || Arc::strong_count(commons) > 1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Commons>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_kept_apart_by_pool() {
        let shared = Shared::default();
        let (rr, cart, shop): (Arc<str>, Arc<str>, Arc<str>) = ("rr".into(), "cart".into(), "shop".into());
        let one = shared.of(&rr, Some(&cart));
        let handle = one.counters.handle("turns").unwrap();
        assert_eq!(one.counters.add(handle, 3), Some(0));
        let same = shared.of(&rr, Some(&cart));
        assert_eq!(same.counters.handle("turns"), Some(handle));
        assert_eq!(same.counters.load(handle), Some(3));
        assert_eq!(shared.of(&rr, Some(&shop)).counters.load(handle), None, "another pool has not asked yet");
    }

    #[test]
    fn what_was_shared_in_a_pool_goes_with_it() {
        let shared = Shared::default();
        let (rr, cart, shop): (Arc<str>, Arc<str>, Arc<str>) = ("rr".into(), "cart".into(), "shop".into());
        let held = shared.of(&rr, Some(&cart));
        for of in [Some(&shop), None] {
            shared.of(&rr, of).counters.handle("turns").unwrap();
        }
        let pools = || {
            let mut pools: Vec<_> = shared.by_pool("rr").into_iter().map(|(pool, _)| pool).collect();
            pools.sort();
            pools
        };
        shared.keep_pools(|_| true);
        assert_eq!(pools(), [cart.clone(), shop]);
        shared.keep_pools(|_| false);
        assert_eq!(pools(), [cart], "an instance has it still");
        drop(held);
        shared.keep_pools(|_| false);
        assert!(pools().is_empty());
        assert_eq!(shared.of(&rr, None).counters.load(0), Some(0), "the plugin's own is not of a pool");
    }
}
