//! Probes: questions to backends about how busy they are, asked because a balancer wants to know. Here is who waits for an
//! answer, how many questions there may be, and what was answered. Who sends them, and whom the answers are told to, are other
//! rooms' affairs. Of one backend one probe is under way at a time: who asks meanwhile waits for the same answer.

use super::{BackendFigures, micros};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How many answers may wait for one worker: as many as a pool may have backends.
const ANSWERS_MOST: usize = 4096;
/// So much of a budget may be spent at once.
const BURST: Duration = Duration::from_millis(100);
/// Where a backend says nothing of its latency.
const UNSAID: u32 = u32::MAX;

/// The probes of one pool, whatever record of it is in force.
#[derive(Debug, Default)]
pub struct Probes {
    is_on: AtomicBool,
    state: Mutex<State>,
    /// Rung for who sends.
    bell: Notify,
    /// By worker.
    inboxes: Box<[Inbox]>,
    sent: AtomicU64,
    answered: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    budget: Budget,
    /// Up to when the pool's budget is spent.
    spent: Option<Instant>,
    /// Asked for and not sent, the oldest first.
    queue: VecDeque<u64>,
    backends: HashMap<u64, OfBackend>,
}

#[derive(Debug, Default)]
struct OfBackend {
    spent: Option<Instant>,
    /// The workers that wait for its answer; somebody does from the asking to the answer.
    waiting: Vec<usize>,
}

/// What waits to be told on one worker.
#[derive(Debug, Default)]
struct Inbox {
    is_filled: AtomicBool,
    letters: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    answers: Vec<Probed>,
    bell: Option<Arc<Notify>>,
}

/// How many probes there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// From one probe of a backend to its next, on the whole.
    pub of_backend: Duration,
    /// The same of all backends together.
    pub of_pool: Duration,
}

/// What a backend says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests that it has under way, whoever sent them.
    pub in_flight: u32,
    /// How long it takes to answer.
    pub latency_us: Option<u32>,
}

/// What became of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The backend's id.
    pub backend: u64,
    /// None: no answer that could be read came in time.
    pub load: Option<Load>,
    /// From the asking of the backend to its answer, or until it was given up.
    pub took_us: u32,
    /// When the backend said so, or it was given up.
    pub at: Instant,
}

/// What was counted of probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Begun.
    pub sent: u64,
    /// Of these, what was answered,
    pub answered: u64,
    /// and what was not, in time and so that it could be read.
    pub lost: u64,
    /// Not begun, for there had been enough.
    pub refused: u64,
}

impl Probes {
    /// None yet, for so many workers.
    pub fn new(workers: usize) -> Probes {
        Probes { inboxes: (0..workers).map(|_| Inbox::default()).collect(), ..Probes::default() }
    }

    /// From now on there may be so many; none: there are no probes.
    pub fn allow(&self, budget: Option<Budget>) {
        let mut state = self.state();
        state.budget = budget.unwrap_or_default();
        state.backends.retain(|_, backend| budget.is_some() && !backend.waiting.is_empty());
        if budget.is_none() {
            state.queue.clear();
        }
        self.is_on.store(budget.is_some(), Release);
    }

    /// Has a backend probed, and this worker told of it; false where there are no probes, or were enough.
    pub fn ask(&self, backend: u64, worker: usize, now: Instant) -> bool {
        if !self.is_on.load(Acquire) {
            return false;
        }
        let mut state = self.state();
        let State { budget, spent, queue, backends } = &mut *state;
        let asked = backends.entry(backend).or_default();
        if !asked.waiting.is_empty() {
            if !asked.waiting.contains(&worker) {
                asked.waiting.push(worker);
            }
            return true;
        }
        let both = (spend(asked.spent, budget.of_backend, now), spend(*spent, budget.of_pool, now));
        let (Some(of_backend), Some(of_pool)) = both else {
            self.refused.fetch_add(1, Relaxed);
            return false;
        };
        (asked.spent, *spent) = (Some(of_backend), Some(of_pool));
        asked.waiting.push(worker);
        queue.push_back(backend);
        // Whoever sends looks at all that there are when it looks.
        if queue.len() == 1 {
            self.bell.notify_one();
        }
        true
    }

