//! Probes: questions to backends about how busy they are, asked because a balancer wants to know. Here is who waits for an
//! answer, how many questions there may be, and what was answered. Who sends them, and whom the answers are told to, are other
//! rooms' affairs. Of one backend one probe is under way at a time: who asks meanwhile waits for the same answer.

use super::{BackendFigures, micros};
use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
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
/// In place of a load where nothing was said that counts; no backend has so many requests under way.
const NOTHING: u64 = u64::MAX;

/// The probes of one pool, whatever record of it is in force.
#[derive(Debug)]
pub struct Probes {
    is_on: AtomicBool,
    /// The budget, in nanoseconds.
    of_backend: AtomicU64,
    of_pool: AtomicU64,
    /// What the pool has spent, on a clock that began then.
    spent: Spent,
    epoch: Instant,
    state: Mutex<State>,
    /// Rung for who sends.
    bell: Notify,
    /// By worker.
    inboxes: Box<[Inbox]>,
    sent: AtomicU64,
    answered: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// What is read in place of sending any.
    header: Option<String>,
    /// Asked for and not sent, the oldest first; all of them are among `asked` too.
    queue: VecDeque<u64>,
    asked: HashMap<u64, Asked>,
    /// How many there ever were.
    begun: u64,
}

/// A backend that was asked for, up to its answer.
#[derive(Debug)]
struct Asked {
    number: u64,
    figures: Arc<BackendFigures>,
    since: Instant,
    was_sent: bool,
    /// The workers that wait for it.
    waiting: Vec<usize>,
}

/// What is known of one backend's probes without the pool's lock.
#[derive(Debug, Default)]
pub(super) struct OfBackend {
    /// On the clock of its age.
    spent: Spent,
    /// Somebody waits for an answer.
    is_asked: AtomicBool,
}

/// How much of a budget is spent: up to when on some clock, in nanoseconds. It is moved under the pool's lock alone, and read
/// without.
#[derive(Debug, Default)]
struct Spent(AtomicU64);

/// What waits to be told on one worker. On cache lines of its own, for it counts there how often it was refused.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Inbox {
    is_filled: AtomicBool,
    letters: Mutex<Letters>,
    refused: AtomicU64,
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

impl Default for Probes {
    fn default() -> Probes {
        Probes::new(0)
    }
}

