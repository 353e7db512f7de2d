//! The thread behind every deadline: it moves the engine's epoch on, and each move makes running guests look up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};
use wasmtime::Engine;

/// Between two looks at a running guest: a deadline is met to within this time. Each wake-up costs the workers a few
/// microseconds, so twice as many would cost a per cent of a busy processor.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Ticks until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: Engine) -> std::io::Result<Ticker> {
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = stopped.clone();
        let thread = std::thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
            while !seen.load(Relaxed) {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a thread of its own; nothing wakes more cheaply, and it is woken hundreds of times a second"
                )]
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { stopped, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}
