//! The stores of bytes by name.

use crate::host::kv::Scope;
use std::collections::BTreeMap;

/// A host's limits.
const KEY_MAX: usize = 256;
const VALUE_MAX: usize = 64 << 10;
const KEYS_MAX: usize = 4096;

/// What a plugin has written, and until when it stands.
#[derive(Debug, Default)]
pub(crate) struct Kv(BTreeMap<(u8, String), Entry>);

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until_us: Option<u64>,
}

impl Kv {
    pub(crate) fn get(&self, now_us: u64, scope: Scope, key: &str) -> Option<Vec<u8>> {
        self.live(now_us, scope, key).map(|entry| entry.value.clone())
    }

    pub(crate) fn set(
        &mut self,
        now_us: u64,
        scope: Scope,
        key: &str,
        value: &[u8],
        ttl_ms: u32,
    ) -> Result<(), String> {
        let until_us = (ttl_ms > 0).then(|| now_us + u64::from(ttl_ms) * 1000);
        self.write(scope, key, value, until_us)
    }

    pub(crate) fn increment(
        &mut self,
        now_us: u64,
        scope: Scope,
        key: &str,
        delta: i64,
        ttl_ms: u32,
    ) -> Result<i64, String> {
        let (before, until_us) = match self.live(now_us, scope, key) {
            None => (0, (ttl_ms > 0).then(|| now_us + u64::from(ttl_ms) * 1000)),
            Some(entry) => {
                let number = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
                (number.ok_or("what stands there is no number")?, entry.until_us)
            }
        };
        let sum: i64 = i64::checked_add(before, delta).ok_or("the sum is too large")?;
        self.write(scope, key, sum.to_string().as_bytes(), until_us)?;
        Ok(sum)
    }

    fn live(&self, now_us: u64, scope: Scope, key: &str) -> Option<&Entry> {
        self.0.get(&place(scope, key)).filter(|entry| entry.until_us.is_none_or(|until| now_us < until))
    }

    fn write(&mut self, scope: Scope, key: &str, value: &[u8], until_us: Option<u64>) -> Result<(), String> {
        if key.len() > KEY_MAX {
            return Err(format!("a key has at most {KEY_MAX} bytes"));
        }
        if value.len() > VALUE_MAX {
            return Err(format!("a value has at most {VALUE_MAX} bytes"));
        }
        let place = place(scope, key);
        if self.0.len() >= KEYS_MAX && !self.0.contains_key(&place) {
            return Err(format!("the store is full: {KEYS_MAX} keys"));
        }
        self.0.insert(place, Entry { value: value.to_vec(), until_us });
        Ok(())
    }
}

fn place(scope: Scope, key: &str) -> (u8, String) {
    (scope as u8, key.to_owned())
}
