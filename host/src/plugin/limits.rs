//! What one instance may use: time for each call, memory, tables, instances inside it.

use super::Call;
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// CPU time of an `update` that no request waits for.
const UPDATE_CPU: Duration = Duration::from_millis(100);
/// CPU time of a `configure`, of a `restore`, and of making the instance.
const CONFIGURE_CPU: Duration = Duration::from_secs(1);
/// How long a call on a serving worker may take by the clock on the wall, should the system leave it little CPU.
const WORKER_WALL: Duration = Duration::from_millis(50);
/// Table elements of one instance, all tables together; each takes a pointer's room.
const TABLE_ELEMENTS_MAX: usize = 1 << 17;
/// Core instances, tables and memories inside one component: wit-component makes about ten, componentize-py thirty.
const PARTS_MAX: usize = 128;
/// Stack of one call.
pub(super) const STACK_MAX: usize = 512 << 10;

/// CPU time that the current thread has used.
pub(super) fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The time a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) cpu: Duration,
    /// None where nobody waits: these calls run aside.
    wall: Option<Duration>,
}

impl Allowance {
    /// `live`: a request may be waiting for this call.
    pub(super) fn of(call: Call, deadline: Duration, live: bool) -> Allowance {
        match call {
            Call::Instantiate | Call::Configure | Call::Restore | Call::Describe => {
                Allowance { cpu: CONFIGURE_CPU, wall: None }
            }
            Call::Update => Allowance { cpu: UPDATE_CPU, wall: None },
            Call::UpdateLive
            | Call::Pick
            | Call::Tick
            | Call::Observe
            | Call::Probed
            | Call::Save
            | Call::OnRequest => Allowance { cpu: deadline, wall: live.then_some(WORKER_WALL.max(deadline)) },
        }
    }
}

/// Watches one call's time. The clocks are system calls, so they are read at ticks that meet a running guest, never at the
/// call's start: a pick that ends within a tick pays nothing, and a worker that the system put aside faults nobody.
#[derive(Debug)]
pub(super) struct Meter {
    allowance: Allowance,
    first_tick: Option<(Duration, Instant)>,
}

impl Meter {
    pub(super) fn new(allowance: Allowance) -> Meter {
        Meter { allowance, first_tick: None }
    }

    /// A tick met the running guest: may it go on?
    pub(super) fn tick(&mut self) -> UpdateDeadline {
        let (cpu, now) = (thread_cpu(), Instant::now());
        let (first_cpu, first) = *self.first_tick.get_or_insert((cpu, now));
        let over_cpu = cpu.saturating_sub(first_cpu) >= self.allowance.cpu;
        let over_wall = self.allowance.wall.is_some_and(|wall| now.saturating_duration_since(first) >= wall);
        if over_cpu || over_wall { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }

    /// How long the interrupted call ran, for people.
    pub(super) fn verdict(&self) -> String {
        let cpu = self.first_tick.map_or(Duration::ZERO, |(first, _)| thread_cpu().saturating_sub(first));
        match self.allowance.wall {
            Some(wall) if cpu < self.allowance.cpu => format!("{}, {} of them CPU", millis(wall), millis(cpu)),
            _ => format!("{} of CPU", millis(self.allowance.cpu)),
        }
    }
}

/// `5.0 ms`.
fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Memory and tables of one instance, all of its parts together.
#[derive(Debug)]
pub(super) struct Space {
    bytes_max: u64,
    bytes: u64,
    elements: usize,
    denied: bool,
    /// What all instances of the generation have.
    together: Arc<AtomicU64>,
}

impl Space {
    /// `together`: counts what all of a generation have.
    pub(super) fn new(bytes_max: u64, together: Arc<AtomicU64>) -> Space {
        Space { bytes_max, bytes: 0, elements: 0, denied: false, together }
    }

    /// Before a call: what an earlier one was denied no longer matters.
    pub(super) fn forgive(&mut self) {
        self.denied = false;
    }

    /// What it was denied in this call, for people.
    pub(super) fn verdict(&self) -> Option<String> {
        self.denied.then(|| format!("more than {} of memory", mebibytes(self.bytes_max)))
    }
}

/// `16 MiB`.
fn mebibytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.together.fetch_sub(self.bytes, Relaxed);
    }
}

impl ResourceLimiter for Space {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired as u64).saturating_sub(current as u64);
        let granted = bytes <= self.bytes_max;
        if granted {
            self.together.fetch_add(bytes.saturating_sub(self.bytes), Relaxed);
            self.bytes = bytes;
        }
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired).saturating_sub(current);
        let granted = elements <= TABLE_ELEMENTS_MAX;
        if granted {
            self.elements = elements;
        }
        self.denied |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let together = Arc::<AtomicU64>::default();
        let mut space = Space::new(10 << 20, together.clone());
        assert!(space.memory_growing(0, 6 << 20, None).unwrap());
        assert!(!space.memory_growing(0, 6 << 20, None).unwrap(), "a second memory");
        assert_eq!(space.verdict().as_deref(), Some("more than 10 MiB of memory"));
        space.forgive();
        assert!(space.memory_growing(6 << 20, 10 << 20, None).unwrap());
        assert_eq!(space.verdict(), None);
        assert_eq!(together.load(Relaxed), 10 << 20);
        drop(space);
        assert_eq!(together.load(Relaxed), 0, "it is gone");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread that sleeps is a thread that has no processor")]
    fn a_call_that_waits_for_the_processor_is_not_over_its_time() {
        let mut meter = Meter::new(Allowance { cpu: Duration::from_millis(5), wall: None });
        assert!(matches!(meter.tick(), UpdateDeadline::Continue(1)));
        // As if others had the processor.
        std::thread::sleep(Duration::from_millis(20));
        assert!(matches!(meter.tick(), UpdateDeadline::Continue(1)));
    }

    #[test]
    fn a_call_that_works_for_its_whole_time_is_over_it() {
        let allowance = Allowance { cpu: Duration::from_millis(5), wall: None };
        let mut meter = Meter::new(allowance);
        let began = thread_cpu();
        while matches!(meter.tick(), UpdateDeadline::Continue(1)) {}
        assert!(thread_cpu() - began >= allowance.cpu);
        assert_eq!(meter.verdict(), "5.0 ms of CPU");
    }
}
