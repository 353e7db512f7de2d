//! Who wants which plugin for what: the configuration as the applier needs it.

use super::{FilterLink, RouteEntry};
use crate::{
    balance::Assignment,
    config::model::{BalancerChoice, Config},
    figures::Figures,
    plugin::{Kind, Use},
    problem::{Problem, Spot},
    route::Table,
    upstream::Pool,
};
use std::sync::Arc;

/// The part of a snapshot that comes from the configuration alone.
#[derive(Debug)]
pub struct Plan {
    /// In the configuration's order.
    pub pools: Vec<PoolPlan>,
    /// Each (plugin, settings) once.
    pub filters: Vec<FilterPlan>,
    pub(super) table: Arc<Table>,
    pub(super) routes: Arc<[RouteEntry]>,
}

/// A pool and what is wanted for it.
#[derive(Debug)]
pub struct PoolPlan {
    /// Whose backends are chosen.
    pub pool: Arc<Pool>,
    /// Which plugin chooses.
    pub choice: BalancerChoice,
    /// One JSON object.
    pub settings: Arc<str>,
    /// Where that is written.
    pub spot: Option<Spot>,
}

/// A filter with its settings.
#[derive(Debug)]
pub struct FilterPlan {
    /// Its name.
    pub plugin: Arc<str>,
    /// One JSON object.
    pub settings: Arc<str>,
    /// Where that is written.
    pub spot: Option<Spot>,
}

/// A plugin that the configuration names.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: Arc<str>,
    /// What it is to be.
    pub kind: Kind,
    /// Whose it is, in words: `pool cart`, `a route`.
    pub user: String,
    /// Where it is named.
    pub spot: Option<Spot>,
}

impl Plan {
    /// Makes the pools and lays out routes and filters.
    ///
    /// # Errors
    /// Everything that is wrong with the files that pools need.
    pub fn new(config: &Config, figures: &Figures) -> Result<Plan, Vec<Problem>> {
        let (mut pools, mut problems) = (Vec::new(), Vec::new());
        for pool in &config.pools {
            match Pool::new(pool, figures) {
                Ok(made) => pools.push(PoolPlan {
                    pool: made,
                    choice: pool.balancer.clone(),
                    settings: pool.settings.as_str().into(),
                    spot: pool.spot.clone(),
                }),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut filters: Vec<FilterPlan> = Vec::new();
        let routes = config.routes.iter().map(|route| {
            let links = route.filters.iter().map(|wanted| {
                let known = filters.iter().position(|f| *f.plugin == *wanted.plugin && *f.settings == *wanted.settings);
                let filter = known.unwrap_or_else(|| {
                    filters.push(FilterPlan {
                        plugin: wanted.plugin.as_str().into(),
                        settings: wanted.settings.as_str().into(),
                        spot: wanted.spot.clone(),
                    });
                    filters.len() - 1
                });
                FilterLink { filter, on_fault: wanted.on_fault }
            });
            RouteEntry { pool: route.pool, filters: links.collect() }
        });
        let routes = routes.collect();
        Ok(Plan { pools, table: Arc::new(Table::new(&config.routes)), routes, filters })
    }

    /// Every plugin that is named, once.
    pub fn wanted(&self) -> Vec<Wanted> {
        let balancers = self.pools.iter().map(|p| {
            let (BalancerChoice::Named(name) | BalancerChoice::Newest { until_then: name }) = &p.choice;
            Wanted {
                name: name.as_str().into(),
                kind: Kind::Balancer,
                user: format!("pool {}", p.pool.name),
                spot: p.spot.clone(),
            }
        });
        let filters = self.filters.iter().map(|f| Wanted {
            name: f.plugin.clone(),
            kind: Kind::Filter,
            user: "a route's filters".into(),
            spot: f.spot.clone(),
        });
        let mut all: Vec<Wanted> = Vec::new();
        for wanted in balancers.chain(filters) {
            if !all.iter().any(|w| w.name == wanted.name) {
                all.push(wanted);
            }
        }
        all
    }

    /// What a plugin of this name is to be; none when nothing names it.
    pub(super) fn kind_of(&self, name: &str) -> Option<Kind> {
        self.wanted().into_iter().find(|w| *w.name == *name).map(|w| w.kind)
    }

    /// The pools that a balancer of this name chooses for.
    pub(super) fn pools_of(&self, name: &str) -> Vec<usize> {
        let takes = |p: &PoolPlan| match &p.choice {
            BalancerChoice::Named(named) => named == name,
            BalancerChoice::Newest { .. } => true,
        };
        (0..self.pools.len()).filter(|&i| self.pools.get(i).is_some_and(takes)).collect()
    }

    /// The filters of this name.
    pub(super) fn filters_of(&self, name: &str) -> Vec<usize> {
        (0..self.filters.len()).filter(|&i| self.filters.get(i).is_some_and(|f| *f.plugin == *name)).collect()
    }

    /// What a plugin of this name and kind is tried with before it serves.
    pub fn uses(&self, name: &str, kind: Kind) -> Vec<Use> {
        match kind {
            Kind::Balancer => {
                self.pools_of(name).iter().filter_map(|&i| self.pools.get(i)).map(PoolPlan::dry).collect()
            }
            Kind::Filter => {
                self.filters_of(name).iter().filter_map(|&i| self.filters.get(i)).map(FilterPlan::dry).collect()
            }
        }
    }
}

impl PoolPlan {
    fn dry(&self) -> Use {
        Use {
            pool: self.pool.name.clone(),
            settings: self.settings.clone(),
            membership: Assignment::membership(&self.pool),
            spot: self.spot.clone(),
        }
    }
}

impl FilterPlan {
    fn dry(&self) -> Use {
        Use {
            pool: "".into(),
            settings: self.settings.clone(),
            membership: Default::default(),
            spot: self.spot.clone(),
        }
    }
}
