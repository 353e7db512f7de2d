//! Who wants which plugin for what: the configuration as the applier needs it.

use super::{FilterLink, Policies, Policy, RouteEntry};
use crate::{
    balance::Assignment,
    config::model::{self, BalancerChoice, Config},
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
    /// What is wrong with files of pools that go on with what was read of them before.
    pub stale: Vec<Problem>,
    pub(super) table: Arc<Table>,
    pub(super) routes: Arc<[RouteEntry]>,
    pub(super) policies: Policies,
}

/// What the connections of a listener call it, and what holds for requests on them.
pub type Numbered = (usize, Arc<Policy>);

/// A pool and what is wanted for it.
#[derive(Debug)]
pub struct PoolPlan {
    /// Whose backends are chosen.
    pub pool: Arc<Pool>,
    /// What it was made of.
    config: model::Pool,
    /// Which plugin chooses.
    pub choice: BalancerChoice,
    /// One JSON object.
    pub settings: Arc<str>,
    /// Where that is written.
    pub spot: Option<Spot>,
    /// The balancers behind it, in order.
    then: Vec<model::Link>,
}

/// One balancer of a pool.
pub(super) struct LinkPlan<'a> {
    /// Its place in the chain.
    pub(super) at: usize,
    /// Its name.
    pub(super) plugin: &'a str,
    /// One JSON object.
    pub(super) settings: &'a str,
    spot: &'a Option<Spot>,
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
    /// Makes the pools and lays out routes and filters. `listeners` in the order of the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with the files that pools need.
    pub fn new(config: &Config, listeners: &[Numbered], figures: &Figures) -> Result<Plan, Vec<Problem>> {
        Plan::with(config, listeners, |pool| Ok((Pool::new(pool, figures)?, Vec::new())))
    }

    /// The plan that takes this one's place. Pools of the same name and configuration stay the same; others of the same
    /// name keep the backends that stay.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn successor(&self, config: &Config, listeners: &[Numbered], figures: &Figures) -> Result<Plan, Vec<Problem>> {
        Plan::with(config, listeners, |pool| match self.pool(&pool.name) {
            Some(before) => before.pool.successor(&before.config, pool, figures),
            None => Ok((Pool::new(pool, figures)?, Vec::new())),
        })
    }

    fn with(
        config: &Config,
        listeners: &[Numbered],
        make: impl Fn(&model::Pool) -> Result<(Arc<Pool>, Vec<Problem>), Vec<Problem>>,
    ) -> Result<Plan, Vec<Problem>> {
        let (mut pools, mut stale, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for pool in &config.pools {
            match make(pool) {
                Ok((made, wrong)) => {
                    let serving = format!("pool {} goes on with what was read before", pool.name);
                    stale.extend(wrong.into_iter().map(|problem| problem.serving(serving.as_str())));
                    pools.push(PoolPlan {
                        pool: made,
                        config: pool.clone(),
                        choice: pool.balancer.clone(),
                        settings: pool.settings.as_str().into(),
                        spot: pool.spot.clone(),
                        then: pool.then.clone(),
                    });
                }
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
        let numbered = |route: &model::Route| {
            // A listener without a number takes no connection, and neither does its route.
            let number = |index: usize| listeners.get(index).map_or(usize::MAX, |(number, _)| *number);
            model::Route { listener: route.listener.map(number), ..route.clone() }
        };
        let table = Table::new(&config.routes.iter().map(numbered).collect::<Vec<_>>());
        let mut policies = listeners.to_vec();
        policies.sort_unstable_by_key(|(number, _)| *number);
        Ok(Plan { pools, table: Arc::new(table), routes, filters, stale, policies: policies.into() })
    }

    /// The names of pools that are configured as in `before`, and were made anew all the same, for the files that their TLS
    /// needs are others.
    pub fn renewed<'a>(&'a self, before: &'a Plan) -> impl Iterator<Item = &'a str> {
        let is_renewed = |plan: &&PoolPlan| {
            let old = before.pool(&plan.pool.name);
            old.is_some_and(|old| old.config == plan.config && !Arc::ptr_eq(&old.pool, &plan.pool))
        };
        self.pools.iter().filter(is_renewed).map(|plan| &*plan.pool.name)
    }

    /// The pool of a name.
    pub(super) fn pool(&self, name: &str) -> Option<&PoolPlan> {
        self.pools.get(self.index_of(name)?)
    }

    /// Where the pool of a name stands; they are in the order of their names.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.pools.binary_search_by(|plan| (*plan.pool.name).cmp(name)).ok()
    }

    /// Where the filter with these settings stands.
    pub(super) fn index_of_filter(&self, wanted: &FilterPlan) -> Option<usize> {
        self.filters.iter().position(|filter| filter.plugin == wanted.plugin && filter.settings == wanted.settings)
    }

    /// Every plugin that is named, once.
    pub fn wanted(&self) -> Vec<Wanted> {
        let balancers = self.pools.iter().flat_map(|plan| plan.links().map(|link| plan.wanted(&link)));
        let filters = self.filters.iter().map(FilterPlan::wanted);
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
            BalancerChoice::Named(_) => p.links().any(|link| link.plugin == name),
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
                let pools = self.pools_of(name);
                let pools = pools.iter().filter_map(|&i| self.pools.get(i));
                pools.flat_map(|plan| plan.links_of(name).map(|link| plan.dry(&link))).collect()
            }
            Kind::Filter => {
                self.filters_of(name).iter().filter_map(|&i| self.filters.get(i)).map(FilterPlan::dry).collect()
            }
        }
    }
}

impl PoolPlan {
    /// Its balancers, in order.
    pub(super) fn links(&self) -> impl Iterator<Item = LinkPlan<'_>> {
        let (BalancerChoice::Named(name) | BalancerChoice::Newest { until_then: name }) = &self.choice;
        let first = LinkPlan { at: 0, plugin: name, settings: &self.settings, spot: &self.spot };
        let then = self.then.iter().enumerate().map(|(at, link)| LinkPlan {
            at: at + 1,
            plugin: &link.plugin,
            settings: &link.settings,
            spot: &link.spot,
        });
        std::iter::once(first).chain(then)
    }

    /// Those of its balancers that a plugin of this name is to be.
    pub(super) fn links_of(&self, name: &str) -> impl Iterator<Item = LinkPlan<'_>> {
        let is_newest = matches!(self.choice, BalancerChoice::Newest { .. });
        self.links().filter(move |link| is_newest || link.plugin == name)
    }

    /// What is wanted to choose for it.
    pub(super) fn wanted(&self, link: &LinkPlan<'_>) -> Wanted {
        Wanted {
            name: link.plugin.into(),
            kind: Kind::Balancer,
            user: format!("pool {}", self.pool.name),
            spot: link.spot.clone(),
        }
    }

    /// Whether the same is wanted for another pool.
    pub(super) fn wants_the_same(&self, other: &PoolPlan) -> bool {
        self.choice == other.choice && self.settings == other.settings && self.then == other.then
    }

    fn dry(&self, link: &LinkPlan<'_>) -> Use {
        Use {
            pool: self.pool.name.clone(),
            settings: link.settings.into(),
            membership: Assignment::membership(&self.pool),
            spot: link.spot.clone(),
        }
    }
}

impl FilterPlan {
    /// What is wanted.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            name: self.plugin.clone(),
            kind: Kind::Filter,
            user: "a route's filters".into(),
            spot: self.spot.clone(),
        }
    }

    pub(super) fn dry(&self) -> Use {
        Use {
            pool: "".into(),
            settings: self.settings.clone(),
            membership: Default::default(),
            spot: self.spot.clone(),
        }
    }
}