impl Probes {
    /// None yet, for so many workers.
    pub fn new(workers: usize) -> Probes {
        Probes {
            is_on: AtomicBool::new(false),
            of_backend: AtomicU64::new(0),
            of_pool: AtomicU64::new(0),
            spent: Spent::default(),
            epoch: Instant::now(),
            state: Mutex::default(),
            bell: Notify::new(),
            inboxes: (0..workers).map(|_| Inbox::default()).collect(),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// From now on there may be so many; none: there are no probes, and who waits for one is told that nothing came of it.
    pub fn allow(&self, budget: Option<Budget>) {
        let mut state = self.state();
        let given_up = match budget {
            Some(Budget { of_backend, of_pool }) => {
                self.of_backend.store(nanos(of_backend), Relaxed);
                self.of_pool.store(nanos(of_pool), Relaxed);
                HashMap::new()
            }
            None => {
                state.queue.clear();
                state.asked.values().for_each(|asked| asked.figures.probed.is_asked.store(false, Relaxed));
                std::mem::take(&mut state.asked)
            }
        };
        self.is_on.store(budget.is_some(), Release);
        drop(state);
        let at = Instant::now();
        for (backend, asked) in given_up {
            self.end(&asked, Probed { backend, load: None, took_us: 0, at });
        }
    }

    /// From now on backends say by this header how busy they are; none: they are asked. True when it is another one than before.
    pub fn reads(&self, header: Option<&str>) -> bool {
        let mut state = self.state();
        let is_other = state.header.as_deref() != header;
        if is_other {
            state.header = header.map(str::to_owned);
        }
        is_other
    }

    /// Has a backend with these figures probed, and this worker told of it; false where there are no probes, or were enough. That
    /// there were enough, as nearly always, is learnt without the lock that all workers share.
    pub fn ask(&self, backend: u64, figures: &Arc<BackendFigures>, worker: usize) -> bool {
        if !self.is_on.load(Acquire) {
            return false;
        }
        let now = Instant::now();
        let is_vain = !figures.probed.is_asked.load(Relaxed) && self.price(figures, now).is_none();
        let may = !is_vain && self.join_or_begin(backend, figures, worker, now);
        if let (false, Some(inbox)) = (may, self.inboxes.get(worker)) {
            inbox.refused.fetch_add(1, Relaxed);
        }
        may
    }

    fn join_or_begin(&self, backend: u64, figures: &Arc<BackendFigures>, worker: usize, now: Instant) -> bool {
        let mut state = self.state();
        if let Some(asked) = state.asked.get_mut(&backend) {
            if !asked.waiting.contains(&worker) {
                asked.waiting.push(worker);
            }
            return true;
        }
        // Others may have spent it meanwhile, or a reload may have ended all probes.
        let price = self.price(figures, now).filter(|_| self.is_on.load(Relaxed));
        let Some((of_backend, of_pool)) = price else { return false };
        figures.probed.spent.0.store(of_backend, Relaxed);
        figures.probed.is_asked.store(true, Relaxed);
        self.spent.0.store(of_pool, Relaxed);
        state.begun += 1;
        let (number, figures) = (state.begun, figures.clone());
        let asked = Asked { number, figures, since: now, was_sent: false, waiting: vec![worker] };
        state.asked.insert(backend, asked);
        state.queue.push_back(backend);
        // Whoever sends looks at all that there are when it looks.
        if state.queue.len() == 1 {
            self.bell.notify_one();
        }
        true
    }

    /// Up to when the backend's budget and the pool's are spent with one probe more; none: there is nothing left of one of them.
    fn price(&self, figures: &BackendFigures, now: Instant) -> Option<(u64, u64)> {
        let since = nanos(now.saturating_duration_since(self.epoch));
        let of_pool = self.spent.with_one_more(self.of_pool.load(Relaxed), since)?;
        let of_backend = figures.probed.spent.with_one_more(self.of_backend.load(Relaxed), nanos(figures.age(now)))?;
        Some((of_backend, of_pool))
    }

    /// Waits until there may be a probe to send.
    pub async fn wanted(&self) {
        self.bell.notified().await;
    }

    /// The next one to send. One that is given up because its sender is gone is the next one again, for the next sender.
    pub fn next(self: &Arc<Self>, sender: &Arc<()>) -> Option<Probe> {
        let mut state = self.state();
        let backend = state.queue.pop_front()?;
        let asked = state.asked.get_mut(&backend)?;
        if !std::mem::replace(&mut asked.was_sent, true) {
            self.sent.fetch_add(1, Relaxed);
        }
        let (number, since, sender) = (asked.number, asked.since, Arc::downgrade(sender));
        Some(Probe { probes: self.clone(), sender, backend, number, since, began: Instant::now(), said: None })
    }

    /// This bell is rung from now on when something is to be told on a worker.
    pub fn rings(&self, worker: usize, bell: &Arc<Notify>) {
        if let Some(inbox) = self.inboxes.get(worker) {
            inbox.letters().bell = Some(bell.clone());
        }
    }

    /// Whether there is something to be told on this worker.
    pub fn has_answers(&self, worker: usize) -> bool {
        self.inboxes.get(worker).is_some_and(|inbox| inbox.is_filled.load(Relaxed))
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
        let [sent, answered, lost] = [&self.sent, &self.answered, &self.lost].map(|count| count.load(Relaxed));
        let refused = self.inboxes.iter().map(|inbox| inbox.refused.load(Relaxed)).sum();
        ProbeCounts { sent, answered, lost, refused }
    }

    /// What became of a probe of this number. Where that one is over for who waited, for a reload ended all, nobody is told.
    fn tell(&self, number: u64, probed: Probed) {
        let count = if probed.load.is_some() { &self.answered } else { &self.lost };
        count.fetch_add(1, Relaxed);
        let mut state = self.state();
        let asked = match state.asked.entry(probed.backend) {
            Entry::Occupied(asked) if asked.get().number == number => asked.remove(),
            _ => return,
        };
        asked.figures.probed.is_asked.store(false, Relaxed);
        drop(state);
        self.end(&asked, probed);
    }

    /// Who was to send it is gone; false: nobody waits for it either.
    fn take_back(&self, backend: u64, number: u64) -> bool {
        let mut state = self.state();
        let is_awaited = state.asked.get(&backend).is_some_and(|asked| asked.number == number);
        if is_awaited {
            state.queue.push_front(backend);
            self.bell.notify_one();
        }
        is_awaited
    }

    /// Tells who waits for it.
    fn end(&self, asked: &Asked, probed: Probed) {
        asked.waiting.iter().filter_map(|worker| self.inboxes.get(*worker)).for_each(|inbox| inbox.put(probed));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    /// Up to when it is with one more that costs so much; none: there is nothing left now.
    fn with_one_more(&self, each: u64, now: u64) -> Option<u64> {
        let next = self.0.load(Relaxed).max(now).saturating_add(each);
        (next <= now.saturating_add(each.max(nanos(BURST)))).then_some(next)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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

/// One probe on its way. Dropping it gives it up: who waits is told, unless only its sender is gone.
#[derive(Debug)]
pub struct Probe {
    probes: Arc<Probes>,
    sender: Weak<()>,
    backend: u64,
    number: u64,
    since: Instant,
    began: Instant,
    said: Option<(Load, Instant)>,
}

impl Probe {
    /// The id of whom to ask.
    pub fn backend(&self) -> u64 {
        self.backend
    }

    /// How long it waited to be sent.
    pub fn waited(&self) -> Duration {
        self.began.saturating_duration_since(self.since)
    }

    /// The backend said this, at that time.
    pub fn answered(mut self, load: Load, at: Instant) {
        self.said = Some((load, at));
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let is_cut_off = self.said.is_none() && self.sender.strong_count() == 0;
        if is_cut_off && self.probes.take_back(self.backend, self.number) {
            return;
        }
        let (load, now) = (self.said.map(|(load, _)| load), Instant::now());
        let at = self.said.map_or(now, |(_, at)| at);
        let took_us = u32::try_from(micros(now.saturating_duration_since(self.began))).unwrap_or(u32::MAX);
        self.probes.tell(self.number, Probed { backend: self.backend, load, took_us, at });
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

    /// What it said means something else from now on.
    pub fn forget_said(&self) {
        if let Some(said) = self.said.get() {
            said.load.store(NOTHING, Relaxed);
        }
    }

    /// What it said last, and when.
    pub fn said(&self, now: Instant) -> Option<(Load, Instant)> {
        let said = self.said.get()?;
        let load = Some(said.load.load(Relaxed)).filter(|load| *load != NOTHING)?;
        let (in_flight, latency) = ((load >> 32) as u32, load as u32);
        let ago = micros(self.age(now)).saturating_sub(said.at_us.load(Relaxed));
        let at = now.checked_sub(Duration::from_micros(ago)).unwrap_or(now);
        Some((Load { in_flight, latency_us: Some(latency).filter(|latency| *latency != UNSAID) }, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};
    use tokio::time::advance;

    const LOAD: Load = Load { in_flight: 3, latency_us: None };

    /// Two workers, and backends 0 to 99.
    struct Scene {
        probes: Arc<Probes>,
        figures: Vec<Arc<BackendFigures>>,
        sender: Arc<()>,
    }

    impl Scene {
        fn new(of_backend: u64, of_pool: u64) -> Scene {
            let [of_backend, of_pool] = [of_backend, of_pool].map(Duration::from_millis);
            let scene = Scene {
                probes: Arc::new(Probes::new(2)),
                figures: (0..100).map(|_| Arc::default()).collect(),
                sender: Arc::default(),
            };
            scene.probes.allow(Some(Budget { of_backend, of_pool }));
            scene
        }

        fn ask(&self, backend: u64, worker: usize) -> bool {
            self.probes.ask(backend, &self.figures[backend as usize], worker)
        }

        fn next(&self) -> Option<Probe> {
            self.probes.next(&self.sender)
        }

        fn told(&self, worker: usize) -> Vec<(u64, Option<Load>)> {
            self.probes.answers(worker).iter().map(|probed| (probed.backend, probed.load)).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_the_same_waits_for_one_answer() {
        let scene = Scene::new(1, 1);
        assert!(scene.ask(7, 0) && scene.ask(7, 1) && scene.ask(7, 1));
        let probe = scene.next().expect("one was asked for");
        assert!(probe.backend() == 7 && scene.next().is_none());
        assert!(scene.ask(7, 0), "it is under way");
        assert!(scene.next().is_none() && scene.told(0).is_empty());
        probe.answered(LOAD, Instant::now());
        assert_eq!((scene.told(0), scene.told(1)), (vec![(7, Some(LOAD))], vec![(7, Some(LOAD))]));
        assert!(scene.told(0).is_empty(), "each answer is told once");
        assert_eq!(scene.probes.counts(), ProbeCounts { sent: 1, answered: 1, ..ProbeCounts::default() });
        assert!(scene.ask(7, 1), "that one is over");
        drop(scene.next());
        assert_eq!((scene.told(0), scene.told(1)), (vec![], vec![(7, None)]));
        assert_eq!(scene.probes.counts().lost, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_held_by_backend_and_by_pool() {
        let scene = Scene::new(200, 50);
        let ask = |backend| {
            let may = scene.ask(backend, 0);
            drop(scene.next());
            may
        };
        assert_eq!([ask(1), ask(1), ask(2), ask(3)], [true, false, true, false]);
        assert_eq!(scene.probes.counts().refused, 2);
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
    async fn a_reload_forgives_no_budget() {
        let scene = Scene::new(1000, 0);
        assert!(scene.ask(1, 0));
        drop(scene.next());
        scene.probes.allow(Some(Budget { of_backend: Duration::from_secs(1), of_pool: Duration::ZERO }));
        assert!(!scene.ask(1, 0));
    }

    #[test]
    fn what_is_refused_takes_no_lock() {
        let scene = Arc::new(Scene::new(1_000_000, 0));
        assert!(scene.ask(1, 0) && scene.ask(1, 1), "the same one");
        drop(scene.next());
        let _held = scene.probes.state();
        let (tell, told) = mpsc::channel();
        let other = scene.clone();
        thread::spawn(move || tell.send(other.ask(1, 0)));
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_are_none_any_more_who_waits_is_told_so() {
        let scene = Scene::new(0, 0);
        assert!(!Probes::new(1).ask(1, &scene.figures[1], 0), "there are none yet");
        assert!(scene.ask(1, 0) && scene.ask(2, 0) && scene.ask(2, 1));
        let late = scene.next().expect("the first");
        scene.probes.allow(None);
        let mut told = scene.told(0);
        told.sort_unstable_by_key(|(backend, _)| *backend);
        assert_eq!((told, scene.told(1)), (vec![(1, None), (2, None)], vec![(2, None)]));
        assert!(scene.next().is_none() && !scene.ask(1, 0));
        scene.probes.allow(Some(Budget::default()));
        assert!(scene.ask(1, 1), "another one of the same backend");
        late.answered(LOAD, Instant::now());
        assert!(scene.told(0).is_empty() && scene.told(1).is_empty(), "that was the answer to the one before");
        drop(scene.next());
        assert_eq!(scene.told(1), [(1, None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_sender_leaves_behind_the_next_one_sends_first() {
        let mut scene = Scene::new(0, 0);
        assert!(scene.ask(1, 0) && scene.ask(2, 0));
        let (one, began) = (scene.next().expect("the first"), Instant::now());
        advance(Duration::from_millis(5)).await;
        scene.sender = Arc::default();
        drop(one);
        assert!(scene.told(0).is_empty(), "it is not lost");
        scene.probes.wanted().await;
        let again = scene.next().expect("the same");
        assert_eq!((again.backend(), again.waited()), (1, began.elapsed()));
        again.answered(LOAD, Instant::now());
        assert_eq!(scene.told(0), [(1, Some(LOAD))]);
        assert_eq!(scene.next().map(|next| next.backend()), Some(2));
        assert_eq!(scene.probes.counts(), ProbeCounts { sent: 2, answered: 1, lost: 1, refused: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_woken_once_for_what_comes_together() {
        let (scene, bell) = (Scene::new(0, 0), Arc::<Notify>::default());
        scene.probes.rings(0, &bell);
        (0..3).for_each(|backend| assert!(scene.ask(backend, 0)));
        while let Some(probe) = scene.next() {
            probe.answered(LOAD, Instant::now());
        }
        bell.notified().await;
        assert!(scene.probes.has_answers(0));
        assert_eq!(scene.told(0).len(), 3);
        assert!(!scene.probes.has_answers(0));
        assert!(scene.ask(9, 5), "of nobody's worker");
        drop(scene.next());
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
        figures.forget_said();
        assert_eq!(figures.said(Instant::now()), None);
    }
}
