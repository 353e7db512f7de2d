//! What each source has open and asks for, process-wide, in a table of bounded size. A source is an IPv4 address, or the
//! first half of an IPv6 address: whoever has one address there has the whole network.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Locks; a source has always the same one, and two sources seldom.
const SHARDS: usize = 64;
/// Sources that one lock guards. Together they are some ten megabytes.
const SHARD_SOURCES_MOST: usize = 4096;
/// Between two looks for sources to forget in a full shard: each looks at all of them.
const FORGET_PAUSE: Duration = Duration::from_millis(100);
/// Refusals that are no further apart are one spell, and told of once.
const SPELL: Duration = Duration::from_secs(10);

/// How much there may be. None: as much as comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// Connections at one time.
    pub connections: Option<u32>,
    /// Connections of one source at one time.
    pub connections_per_source: Option<u32>,
    /// Requests of one source in how long.
    pub requests_per_source: Option<(u32, Duration)>,
}

/// The limits of one listener, and what its sources have open and ask for.
#[derive(Debug)]
pub struct Sources {
    most: Most,
    table: Arc<Table>,
}

/// What the sources of one listener have open and ask for.
#[derive(Debug)]
struct Table {
    connections: AtomicU32,
    shards: Box<[Mutex<Shard>]>,
    epoch: Instant,
    /// When something was refused last, in microseconds from the epoch; 0: never.
    refused_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    sources: HashMap<Key, Source>,
    /// When a full shard may be looked through again, in microseconds from the epoch.
    forgets_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6(u64),
}

#[derive(Debug, Default)]
struct Source {
    connections: u32,
    /// When its next request would come if it asked evenly, in microseconds from the epoch.
    due_us: u64,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    table: Arc<Table>,
    /// None: its source is not counted.
    key: Option<Key>,
}

impl Sources {
    /// Nobody yet.
    pub fn new(most: Most) -> Arc<Sources> {
        let table = Table {
            connections: AtomicU32::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            epoch: Instant::now(),
            refused_us: AtomicU64::new(0),
        };
        Arc::new(Sources { most, table: Arc::new(table) })
    }

    /// Other limits of the same sources, with all that they have open and have asked for.
    pub fn with(&self, most: Most) -> Arc<Sources> {
        Arc::new(Sources { most, table: self.table.clone() })
    }

    /// Takes in a connection, unless there are as many as there may be. With `counts`, it is one of its source's.
    pub fn enter(&self, from: IpAddr, counts: bool) -> Option<Place> {
        let table = &self.table;
        let before = table.connections.fetch_add(1, Relaxed);
        let mut place = Place { table: table.clone(), key: None };
        if self.most.connections.is_some_and(|most| before >= most) {
            table.refused("too many connections", None);
            return None;
        }
        let Some(most) = self.most.connections_per_source.filter(|_| counts) else { return Some(place) };
        let key = Key::of(from);
        let mut shard = table.shard(key);
        // A source that finds no room in the table is let in uncounted: better that than to shut others out.
        let Some(source) = shard.source(key, table.now_us()) else { return Some(place) };
        if source.connections >= most {
            drop(shard);
            table.refused("too many connections of one source", Some(from));
            return None;
        }
        source.connections += 1;
        place.key = Some(key);
        Some(place)
    }

    /// Counts a request; if there are too many of its source, says when to come back.
    ///
    /// # Errors
    /// The whole seconds to wait, at least one.
    pub fn request(&self, from: IpAddr) -> Result<(), u64> {
        let Some((most, period)) = self.most.requests_per_source else { return Ok(()) };
        let period_us = micros(period);
        // The generic cell rate algorithm: one number a source, a whole period's requests at once, then evenly.
        let interval_us = (period_us / u64::from(most.max(1))).max(1);
        let (now, key) = (self.table.now_us(), Key::of(from));
        let mut shard = self.table.shard(key);
        let Some(source) = shard.source(key, now) else { return Ok(()) };
        // What was asked for under another limit weighs no more than a whole period of this one.
        let due = source.due_us.clamp(now, now + period_us) + interval_us;
        let too_early = due.saturating_sub(now + period_us);
        if too_early == 0 {
            source.due_us = due;
            return Ok(());
        }
        drop(shard);
        self.table.refused("too many requests of one source", Some(from));
        Err(too_early.div_ceil(1_000_000))
    }
}

