//! Bytes by name.

use super::bindings::pointsman::plugin::kv;
use crate::plugin::{
    sandbox::Data,
    shared::{Kv, Refusal},
};
use std::time::Duration;
use wasmtime::Result;

type Written<T> = std::result::Result<T, String>;

impl kv::Host for Data {
    fn get(&mut self, scope: kv::Scope, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.kv(scope).get(&key))
    }

    fn set(&mut self, scope: kv::Scope, key: String, value: Vec<u8>, ttl_ms: u32) -> Result<Written<()>> {
        Ok(in_words(self.kv(scope).set(&key, value, ttl(ttl_ms))))
    }

    fn replace(
        &mut self,
        scope: kv::Scope,
        key: String,
        old: Option<Vec<u8>>,
        new: Vec<u8>,
        ttl_ms: u32,
    ) -> Result<Written<bool>> {
        Ok(in_words(self.kv(scope).replace(&key, old.as_deref(), new, ttl(ttl_ms))))
    }

    fn increment(&mut self, scope: kv::Scope, key: String, delta: i64, ttl_ms: u32) -> Result<Written<i64>> {
        Ok(in_words(self.kv(scope).increment(&key, delta, ttl(ttl_ms))))
    }
}

impl Data {
    fn kv(&self, scope: kv::Scope) -> &Kv {
        match scope {
            kv::Scope::Pool => &self.commons.kv,
            kv::Scope::Plugin => &self.plugin_commons.kv,
        }
    }
}

fn ttl(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

fn in_words<T>(written: std::result::Result<T, Refusal>) -> Written<T> {
    written.map_err(|refusal| refusal.to_string())
}
