//! Priority tiers chosen by the plugin: each request goes to the first tier that has health for it, and narrows to that.

use pointsman_sdk::{Weighted, prelude::*};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How much more than its share a tier may be given before it counts as short of backends.
    #[serde(default = "usual_overprovisioning")]
    overprovisioning: f64,
}

fn usual_overprovisioning() -> f64 {
    1.4
}

/// How many tiers a host takes as subsets.
const TIERS_MOST: usize = 64;
/// Shares of the load are drawn in this many parts.
const PARTS: f64 = 1_000_000.0;

struct Failover {
    overprovisioning: f64,
    /// Draws one of the tiers.
    drawn: Weighted,
    tiers: Vec<Subset>,
}

/// Of one priority.
#[derive(Default)]
struct Tier {
    ready: Vec<Position>,
    weights: Vec<u32>,
    /// Of all that belong to it.
    total: u64,
}

impl Balancer for Failover {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        match settings.overprovisioning {
            overprovisioning @ 1.0..=100.0 => {
                Ok(Failover { overprovisioning, drawn: Weighted::default(), tiers: Vec::new() })
            }
            other => Err(format!("overprovisioning must be 1 to 100, not {other}")),
        }
    }

    fn update(&mut self, pool: &Pool) {
        let mut tiers = BTreeMap::<u32, Tier>::new();
        for (backend, at) in pool.ready().iter().chain(pool.others()).zip(0..) {
            let tier = tiers.entry(backend.priority).or_default();
            tier.total += u64::from(backend.weight);
            if backend.standing == Standing::Ready && backend.weight > 0 {
                tier.ready.push(at);
                tier.weights.push(backend.weight);
            }
        }
        // Where all of them together have too little health for the load, each carries more in proportion.
        let (mut left, mut shares) = (1.0, Vec::new());
        self.tiers.clear();
        for tier in tiers.values().filter(|tier| !tier.ready.is_empty()).take(TIERS_MOST) {
            let ready: u64 = tier.weights.iter().copied().map(u64::from).sum();
            let share = f64::min(left, self.overprovisioning * ready as f64 / tier.total as f64);
            left -= share;
            shares.push((share * PARTS) as u32);
            self.tiers.push(subsets::define(&tier.ready, &tier.weights));
        }
        self.drawn = Weighted::new(shares);
    }

    fn pick(&mut self, turn: &Turn, _: &Pool) -> Decision {
        let tier = self.drawn.draw(turn.draw(0)).and_then(|at| self.tiers.get(at as usize));
        tier.map_or(Decision::Pass, |tier| Decision::Narrow(*tier))
    }
}

balancer!(Failover: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::{behaves, testing::Bench};

    behaves!(Failover, "{}", "", |at, backend| backend.priority = at as u32 % 3);

    /// In the order of the list, each with its tier; those from `ill` on are ill.
    fn bench(settings: &str, tiers: &'static [u32], ill: usize) -> Bench<Failover> {
        let of_tier = |at: usize, backend: &mut Backend| backend.priority = tiers[at];
        let mut bench = Bench::among(settings, "", &vec![1; tiers.len()], of_tier).unwrap();
        bench.update(ill, Standing::Unhealthy);
        bench
    }

    /// Of 100 000 requests.
    fn shares<const TIERS: usize>(bench: &mut Bench<Failover>) -> [u32; TIERS] {
        let mut counts = [0; TIERS];
        for _ in 0..100_000 {
            match bench.pick() {
                Decision::Narrow(tier) => counts[tier as usize] += 1,
                other => panic!("{other:?}"),
            }
        }
        counts
    }

    fn near<const TIERS: usize>(found: [u32; TIERS], expected: [u32; TIERS]) {
        assert!(found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 800), "{found:?}");
    }

    #[test]
    fn the_first_tier_carries_all_while_it_is_well() {
        assert_eq!(shares(&mut bench("{}", &[0, 0, 0, 0, 1, 1, 1, 1], 8)), [100_000, 0]);
        // Three of four ready are 105 %.
        assert_eq!(shares(&mut bench("{}", &[0, 0, 0, 1, 1, 1, 1, 0], 7)), [100_000, 0]);
    }

    #[test]
    fn later_tiers_carry_what_earlier_ones_lack() {
        // Two of four ready are 70 %.
        near(shares(&mut bench("{}", &[0, 0, 1, 1, 1, 1, 0, 0], 6)), [70_000, 30_000]);
        near(shares(&mut bench(r#"{"overprovisioning": 1}"#, &[0, 0, 1, 1, 1, 1, 0, 0], 6)), [50_000, 50_000]);
        // One of four is 35 %; of the rest the second tier takes its 35 %, and the third what is left.
        near(shares(&mut bench("{}", &[0, 1, 2, 2, 0, 0, 0, 1, 1, 1], 4)), [35_000, 35_000, 30_000]);
    }

    #[test]
    fn when_all_have_too_little_each_carries_more() {
        // 28 % and 14 %.
        near(shares(&mut bench("{}", &[0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2)), [66_667, 33_333]);
    }

    #[test]
    fn a_tier_where_nobody_is_well_is_none() {
        assert_eq!(shares(&mut bench("{}", &[1, 1, 0, 0], 2)), [100_000]);
        assert_eq!(bench("{}", &[0, 1], 0).pick(), Decision::Pass);
    }

    #[test]
    fn settings_are_checked() {
        for wrong in ["0.5", "101"] {
            assert!(Bench::<Failover>::with(&format!(r#"{{"overprovisioning": {wrong}}}"#), &[1], 1).is_err());
        }
    }
}
