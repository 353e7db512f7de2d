//! Who of a pool is offered to its balancer: the ready backends of the first tier, and as many of later ones as the first
//! lacks; in a panic everybody. Pure: from how each backend would stand alone follows how it stands among the others.

use crate::figures::Standing;

/// How much more than its share a tier may be given before it counts as short of backends: Envoy's overprovisioning
/// factor. A tier with 72 % of its weight ready carries everything.
const OVERPROVISIONED: f64 = 1.4;
/// Less weight than this is wanted by rounding only.
const NEGLIGIBLE: f64 = 1e-6;

/// One backend, as it is alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Single {
    pub(super) standing: Standing,
    pub(super) weight: u32,
    /// Its tier.
    pub(super) priority: u32,
}

/// How all stand together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lineup {
    /// In the order of the backends.
    pub(super) standings: Vec<Standing>,
    /// So few are ready that health says nothing any more: all are offered.
    pub(super) panic: bool,
}

/// One tier and the share of the load that it is to carry.
#[derive(Debug)]
struct Tier {
    priority: u32,
    /// Weights of all, and of those that are ready.
    total: u64,
    ready: u64,
    load: f64,
}

/// Draws it up. `panic` is the share of ready backends, in per cent, below which all are offered.
pub(super) fn line_up(backends: &[Single], panic: Option<u32>) -> Lineup {
    let tiers = tiers(backends);
    if panic.is_some_and(|least| is_panic(backends, &tiers, least)) {
        let offered = |b: &Single| if b.standing == Standing::Draining { b.standing } else { Standing::Ready };
        return Lineup { standings: backends.iter().map(offered).collect(), panic: true };
    }
    let mut standings: Vec<Standing> = backends.iter().map(|b| b.standing).collect();
    let Some(base) = tiers.iter().find(|tier| tier.load > 0.0) else { return Lineup { standings, panic: false } };
    for tier in tiers.iter().filter(|tier| tier.priority != base.priority) {
        // As much weight as gives each backend of this tier what each of the first one gets.
        let mut wanted = base.ready as f64 * tier.load / base.load;
        let members = standings.iter_mut().zip(backends).filter(|(_, b)| b.priority == tier.priority);
        for (standing, backend) in members.filter(|(standing, _)| **standing == Standing::Ready) {
            if wanted < NEGLIGIBLE {
                *standing = Standing::Standby;
            }
            wanted -= f64::from(backend.weight);
        }
    }
    Lineup { standings, panic: false }
}

/// The tiers in their order, and how the load falls on them: each takes what it has health for, later ones the rest; if
/// all together have too little, each takes more (Envoy, "Priority levels").
fn tiers(backends: &[Single]) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for backend in backends {
        let at = tiers.binary_search_by_key(&backend.priority, |tier| tier.priority).unwrap_or_else(|at| {
            tiers.insert(at, Tier { priority: backend.priority, total: 0, ready: 0, load: 0.0 });
            at
        });
        let tier = &mut tiers[at];
        tier.total += u64::from(backend.weight);
        if backend.standing == Standing::Ready {
            tier.ready += u64::from(backend.weight);
        }
    }
    let mut left = 1.0;
    for tier in &mut tiers {
        tier.load = f64::min(left, tier.health());
        left -= tier.load;
    }
    let carried = 1.0 - left;
    if carried > 0.0 {
        tiers.iter_mut().for_each(|tier| tier.load /= carried);
    }
    tiers
}

/// Whether fewer are ready than `least` per cent of those that could be, and no later tier makes up for them.
fn is_panic(backends: &[Single], tiers: &[Tier], least: u32) -> bool {
    if tiers.len() > 1 && tiers.iter().map(Tier::health).sum::<f64>() >= 1.0 {
        return false;
    }
    let could_be = backends.iter().filter(|b| b.weight > 0 && b.standing != Standing::Draining);
    let (ready, all) =
        could_be.fold((0, 0), |(ready, all), b| (ready + u64::from(b.standing == Standing::Ready), all + 1_u64));
    ready * 100 < all * u64::from(least)
}

impl Tier {
    /// From 0 to 1: the part of the load that it can carry.
    fn health(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::min(1.0, OVERPROVISIONED * self.ready as f64 / self.total as f64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `r`eady, `u`nhealthy, `w`arming, `d`raining, `s`tandby; tiers are apart by a blank.
    fn lined_up(text: &str, panic: Option<u32>) -> (String, bool) {
        let of = |c| match c {
            'r' => Standing::Ready,
            'u' => Standing::Unhealthy,
            'w' => Standing::Warming,
            'd' => Standing::Draining,
            other => panic!("{other}"),
        };
        let tiers = (0..).zip(text.split(' '));
        let backends: Vec<Single> = tiers
            .flat_map(|(priority, tier)| tier.chars().map(move |c| Single { standing: of(c), weight: 1, priority }))
            .collect();
        let lineup = line_up(&backends, panic);
        let mut letters = lineup.standings.iter().map(|s| s.as_str().chars().next().unwrap());
        let told = text.chars().map(|c| match c {
            ' ' => ' ',
            _ => letters.next().unwrap(),
        });
        (told.collect(), lineup.panic)
    }

    #[test]
    fn later_tiers_stand_by_and_step_in_as_far_as_they_are_needed() {
        for (alone, together) in [
            ("rrr", "rrr"),
            ("rrr rrr r", "rrr sss s"),
            // 3 of 4 are 105 %.
            ("rrru rrrr", "rrru ssss"),
            // 5 of 10 are 70 %: 30 % of the load are as much as 3/7 of those five get.
            ("rrrrruuuuu rrrrrrrrrr", "rrrrruuuuu rrrsssssss"),
            // 1 of 4 are 35 %; 65 % would be 1.9 backends.
            ("ruuu rrrr", "ruuu rrss"),
            ("uuuu rrrr rr", "uuuu rrrr ss"),
            // A later tier that is short of backends, too: all of them, and the third.
            ("uuuu ruuu rr", "uuuu ruuu rr"),
            ("uuuu uuuu", "uuuu uuuu"),
            ("wuw rr", "wuw rr"),
            // What drains carries nothing.
            ("ddrr rr", "ddrr rs"),
        ] {
            assert_eq!(lined_up(alone, None), (together.into(), false), "{alone}");
        }
    }

    #[test]
    fn a_backend_of_weight_0_is_ready_and_counts_for_nothing() {
        let single = |weight, priority, standing| Single { standing, weight, priority };
        let ready = Standing::Ready;
        let backends = [single(0, 0, ready), single(5, 1, ready), single(1, 1, Standing::Unhealthy)];
        assert_eq!(line_up(&backends, None).standings, [Standing::Standby, ready, Standing::Unhealthy]);
        let alone = [single(0, 0, ready), single(5, 0, ready)];
        assert_eq!(line_up(&alone, None).standings, [ready, ready]);
    }

    #[test]
    fn in_a_panic_all_are_offered_but_those_that_were_configured_out() {
        for (alone, together, panic) in [
            ("ruud", "rrrd", true),
            ("rruu", "rruu", false),
            ("uuw", "rrr", true),
            ("dd", "dd", false),
            // The second tier can carry everything.
            ("uuuuuuuu rr", "uuuuuuuu rr", false),
            ("uuuu ruuu", "rrrr rrrr", true),
        ] {
            assert_eq!(lined_up(alone, Some(50)), (together.into(), panic), "{alone}");
        }
        assert_eq!(lined_up("uuu", None), ("uuu".into(), false));
    }
}
