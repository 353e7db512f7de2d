//! What the tests of this room share.

use crate::{
    config::model,
    figures::{Figures, Standing},
    upstream::Pool,
};
use std::sync::Arc;

/// A pool of ready backends `b0`, `b1`, … with these weights and priorities.
pub(super) fn pool(backends: &[(u32, u32)]) -> Arc<Pool> {
    let backend = |(number, &(weight, priority)): (u16, &(u32, u32))| model::Backend {
        name: format!("b{number}"),
        address: ([127, 0, 0, 1], 9000 + number).into(),
        weight,
        priority,
        zone: String::new(),
        metadata: Vec::new(),
    };
    let config = model::Pool {
        name: "test".into(),
        backends: (0..).zip(backends).map(backend).collect(),
        balancer: model::BalancerChoice::Named("round-robin".into()),
        settings: "{}".into(),
        spot: None,
        fallback: model::Fallback::RoundRobin,
        hash: None,
        health: model::Health::default(),
        timeout: model::PoolTimeout::default(),
    };
    let pool = Pool::new(&config, &Figures::default());
    for backend in &pool.backends {
        pool.stands(backend, Standing::Ready, "said the test");
    }
    pool
}
