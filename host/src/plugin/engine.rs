//! The Wasm engine, as measured: synchronous calls, no fuel, epochs for deadlines, on-demand allocation because instances
//! live long. Compilation uses one thread, so that a large plugin never takes the processors that serve.

use super::limits::STACK_MAX;
use std::path::Path;
use wasmtime::{Cache, CacheConfig, Config, Engine};

/// How large the directory of compiled code may become; the oldest go first.
const CACHE_BYTES_MAX: u64 = 512 << 20;

/// Makes the engine. Compiled code is kept in `cache` and found again by the next process.
pub(super) fn engine(cache: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Costs a component call twice as much again, and nothing here is asynchronous.
        .concurrency_support(false)
        .max_wasm_stack(STACK_MAX)
        .cache(cache.map(open).transpose()?);
    Engine::new(&config)
}

fn open(directory: &Path) -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::new();
    config.with_directory(directory).with_files_total_size_soft_limit(CACHE_BYTES_MAX);
    Cache::new(config)
}
