//! Who of a pool may be chosen now, in the order in which a plugin is told.

use crate::{
    figures::Standing,
    plugin::{Member, Membership},
    upstream::{Backend, Pool},
};
use std::sync::Arc;

/// A pool's membership as one instance was told of it: what its positions mean.
#[derive(Debug)]
pub(super) struct Roster {
    /// The pool's version when it was drawn up.
    pub version: u64,
    /// Backends by position: first those that may be chosen, then the others.
    pub backends: Vec<Arc<Backend>>,
    /// How many may be chosen.
    pub ready: usize,
}

/// What the link before has narrowed to.
#[derive(Debug)]
pub(super) struct Part {
    /// Another one for each part that the link has made.
    pub number: u64,
    /// With weights of their own.
    pub members: Vec<(Arc<Backend>, u32)>,
}

/// Draws up who may be chosen: of the pool, or of a part of it.
pub(super) fn draw_up(pool: &Pool, part: Option<&Part>) -> (Roster, Membership) {
    match part {
        None => draw_up_all(pool),
        Some(part) => draw_up_part(pool, part),
    }
}

/// The ready backends. Those that would be, but are not needed, stand by.
fn draw_up_all(pool: &Pool) -> (Roster, Membership) {
    // Before the standings: a change in between is seen next time.
    let version = pool.version();
    let standings = pool.backends.iter().map(|backend| (backend, backend.standing()));
    let (ready, others): (Vec<_>, Vec<_>) = standings.partition(|(_, standing)| *standing == Standing::Ready);
    let members = |list: &[(&Arc<Backend>, Standing)]| list.iter().map(|(b, s)| member(b, *s)).collect();
    let (reports, probes) = (pool.reports.clone(), pool.probes.clone());
    let membership = Membership { ready: members(&ready), others: members(&others), reports, probes };
    let backends = ready.iter().chain(&others).map(|(b, _)| Arc::clone(b)).collect();
    (Roster { version, backends, ready: ready.len() }, membership)
}

/// All of it is ready, for who narrowed was told so; it is told anew when one is not, and defines the part anew.
fn draw_up_part(pool: &Pool, part: &Part) -> (Roster, Membership) {
    let ready = part.members.iter().map(|(b, weight)| Member { weight: *weight, ..member(b, Standing::Ready) });
    let (reports, probes) = (pool.reports.clone(), pool.probes.clone());
    let membership = Membership { ready: ready.collect(), others: Vec::new(), reports, probes };
    let backends: Vec<_> = part.members.iter().map(|(backend, _)| backend.clone()).collect();
    (Roster { version: part.number, ready: backends.len(), backends }, membership)
}

fn member(backend: &Backend, standing: Standing) -> Member {
    Member {
        id: backend.id,
        name: backend.name.clone(),
        address: backend.address.clone(),
        weight: backend.weight(),
        priority: backend.priority,
        zone: backend.zone.clone(),
        standing,
        metadata: backend.metadata.clone(),
        figures: backend.figures.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::pool;

    #[test]
    fn who_is_not_needed_stands_by() {
        let pool = pool(&[(1, 0), (9, 0), (1, 1), (1, 2)]);
        pool.stands(&pool.backends[0], Standing::Unhealthy, "refused");
        let (roster, membership) = draw_up(&pool, None);
        assert_eq!(roster.ready, 1);
        let names = |members: &[Member]| members.iter().map(|m| (m.name.to_string(), m.standing)).collect::<Vec<_>>();
        assert_eq!(names(&membership.ready), [("b1".into(), Standing::Ready)]);
        let others = [("b0", Standing::Unhealthy), ("b2", Standing::Standby), ("b3", Standing::Standby)];
        assert_eq!(names(&membership.others), others.map(|(n, s)| (n.to_owned(), s)));
        let order: Vec<&str> = roster.backends.iter().map(|b| &*b.name).collect();
        assert_eq!(order, ["b1", "b0", "b2", "b3"], "positions number the ready first");
    }

    #[test]
    fn a_change_of_standing_makes_a_roster_old() {
        let pool = pool(&[(1, 0)]);
        let (roster, _) = draw_up(&pool, None);
        assert_eq!(roster.version, pool.version());
        pool.stands(&pool.backends[0], Standing::Unhealthy, "refused");
        assert_ne!(roster.version, pool.version());
    }
}
