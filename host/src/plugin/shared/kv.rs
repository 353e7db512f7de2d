//! Bytes by name, for what a plugin seldom asks. A lock each, held for as long as a value is copied.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many keys a store has room for.
const KEYS_MOST: usize = 4096;
/// How long a key may be, in bytes.
const KEY_MOST: usize = 256;
/// How long a value may be.
const VALUE_MOST: usize = 64 << 10;
/// All keys and values together.
const BYTES_MOST: usize = 4 << 20;

/// One store.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Kv(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Box<str>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::plugin) enum Refusal {
    #[error("a key has at most {KEY_MOST} bytes")]
    LongKey,
    #[error("a value has at most {VALUE_MOST} bytes")]
    LongValue,
    #[error("the store is full: {KEYS_MOST} keys, {BYTES_MOST} bytes")]
    Full,
    #[error("what stands there is no number")]
    NoNumber,
    #[error("the sum is too large")]
    Overflow,
}

impl Kv {
    pub(in crate::plugin) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries().live(key).map(|entry| entry.value.clone())
    }

    pub(in crate::plugin) fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Refusal> {
        self.entries().write(key, value, until(ttl))
    }

    /// Writes if exactly `old` stands there; whether it did.
    pub(in crate::plugin) fn replace(
        &self,
        key: &str,
        old: Option<&[u8]>,
        new: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<bool, Refusal> {
        let mut entries = self.entries();
        if entries.live(key).map(|entry| entry.value.as_slice()) != old {
            return Ok(false);
        }
        entries.write(key, new, until(ttl)).map(|()| true)
    }

    /// The sum. The first one says for how long.
    pub(in crate::plugin) fn increment(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, Refusal> {
        let mut entries = self.entries();
        let (before, until) = match entries.live(key) {
            None => (0, until(ttl)),
            Some(entry) => {
                let number = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
                (number.ok_or(Refusal::NoNumber)?, entry.until)
            }
        };
        let sum = i64::checked_add(before, delta).ok_or(Refusal::Overflow)?;
        entries.write(key, sum.to_string().into_bytes(), until)?;
        Ok(sum)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No change can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn until(ttl: Option<Duration>) -> Option<Instant> {
    ttl.map(|ttl| Instant::now() + ttl)
}

impl Entries {
    fn live(&self, key: &str) -> Option<&Entry> {
        self.by_key.get(key).filter(|entry| entry.is_live(Instant::now()))
    }

    fn write(&mut self, key: &str, value: Vec<u8>, until: Option<Instant>) -> Result<(), Refusal> {
        if key.len() > KEY_MOST {
            return Err(Refusal::LongKey);
        }
        if value.len() > VALUE_MOST {
            return Err(Refusal::LongValue);
        }
        if !self.has_room(key, value.len()) {
            self.drop_ended();
            if !self.has_room(key, value.len()) {
                return Err(Refusal::Full);
            }
        }
        self.bytes += key.len() + value.len();
        if let Some(before) = self.by_key.insert(key.into(), Entry { value, until }) {
            self.bytes -= key.len() + before.value.len();
        }
        Ok(())
    }

    fn has_room(&self, key: &str, value: usize) -> bool {
        let before = self.by_key.get(key);
        let given_back = before.map_or(0, |before| key.len() + before.value.len());
        (before.is_some() || self.by_key.len() < KEYS_MOST) && self.bytes - given_back + key.len() + value <= BYTES_MOST
    }

    fn drop_ended(&mut self) {
        let now = Instant::now();
        self.by_key.retain(|_, entry| entry.is_live(now));
        self.bytes = self.by_key.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
    }
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_are_written_replaced_and_end() {
        let kv = Kv::default();
        let second = Some(Duration::from_secs(1));
        assert_eq!((kv.get("a"), kv.set("a", b"1".into(), second)), (None, Ok(())));
        assert_eq!(kv.replace("a", None, b"2".into(), None), Ok(false));
        assert_eq!(kv.replace("a", Some(b"1"), b"2".into(), second), Ok(true));
        assert_eq!(kv.get("a").as_deref(), Some(&b"2"[..]));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(kv.get("a"), None);
        assert_eq!(kv.replace("a", None, b"3".into(), None), Ok(true), "what has ended is nothing");
        assert_eq!(kv.get("a").as_deref(), Some(&b"3"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sum_ends_when_its_first_one_said() {
        let kv = Kv::default();
        assert_eq!(kv.increment("n", 2, Some(Duration::from_secs(1))), Ok(2));
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!(kv.increment("n", -5, Some(Duration::from_secs(9))), Ok(-3));
        assert_eq!(kv.get("n").as_deref(), Some(&b"-3"[..]));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(kv.increment("n", i64::MAX, None), Ok(i64::MAX));
        assert_eq!(kv.increment("n", 1, None), Err(Refusal::Overflow));
        kv.set("n", b"much".into(), None).unwrap();
        assert_eq!(kv.increment("n", 1, None), Err(Refusal::NoNumber));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_bounded_and_what_has_ended_makes_room() {
        let kv = Kv::default();
        let large = || vec![0; VALUE_MOST];
        assert_eq!(kv.set(&"k".repeat(KEY_MOST + 1), Vec::new(), None), Err(Refusal::LongKey));
        assert_eq!(kv.set("k", vec![0; VALUE_MOST + 1], None), Err(Refusal::LongValue));
        let kept = (0..100).filter(|n| kv.set(&format!("{n:03}"), large(), Some(Duration::from_secs(1))).is_ok());
        assert_eq!(kept.count(), BYTES_MOST / (VALUE_MOST + 3));
        assert_eq!(kv.set("more", large(), None), Err(Refusal::Full));
        assert_eq!(kv.set("000", large(), Some(Duration::from_secs(1))), Ok(()), "in its own place there is room");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(kv.set("more", large(), None), Ok(()));
        let kv = Kv::default();
        (0..KEYS_MOST).for_each(|n| kv.set(&n.to_string(), Vec::new(), None).unwrap());
        assert_eq!((kv.set("more", Vec::new(), None), kv.set("7", Vec::new(), None)), (Err(Refusal::Full), Ok(())));
    }
}
