//! Full scans: who costs the least, where a cost grows with what is under way.

use crate::{Position, SlowStart, Turn};

/// So many are looked at in one step: the lanes of two SIMD registers.
const LANES: usize = 8;

/// What one more request costs on a backend: `base + each × requests under way`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// While nothing is under way.
    pub base: f32,
    /// What each request under way adds.
    pub each: f32,
    /// How much the backend gets where others cost the same; 0: never.
    pub weight: u32,
}

/// The costs of the ready backends, by position. Make them in `update`, or in [`Ticker::tick`](crate::Ticker::tick), and ask
/// in `pick` who costs the least: all are looked at, eight at a time.
///
/// ```
/// use pointsman_sdk::{Cost, Costs, prelude::*, testing::{self, Bench}};
///
/// /// The backend with the fewest requests under way.
/// struct LeastBusy(Costs);
///
/// impl Balancer for LeastBusy {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(LeastBusy(Costs::default()))
///     }
///
///     fn update(&mut self, pool: &Pool) {
///         let cost = |backend: &Backend| Cost { base: 0.0, each: 1.0, weight: backend.weight };
///         self.0 = pool.ready().iter().map(cost).collect();
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         match self.0.least(&figures::all_in_flight(), Costs::EQUAL, turn.draw(0)) {
///             Some(at) => turn.untried(at, pool),
///             None => Decision::Pass,
///         }
///     }
/// }
///
/// # let mut bench = Bench::<LeastBusy>::new(&[1, 1, 1]);
/// testing::host(|host| (host.figures[0].in_flight, host.figures[2].in_flight) = (2, 1));
/// assert_eq!(bench.pick(), Decision::Choose(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Costs(Vec<Eight>);

/// Eight backends, the last of them maybe none: those have no weight, and cost more than anybody.
#[derive(Clone, Copy, Debug)]
struct Eight {
    base: [f32; LANES],
    each: [f32; LANES],
    weights: [f32; LANES],
    /// Of the scan that was last: what it costs, and then its weight, if it was one of the least.
    scanned: [f32; LANES],
}

const NOBODY: Eight =
    Eight { base: [f32::INFINITY; LANES], each: [0.0; LANES], weights: [0.0; LANES], scanned: [0.0; LANES] };

impl FromIterator<Cost> for Costs {
    fn from_iter<I: IntoIterator<Item = Cost>>(costs: I) -> Costs {
        let mut eights = Vec::new();
        for (at, cost) in costs.into_iter().enumerate() {
            let lane = at % LANES;
            if lane == 0 {
                eights.push(NOBODY);
            }
            if let Some(eight) = eights.last_mut().filter(|_| cost.weight > 0) {
                (eight.base[lane], eight.each[lane], eight.weights[lane]) = (cost.base, cost.each, cost.weight as f32);
            }
        }
        Costs(eights)
    }
}

impl Costs {
    /// For [`least`](Self::least): only what costs the same, but for the last bits of a float, is as good as the best.
    pub const EQUAL: f32 = 1.000_001;

    /// Who costs the least by what is under way, by position. All that cost at most `nearly` times as much are as good as
    /// the best, and these random bits draw one of them in proportion to weight. None where nobody has weight.
    pub fn least(&mut self, under_way: &[u32], nearly: f32, random: u64) -> Option<Position> {
        let least = self.scan(under_way);
        if least == f32::INFINITY {
            return None;
        }
        let lanes = self.weigh(least * nearly);
        let all: f32 = lanes.iter().sum();
        let mut point = (random >> 40) as f32 / (1 << 24) as f32 * all;
        // In which lane it falls, and then on whom in it. By the last bits of a float it may be behind all: then it is the last.
        let mut lane = 0;
        for (other, &sum) in lanes.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
            lane = other;
            if point < sum {
                break;
            }
            point -= sum;
        }
        let mut chosen = None;
        for (eight, first) in self.0.iter().zip((0..).step_by(LANES)) {
            let weight = eight.scanned[lane];
            if weight > 0.0 {
                chosen = Some(first + lane as Position);
                if point < weight {
                    break;
                }
                point -= weight;
            }
        }
        chosen
    }

    /// What one more request costs on the backend at a position, with so many under way; infinite where it has no weight.
    pub fn of(&self, at: Position, under_way: u32) -> f32 {
        let (eight, lane) = (at as usize / LANES, at as usize % LANES);
        self.0.get(eight).map_or(f32::INFINITY, |eight| eight.base[lane] + eight.each[lane] * load(under_way))
    }

    /// The same without the backends at these positions.
    pub fn without(&self, tried: &[Position]) -> Costs {
        let mut left = self.clone();
        tried.iter().for_each(|&at| left.change(at, |eight, lane| eight.exclude(lane)));
        left
    }

    /// The same for one turn, with slow start: a backend that starts slowly takes part as often as its part of its weight
    /// says, and what it has under way weighs as much more. So one that is idle because nobody asks it is not the best every
    /// time.
    pub fn slowly(&self, turn: &Turn, slow: &mut SlowStart) -> Costs {
        let mut calm = self.clone();
        for (at, permille) in slow.starting() {
            let part = permille.max(1);
            let takes_part = ((turn.draw(u64::from(at) + 1) >> 32) * 1000) >> 32 < u64::from(part);
            calm.change(at, |eight, lane| match takes_part {
                true => eight.each[lane] *= 1000.0 / part as f32,
                false => eight.exclude(lane),
            });
        }
        calm
    }

    fn change(&mut self, at: Position, change: impl FnOnce(&mut Eight, usize)) {
        if let Some(eight) = self.0.get_mut(at as usize / LANES) {
            change(eight, at as usize % LANES);
        }
    }

    /// Notes what each costs; the least of it.
    #[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
    fn scan(&mut self, under_way: &[u32]) -> f32 {
        let (eights, rest) = under_way.as_chunks::<LANES>();
        let mut last = [0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let mut least = [f32::INFINITY; LANES];
        let mut look = |eight: &mut Eight, loads: &[u32; LANES]| {
            for lane in 0..LANES {
                let cost = eight.base[lane] + eight.each[lane] * load(loads[lane]);
                eight.scanned[lane] = cost;
                least[lane] = if cost < least[lane] { cost } else { least[lane] };
            }
        };
        let whole = eights.len().min(self.0.len());
        self.0[..whole].iter_mut().zip(eights).for_each(|(eight, loads)| look(eight, loads));
        self.0[whole..].iter_mut().for_each(|eight| look(eight, &last));
        least.into_iter().fold(f32::INFINITY, f32::min)
    }

    /// Notes the weights of those that cost so much at most, and 0 for the others; their sums, by lane.
    #[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
    fn weigh(&mut self, most: f32) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for eight in &mut self.0 {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // All bits or none: a branch would be one for each.
                let is_good = u32::from(eight.scanned[lane] <= most).wrapping_neg();
                eight.scanned[lane] = f32::from_bits(eight.weights[lane].to_bits() & is_good);
                *sum += eight.scanned[lane];
            }
        }
        sums
    }
}

