//! Between our records and the generated ones.

use super::bindings::pointsman::plugin::types;
use crate::{
    figures::Standing,
    plugin::{Decision, Member, Turn, records::Place},
};

impl From<&Member> for types::Backend {
    fn from(member: &Member) -> types::Backend {
        types::Backend {
            id: member.id,
            name: member.name.as_ref().into(),
            address: member.address.to_string(),
            weight: member.weight,
            priority: member.priority,
            zone: member.zone.as_ref().into(),
            standing: member.standing.into(),
            metadata: member.metadata.to_vec(),
        }
    }
}

impl From<Standing> for types::Standing {
    fn from(standing: Standing) -> types::Standing {
        match standing {
            Standing::Ready => types::Standing::Ready,
            Standing::Warming => types::Standing::Warming,
            Standing::Draining => types::Standing::Draining,
            Standing::Unhealthy => types::Standing::Unhealthy,
            Standing::Standby => types::Standing::Standby,
        }
    }
}

impl From<&Place> for types::Place {
    fn from(place: &Place) -> types::Place {
        types::Place {
            pool: place.pool.as_ref().into(),
            zone: place.zone.as_ref().into(),
            instance: place.instance,
            instances: place.instances,
            generation: place.generation,
            seed: place.seed,
        }
    }
}

impl From<Turn> for types::Turn {
    fn from(turn: Turn) -> types::Turn {
        let Turn { now_us, random, key, attempt, explain } = turn;
        types::Turn { now_us, random, key, attempt, explain }
    }
}

impl From<types::Decision> for Decision {
    fn from(decision: types::Decision) -> Decision {
        match decision {
            types::Decision::Choose(position) => Decision::Choose(position),
            types::Decision::Narrow(subset) => Decision::Narrow(subset),
            types::Decision::Pass => Decision::Pass,
            types::Decision::Reject(status) => Decision::Reject(status),
        }
    }
}