    /// Waits until there may be a probe to send.
    pub async fn wanted(&self) {
        self.bell.notified().await;
    }

    /// The next one to send.
    pub fn next(self: &Arc<Self>) -> Option<Probe> {
        let backend = self.state().queue.pop_front()?;
        self.sent.fetch_add(1, Relaxed);
        Some(Probe { probes: self.clone(), backend, began: Instant::now(), said: None })
    }

    /// This bell is rung from now on when something is to be told on a worker.
    pub fn rings(&self, worker: usize, bell: &Arc<Notify>) {
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.letters().bell = Some(bell.clone());
        }
    }

    /// What is to be told on this worker; most of the time nothing, which costs one load.
    pub fn answers(&self, worker: usize) -> Vec<Probed> {
        match self.inboxes.get(worker) {
            Some(inbox) if inbox.is_filled.load(Relaxed) && inbox.is_filled.swap(false, AcqRel) => {
                std::mem::take(&mut inbox.letters().answers)
            }
            _ => Vec::new(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> ProbeCounts {
        let [sent, answered, lost, refused] =
            [&self.sent, &self.answered, &self.lost, &self.refused].map(|count| count.load(Relaxed));
        ProbeCounts { sent, answered, lost, refused }
    }

    fn tell(&self, probed: Probed) {
        let count = if probed.load.is_some() { &self.answered } else { &self.lost };
        count.fetch_add(1, Relaxed);
        let waiting = match self.state().backends.get_mut(&probed.backend) {
            Some(backend) => std::mem::take(&mut backend.waiting),
            None => return,
        };
        waiting.iter().filter_map(|worker| self.inboxes.get(*worker)).for_each(|inbox| inbox.put(probed));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to when a budget is spent that one more comes out of; none: there is nothing left of it now.
fn spend(spent: Option<Instant>, each: Duration, now: Instant) -> Option<Instant> {
    let next = spent.map_or(now, |spent| spent.max(now)) + each;
    (next <= now + each.max(BURST)).then_some(next)
}

impl Inbox {
    fn put(&self, probed: Probed) {
        let mut letters = self.letters();
        if letters.answers.len() < ANSWERS_MOST {
            letters.answers.push(probed);
        }
        if !self.is_filled.swap(true, AcqRel)
            && let Some(bell) = &letters.bell
        {
            bell.notify_one();
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One probe on its way. Dropping it gives it up: who waits is told.
#[derive(Debug)]
pub struct Probe {
    probes: Arc<Probes>,
    backend: u64,
    began: Instant,
    said: Option<(Load, Instant)>,
}

impl Probe {
    /// The id of whom to ask.
    pub fn backend(&self) -> u64 {
        self.backend
    }

    /// The backend said this, at that time.
    pub fn answered(mut self, load: Load, at: Instant) {
        self.said = Some((load, at));
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let (load, now) = (self.said.map(|(load, _)| load), Instant::now());
        let at = self.said.map_or(now, |(_, at)| at);
        let took_us = u32::try_from(micros(now.saturating_duration_since(self.began))).unwrap_or(u32::MAX);
        self.probes.tell(Probed { backend: self.backend, load, took_us, at });
    }
}

/// What a backend said of itself last.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Requests under way above, latency below.
    load: AtomicU64,
    /// Micros of the backend's age.
    at_us: AtomicU64,
}

impl BackendFigures {
    /// It says this of itself in an answer.
    pub fn says(&self, load: Load, now: Instant) {
        let said = self.said.get_or_init(Box::default);
        let latency = load.latency_us.unwrap_or(UNSAID);
        said.load.store(u64::from(load.in_flight) << 32 | u64::from(latency), Relaxed);
        said.at_us.store(micros(self.age(now)), Relaxed);
    }

    /// What it said last, and when.
    pub fn said(&self, now: Instant) -> Option<(Load, Instant)> {
        let said = self.said.get()?;
        let load = said.load.load(Relaxed);
        let (in_flight, latency) = ((load >> 32) as u32, load as u32);
        let ago = micros(self.age(now)).saturating_sub(said.at_us.load(Relaxed));
        let at = now.checked_sub(Duration::from_micros(ago)).unwrap_or(now);
        Some((Load { in_flight, latency_us: Some(latency).filter(|latency| *latency != UNSAID) }, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const LOAD: Load = Load { in_flight: 3, latency_us: None };

    fn probes(of_backend: u64, of_pool: u64) -> Arc<Probes> {
        let probes = Probes::new(2);
        let [of_backend, of_pool] = [of_backend, of_pool].map(Duration::from_millis);
        probes.allow(Some(Budget { of_backend, of_pool }));
        Arc::new(probes)
    }

    fn told(probes: &Probes, worker: usize) -> Vec<(u64, Option<Load>)> {
        probes.answers(worker).iter().map(|probed| (probed.backend, probed.load)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_the_same_waits_for_one_answer() {
        let probes = probes(1, 1);
        let now = Instant::now();
        assert!(probes.ask(7, 0, now) && probes.ask(7, 1, now) && probes.ask(7, 1, now));
        let probe = probes.next().expect("one was asked for");
        assert!(probe.backend() == 7 && probes.next().is_none());
        assert!(probes.ask(7, 0, now), "it is under way");
        assert!(probes.next().is_none() && probes.answers(0).is_empty());
        probe.answered(LOAD, now);
        assert_eq!((told(&probes, 0), told(&probes, 1)), (vec![(7, Some(LOAD))], vec![(7, Some(LOAD))]));
        assert!(probes.answers(0).is_empty(), "each answer is told once");
        assert_eq!(probes.counts(), ProbeCounts { sent: 1, answered: 1, ..ProbeCounts::default() });
        assert!(probes.ask(7, 1, now), "that one is over");
        drop(probes.next());
        assert_eq!((told(&probes, 0), told(&probes, 1)), (vec![], vec![(7, None)]));
        assert_eq!(probes.counts().lost, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_held_by_backend_and_by_pool() {
        let probes = probes(200, 50);
        let ask = |backend| {
            let may = probes.ask(backend, 0, Instant::now());
            drop(probes.next());
            may
        };
        assert_eq!([ask(1), ask(1), ask(2), ask(3)], [true, false, true, false]);
        assert_eq!(probes.counts().refused, 2);
        advance(Duration::from_millis(50)).await;
        assert_eq!([ask(1), ask(3), ask(4)], [false, true, false]);
        advance(Duration::from_millis(150)).await;
        assert_eq!([ask(1), ask(1), ask(2)], [true, false, true]);
        let mut allowed = 0;
        for _ in 0..1000 {
            allowed += u32::from((10..20).any(ask));
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(allowed, 19, "one each 50 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_are_none_nobody_waits() {
        let probes = Arc::new(Probes::new(1));
        assert!(!probes.ask(1, 0, Instant::now()) && probes.counts() == ProbeCounts::default());
        probes.allow(Some(Budget::default()));
        assert!(probes.ask(1, 0, Instant::now()) && probes.ask(2, 0, Instant::now()));
        let late = probes.next().expect("the first");
        probes.allow(None);
        assert!(probes.next().is_none() && !probes.ask(1, 0, Instant::now()));
        late.answered(LOAD, Instant::now());
        assert!(probes.answers(0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_woken_once_for_what_comes_together() {
        let (probes, bell) = (probes(0, 0), Arc::<Notify>::default());
        probes.rings(0, &bell);
        (0..3).for_each(|backend| assert!(probes.ask(backend, 0, Instant::now())));
        while let Some(probe) = probes.next() {
            probe.answered(LOAD, Instant::now());
        }
        bell.notified().await;
        assert_eq!(probes.answers(0).len(), 3);
        assert!(probes.ask(9, 5, Instant::now()), "of nobody's worker");
        drop(probes.next());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_last_is_known_with_its_age() {
        let figures = BackendFigures::default();
        assert_eq!(figures.said(Instant::now()), None);
        let load = Load { in_flight: 9, latency_us: Some(1200) };
        figures.says(load, Instant::now());
        advance(Duration::from_millis(5)).await;
        let ago = Instant::now() - Duration::from_millis(5);
        assert_eq!(figures.said(Instant::now()), Some((load, ago)));
        figures.says(LOAD, Instant::now());
        assert_eq!(figures.said(Instant::now()), Some((LOAD, Instant::now())));
    }
}