impl Eight {
    fn exclude(&mut self, lane: usize) {
        (self.base[lane], self.each[lane], self.weights[lane]) = (f32::INFINITY, 0.0, 0.0);
    }
}

/// As a float, by way of a signed number: processors convert several of these at once.
fn load(under_way: u32) -> f32 {
    under_way.min(i32::MAX as u32) as i32 as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::mix;

    fn by_load(weights: &[u32]) -> Costs {
        weights.iter().map(|&weight| Cost { base: 0.0, each: 1.0 / weight as f32, weight }).collect()
    }

    #[test]
    fn the_same_as_by_looking_at_one_after_the_other() {
        for seed in 0..2_000 {
            let of = |n: u64, most: u64| (mix(seed << 16 | n) % most) as u32;
            let count = 1 + u64::from(of(0, 13));
            let weights: Vec<u32> = (0..count).map(|at| of(100 + at, 4)).collect();
            let loads: Vec<u32> = (0..count + 2).map(|at| of(200 + at, 5)).collect();
            // In whole numbers: of all, 12 is a multiple.
            let cost = |at: u32| loads[at as usize] * 12 / weights[at as usize];
            let taking = || (0..count as u32).filter(|&at| weights[at as usize] > 0);
            let chosen = by_load(&weights).least(&loads, Costs::EQUAL, mix(!seed));
            assert_eq!(chosen.map(cost), taking().map(cost).min(), "{weights:?} {loads:?}");
        }
    }

    #[test]
    fn who_is_nearly_as_good_shares_by_weight() {
        let mut costs: Costs = [(1.0, 3), (1.2, 1), (9.0, 5), (0.1, 0), (1.0, 2)]
            .map(|(base, weight)| Cost { base, each: 1.0, weight })
            .into_iter()
            .collect();
        let mut counts = [0_u32; 5];
        (0..60_000).for_each(|n| counts[costs.least(&[0; 5], 1.25, mix(n)).unwrap() as usize] += 1);
        assert!(counts.iter().zip([30_000, 10_000, 0, 0, 20_000]).all(|(n, m)| n.abs_diff(m) < 700), "{counts:?}");
        assert_eq!(costs.without(&[0, 1, 4]).least(&[0; 5], 1.25, 0), Some(2));
        assert_eq!((costs.of(1, 2), costs.of(3, 0), costs.of(99, 0)), (3.2, f32::INFINITY, f32::INFINITY));
    }

    #[test]
    fn the_largest_numbers_and_none_at_all() {
        assert_eq!(by_load(&[u32::MAX; 3]).least(&[u32::MAX, u32::MAX, 0], Costs::EQUAL, u64::MAX), Some(2));
        let mut many = by_load(&[u32::MAX; 4096]);
        assert!((0..1_000).all(|n| many.least(&[7; 4096], Costs::EQUAL, mix(n)).is_some()));
        assert_eq!(by_load(&[0, 0]).least(&[0, 0], 1.0, 0), None);
        assert_eq!(by_load(&[]).least(&[], 1.0, 0), None);
        // Of fewer than there are nothing is known.
        assert_eq!(by_load(&[1; 6]).least(&[1; 5], 1.0, 0), Some(5));
    }
}