impl Table {
    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let bits = match key {
            Key::V4(bits) => u64::from(bits),
            Key::V6(bits) => bits,
        };
        // Fibonacci hashing: neighbours have different locks. There are as many shards as six bits tell apart.
        let index = (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
        self.shards[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        // Never zero.
        micros(self.epoch.elapsed()) + 1
    }

    fn refused(&self, why: &str, from: Option<IpAddr>) {
        let now = self.now_us();
        let before = self.refused_us.swap(now, Relaxed);
        if before == 0 || now.saturating_sub(before) > micros(SPELL) {
            let from = from.map(tracing::field::display);
            tracing::warn!(from, "{why}: what is more is refused, and counted in the metrics");
        }
    }
}

impl Shard {
    /// The source of this key; none when the table is full of sources that cannot be forgotten.
    fn source(&mut self, key: Key, now_us: u64) -> Option<&mut Source> {
        if self.sources.len() >= SHARD_SOURCES_MOST && !self.sources.contains_key(&key) {
            if now_us >= self.forgets_us {
                self.forgets_us = now_us + micros(FORGET_PAUSE);
                self.sources.retain(|_, source| !source.is_idle(now_us));
            }
            if self.sources.len() >= SHARD_SOURCES_MOST {
                return None;
            }
        }
        Some(self.sources.entry(key).or_default())
    }
}

impl Source {
    /// Whether a new one would be as this one is.
    fn is_idle(&self, now_us: u64) -> bool {
        self.connections == 0 && self.due_us <= now_us
    }
}

impl Key {
    fn of(address: IpAddr) -> Key {
        match address.to_canonical() {
            IpAddr::V4(address) => Key::V4(address.to_bits()),
            IpAddr::V6(address) => Key::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.connections.fetch_sub(1, Relaxed);
        let Some(key) = self.key else { return };
        let now = self.table.now_us();
        let mut shard = self.table.shard(key);
        let Some(source) = shard.sources.get_mut(&key) else { return };
        source.connections = source.connections.saturating_sub(1);
        if source.is_idle(now) {
            shard.sources.remove(&key);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use tokio::time::advance;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn remembered(sources: &Sources) -> usize {
        sources.table.shards.iter().map(|shard| shard.lock().unwrap().sources.len()).sum()
    }

    #[test]
    fn connections_are_limited_together_and_by_source() {
        let sources =
            Sources::new(Most { connections: Some(3), connections_per_source: Some(2), requests_per_source: None });
        let places = [sources.enter(ONE, true), sources.enter(ONE, true)];
        assert!(places.iter().all(Option::is_some) && sources.enter(ONE, true).is_none());
        let third = sources.enter(OTHER, true);
        assert!(third.is_some() && sources.enter(OTHER, true).is_none(), "three together");
        drop(third);
        assert!(sources.enter(ONE, false).is_some(), "a proxy speaks for many");
        drop(places);
        assert!(sources.enter(ONE, true).is_some());
        assert_eq!((sources.table.connections.load(Relaxed), remembered(&sources)), (0, 0), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_come_in_a_burst_and_then_evenly() {
        let requests_per_source = Some((10, Duration::from_secs(1)));
        let sources = Sources::new(Most { requests_per_source, ..Most::default() });
        let asks = |from| (0..100).filter(|_| sources.request(from).is_ok()).count();
        assert_eq!(asks(ONE), 10);
        assert_eq!(sources.request(ONE), Err(1));
        assert_eq!(asks(OTHER), 10, "each has its own");
        advance(Duration::from_millis(350)).await;
        assert_eq!(asks(ONE), 3);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let sources = Sources::new(Most { connections_per_source: Some(1), ..Most::default() });
        let address = |high: u128, low: u128| IpAddr::V6(Ipv6Addr::from_bits(high << 64 | low));
        let place = sources.enter(address(7, 1), true);
        assert!(place.is_some() && sources.enter(address(7, 2), true).is_none());
        assert!(sources.enter(address(8, 1), true).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_forgets_who_is_idle() {
        let requests_per_source = Some((1, Duration::from_secs(1)));
        let sources = Sources::new(Most { requests_per_source, ..Most::default() });
        let many = (SHARDS * SHARD_SOURCES_MOST * 2) as u32;
        for bits in 0..many {
            assert_eq!(sources.request(IpAddr::V4(bits.into())), Ok(()));
        }
        assert_eq!(remembered(&sources), SHARDS * SHARD_SOURCES_MOST);
        advance(Duration::from_secs(2)).await;
        assert_eq!(sources.request(IpAddr::V4(many.into())), Ok(()));
        assert!(remembered(&sources) < SHARDS * SHARD_SOURCES_MOST);
    }
}
