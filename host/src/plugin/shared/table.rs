//! A table of numbers for sticky clients and the like: bounded, what was used least lately goes first. Its parts have locks of
//! their own, held for as long as it takes to look one key up.

use crate::rng::mix;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// In how many parts, so that workers seldom meet.
const SHARDS: usize = 16;
/// How many keys each part remembers: all together 65,536.
const KEYS_MOST: usize = 4096;

/// The table of one plugin in one pool.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Table([Mutex<Shard>; SHARDS]);

/// Keys in the order in which they were used: a list through an array.
#[derive(Debug, Default)]
struct Shard {
    places: HashMap<u64, usize>,
    entries: Vec<Entry>,
    newest: usize,
    oldest: usize,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    value: u64,
    until: Option<Instant>,
    newer: usize,
    older: usize,
}

impl Table {
    /// What was remembered last under this key, unless that has ended or was forgotten.
    pub(in crate::plugin) fn recall(&self, key: u64) -> Option<u64> {
        self.shard(key).recall(key)
    }

    /// Remembers a number for so long; none: for as long as there is room.
    pub(in crate::plugin) fn remember(&self, key: u64, value: u64, ttl: Option<Duration>) {
        let until = ttl.map(|ttl| Instant::now() + ttl);
        self.shard(key).remember(key, value, until);
    }

    /// Remembers what becomes of the number under this key, unless nothing does; whether something did.
    pub(in crate::plugin) fn change(&self, key: u64, change: impl FnOnce(Option<u64>) -> Option<u64>) -> bool {
        let mut shard = self.shard(key);
        let new = change(shard.recall(key));
        new.map(|new| shard.remember(key, new, None)).is_some()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        // No change of a shard can panic half-way.
        self.0[mix(key) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn recall(&mut self, key: u64) -> Option<u64> {
        let place = *self.places.get(&key)?;
        let Entry { value, until, .. } = self.entries[place];
        if until.is_some_and(|until| until <= Instant::now()) {
            return None;
        }
        self.use_now(place);
        Some(value)
    }

    fn remember(&mut self, key: u64, value: u64, until: Option<Instant>) {
        if let Some(&place) = self.places.get(&key) {
            (self.entries[place].value, self.entries[place].until) = (value, until);
            return self.use_now(place);
        }
        let place = if self.entries.len() < KEYS_MOST { self.entries.len() } else { self.take_oldest() };
        let entry = Entry { key, value, until, newer: place, older: self.newest };
        match self.entries.get_mut(place) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        let newest = std::mem::replace(&mut self.newest, place);
        self.entries[newest].newer = place;
        self.places.insert(key, place);
    }

    /// Makes it the newest.
    fn use_now(&mut self, place: usize) {
        if place == self.newest {
            return;
        }
        self.unlink(place);
        let newest = std::mem::replace(&mut self.newest, place);
        (self.entries[newest].newer, self.entries[place].older) = (place, newest);
    }

    fn take_oldest(&mut self) -> usize {
        let place = self.oldest;
        self.unlink(place);
        self.places.remove(&self.entries[place].key);
        place
    }

    /// Takes one out of the order that is not the newest.
    fn unlink(&mut self, place: usize) {
        let Entry { newer, older, .. } = self.entries[place];
        if place == self.oldest {
            self.oldest = newer;
        } else {
            (self.entries[older].newer, self.entries[newer].older) = (newer, older);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_lately_goes_first() {
        let mut shard = Shard::default();
        let most = KEYS_MOST as u64;
        (0..most).for_each(|key| shard.remember(key, key * 2, None));
        // Used: the very oldest, one in the middle, the newest.
        for key in [0, 7, most - 1] {
            assert_eq!(shard.recall(key), Some(key * 2));
        }
        shard.remember(1, 11, None);
        (0..3).for_each(|key| shard.remember(most + key, 1, None));
        assert_eq!([2, 3, 4].map(|key| shard.recall(key)), [None; 3]);
        assert_eq!([0, 1, 5, 7].map(|key| shard.recall(key)), [Some(0), Some(11), Some(10), Some(14)]);
        assert_eq!((shard.entries.len(), shard.places.len()), (KEYS_MOST, KEYS_MOST));
    }

    /// Against a list that is searched through.
    #[test]
    fn it_does_what_a_slow_one_does() {
        let mut shard = Shard::default();
        let mut slow: Vec<(u64, u64)> = Vec::new();
        for step in 0..20_000_u64 {
            let key = mix(step) % (KEYS_MOST as u64 + 300);
            let at = slow.iter().rposition(|(known, _)| *known == key);
            if step % 3 == 0 {
                let found = at.map(|at| slow.remove(at));
                assert_eq!(shard.recall(key), found.map(|(_, value)| value), "{step}");
                slow.extend(found);
            } else {
                shard.remember(key, step, None);
                at.map(|at| slow.remove(at));
                slow.push((key, step));
                if slow.len() > KEYS_MOST {
                    slow.remove(0);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_is_forgotten() {
        let table = Table::default();
        table.remember(1, 10, Some(Duration::from_millis(500)));
        table.remember(2, 20, None);
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(table.recall(1), Some(10));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((table.recall(1), table.recall(2)), (None, Some(20)));
        table.remember(1, 11, None);
        assert_eq!(table.recall(1), Some(11));
    }
}
