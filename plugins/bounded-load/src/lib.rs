//! Consistent hashing with bounded loads: a key goes to its backend as long as that has fewer requests than its bound, and
//! else to the key's next one. The bound is kept by reserving, so no two workers take the last place together.

#[cfg(test)]
mod tests;

use pointsman_sdk::{
    hashing::{Key, Maglev},
    prelude::*,
};
use serde::Deserialize;

/// How many backends a key goes on to before all are looked at in their order.
const NEXT_MOST: u64 = 32;
/// Up to so many backends, what is under way is counted in each pick; among more, once in as many picks as they are more: in
/// these it moves by less than one for each backend, as long as there are no more workers than this,
const COUNTED_AT_ONCE: u32 = 16;
/// and at least so often.
const COUNT_HOLDS_US: u64 = 10_000;
/// Where a key's own backend is full, a count is not to be older.
const COUNT_HOLDS_FULL_US: u64 = 1_000;
/// So much below a whole number is that number: floats are coarse.
const COARSE: f64 = 1e-9;
/// 2.5 MiB of table, and some tens of milliseconds to make it; `update` has a hundred.
const SIZE_MAX: u32 = 655_373;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How far above its share a backend may go.
    #[serde(default = "usual_factor")]
    factor: f64,
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
    /// Entries of the table.
    #[serde(default = "usual_size")]
    table: u32,
}

fn usual_factor() -> f64 {
    1.25
}

fn usual_size() -> u32 {
    Maglev::SIZE
}

struct BoundedLoad {
    settings: Settings,
    table: Maglev,
    /// By position: of one more request under way, how much of the bound is this backend's.
    shares: Vec<f64>,
    /// Every backend of the pool takes new work.
    all_take: bool,
    /// Requests under way on those that do, when they were counted last and with the picks since; when that was.
    under_way: u32,
    picks: u32,
    counted_us: Option<u64>,
}

impl Balancer for BoundedLoad {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let Settings { factor, table: size, .. } = settings;
        if !(1.0..=100.0).contains(&factor) {
            return Err(format!("factor must be 1 to 100, not {factor}"));
        }
        if size > SIZE_MAX || !Maglev::is_size(size) {
            return Err(format!("table must be a prime up to {SIZE_MAX}, such as 65537 or 655373, not {size}"));
        }
        let (table, shares) = (Maglev::default(), Vec::new());
        Ok(BoundedLoad { settings, table, shares, all_take: false, under_way: 0, picks: 0, counted_us: None })
    }

    fn update(&mut self, pool: &Pool) {
        self.table = Maglev::over(pool, self.settings.table);
        let total: f64 = pool.ready().iter().map(|backend| f64::from(backend.weight)).sum();
        let share = |backend: &Backend| self.settings.factor * f64::from(backend.weight) / total.max(1.0);
        self.shares = pool.ready().iter().map(share).collect();
        self.all_take = pool.others().is_empty() && self.shares.iter().all(|&share| share > 0.0);
        self.counted_us = None;
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let key = Turn { random: self.settings.hash.of(turn), ..*turn };
        let Some(first) = self.table.at(key.draw(0)) else { return Decision::Pass };
        let tried = if turn.attempt > 0 { request::tried() } else { Vec::new() };
        self.under_way = self.under_way.saturating_add(1);
        self.picks += 1;
        let holds_us = if self.picks > pool.len() / COUNTED_AT_ONCE { 0 } else { COUNT_HOLDS_US };
        self.count(turn, holds_us);
        if !tried.contains(&first) && self.takes(first) {
            notes::explain(turn, || {
                let (told, name) = (self.settings.hash.told(turn), pool.name(first));
                format!("{told}: {name} has room below its bound of {}", self.bound(first))
            });
            return Decision::Choose(first);
        }
        self.count(turn, COUNT_HOLDS_FULL_US);
        let at = self.next(&key, &tried, pool).or_else(|| {
            // Nobody has room by a count that is not new: others may have begun more since.
            self.count(turn, 0);
            self.next(&key, &tried, pool)
        });
        notes::explain(turn, || {
            let (told, name) = (self.settings.hash.told(turn), pool.name(first));
            let next = at.map_or("nobody", |at| pool.name(at));
            format!("{told}: {name} is at its bound of {}, or was tried, and {next} is next", self.bound(first))
        });
        at.map_or(Decision::Pass, Decision::Choose)
    }
}

impl BoundedLoad {
    /// Counts what is under way, this request with it, unless it was counted not longer ago than that.
    fn count(&mut self, turn: &Turn, holds_us: u64) {
        if self.counted_us.is_some_and(|counted| turn.now_us.saturating_sub(counted) < holds_us) {
            return;
        }
        let under_way = if self.all_take {
            figures::total_in_flight()
        } else {
            let all = figures::all_in_flight();
            let taking = all.iter().zip(&self.shares).filter(|(_, share)| **share > 0.0);
            taking.fold(0, |sum: u32, (under_way, _)| sum.saturating_add(*under_way))
        };
        (self.under_way, self.picks, self.counted_us) = (under_way.saturating_add(1), 0, Some(turn.now_us));
    }

    /// The key's next backend that has room and was not tried; where many are full, any other that is like that.
    fn next(&self, key: &Turn, tried: &[Position], pool: &Pool) -> Option<Position> {
        let fits = |at: &Position| !tried.contains(at);
        let mut drawn = (0..=NEXT_MOST).filter_map(|nth| self.table.at(key.draw(nth))).filter(fits);
        drawn.find(|&at| self.takes(at)).or_else(|| {
            let under_way = figures::all_in_flight();
            let mut has_room = (0..pool.len()).filter(|&at| under_way[at as usize] < self.bound(at)).filter(fits);
            has_room.find(|&at| self.takes(at))
        })
    }

    /// How many requests may be under way there.
    fn bound(&self, at: Position) -> u32 {
        (f64::from(self.under_way) * self.shares[at as usize] - COARSE).ceil() as u32
    }

    /// Reserves a place there, unless it is at its bound.
    fn takes(&self, at: Position) -> bool {
        figures::reserve(at, self.bound(at))
    }
}

balancer!(BoundedLoad: about);
