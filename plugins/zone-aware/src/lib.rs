//! The zone that this process runs in serves its own clients as far as it has capacity for them; what it lacks goes to the
//! zones that have some to spare. Each request narrows to a zone.

#[cfg(test)]
mod tests;

use pointsman_sdk::{Weighted, prelude::*};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The share of all clients that come to each zone; those left out share the rest evenly.
    #[serde(default)]
    shares: BTreeMap<String, f64>,
    /// With fewer ready backends all zones are one.
    #[serde(default = "usual_least")]
    min_backends: u32,
    /// The zone that counts as the local one; none: the process's own.
    zone: Option<String>,
}

fn usual_least() -> u32 {
    6
}

/// How many zones a host takes as subsets.
const ZONES_MOST: usize = 64;
/// Shares of the requests are drawn in this many parts.
const PARTS: f64 = 1_000_000.0;

struct ZoneAware {
    settings: Settings,
    /// Draws one of the zones.
    drawn: Weighted,
    zones: Vec<Subset>,
}

#[derive(Default)]
struct Zone {
    members: Vec<Position>,
    weights: Vec<u32>,
    capacity: f64,
}

impl ZoneAware {
    /// The clients that come to a zone, as a share of all.
    fn demand(&self, zone: &str, zones: &BTreeMap<&str, Zone>) -> f64 {
        let said = |zone: &str| self.settings.shares.get(zone).copied();
        let silent = zones.keys().filter(|zone| said(zone).is_none()).count().max(1);
        let rest = (1.0 - zones.keys().filter_map(|zone| said(zone)).sum::<f64>()).max(0.0);
        said(zone).unwrap_or(rest / silent as f64)
    }
}

impl Balancer for ZoneAware {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let sum: f64 = settings.shares.values().sum();
        if settings.shares.values().any(|share| !(0.0..=1.0).contains(share)) || sum > 1.000_001 {
            return Err("shares must be 0 to 1 each, and 1 or less together".into());
        }
        Ok(ZoneAware { settings, drawn: Weighted::default(), zones: Vec::new() })
    }

    fn update(&mut self, pool: &Pool) {
        self.zones.clear();
        self.drawn = Weighted::default();
        let mut zones = BTreeMap::<&str, Zone>::new();
        for (backend, at) in pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0) {
            let zone = zones.entry(&backend.zone).or_default();
            zone.members.push(at);
            zone.weights.push(backend.weight);
            zone.capacity += f64::from(backend.weight);
        }
        let here = self.settings.zone.as_deref().unwrap_or(&pool.place().zone);
        let few = pool.len() < self.settings.min_backends;
        if few || here.is_empty() || !zones.contains_key(here) || zones.len() > ZONES_MOST {
            return;
        }
        let total: f64 = zones.values().map(|zone| zone.capacity).sum();
        let capacity = |zone: &str| zones[zone].capacity / total;
        let local = match self.demand(here, &zones) {
            demand if demand > 0.0 => f64::min(1.0, capacity(here) / demand),
            _ => 1.0,
        };
        // What a zone can take beyond its own clients.
        let spare = |zone: &str| if zone == here { 0.0 } else { (capacity(zone) - self.demand(zone, &zones)).max(0.0) };
        let spares: f64 = zones.keys().map(|zone| spare(zone)).sum();
        let others = 1.0 - capacity(here);
        let share = |zone: &str| match zone == here {
            true => local,
            false if spares > 0.0 => (1.0 - local) * spare(zone) / spares,
            false => (1.0 - local) * capacity(zone) / others,
        };
        self.drawn = Weighted::new(zones.keys().map(|zone| (share(zone) * PARTS) as u32));
        self.zones = zones.values().map(|zone| subsets::define(&zone.members, &zone.weights)).collect();
    }

    fn pick(&mut self, turn: &Turn, _: &Pool) -> Decision {
        // A retry is for another zone, should this one be in trouble: who comes next sees all of them.
        if turn.attempt > 0 {
            return Decision::Pass;
        }
        let zone = self.drawn.draw(turn.draw(0)).and_then(|at| self.zones.get(at as usize));
        zone.map_or(Decision::Pass, |zone| Decision::Narrow(*zone))
    }
}

balancer!(ZoneAware: about);
