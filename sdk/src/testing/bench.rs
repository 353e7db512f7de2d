//! Drives a plugin as a host would: the same calls in the same order, on a clock and with chance that repeat.

use crate::{
    Backend, Balancer, Decision, Feedback, Filter, HandOver, Outcome, Place, Position, ProbeAnswer, Prober, Standing,
    Ticker, Turn, Verdict,
    export::{self, Pooled},
    testing::{Answer, Figures, Host, Notes, Request, host},
    turn::mix,
};

/// A host ticks no more often.
const PERIOD_LEAST_MS: u32 = 10;

/// A pool with one balancer instance for each of some workers. Time passes by 100 µs with each pick; chance is the same
/// in every run.
pub struct Bench<B> {
    workers: Vec<Pooled<B>>,
    settings: String,
    zone: String,
    /// What is said of a backend beside its weight, by its place.
    describe: Box<Describe>,
    backends: Vec<Backend>,
    /// Those that may be chosen, and the others.
    listed: (Vec<Backend>, Vec<Backend>),
    clock: Clock,
    next_worker: usize,
}

type Describe = dyn Fn(usize, &mut Backend);

impl<B: Balancer> Bench<B> {
    /// One worker, no settings, and a ready backend for each weight. The thread's [`Host`] starts afresh.
    pub fn new(weights: &[u32]) -> Bench<B> {
        match Bench::with("{}", weights, 1) {
            Ok(bench) => bench,
            Err(refusal) => panic!("the plugin refused empty settings: {refusal}"),
        }
    }

    /// The same with settings, as JSON, and more workers; the error is the plugin's.
    ///
    /// # Errors
    /// What the plugin says against the settings.
    pub fn with(settings: &str, weights: &[u32], workers: u32) -> Result<Bench<B>, String> {
        Bench::placed(settings, "", weights, workers, |_, _| {})
    }

    /// One worker in a zone, and ready backends of which more is said than their weights: zone, priority, metadata. That
    /// holds for those that [join](Bench::resize) later too.
    ///
    /// # Errors
    /// What the plugin says against the settings.
    pub fn among(
        settings: &str,
        zone: &str,
        weights: &[u32],
        describe: impl Fn(usize, &mut Backend) + 'static,
    ) -> Result<Bench<B>, String> {
        Bench::placed(settings, zone, weights, 1, describe)
    }

    pub(super) fn placed(
        settings: &str,
        zone: &str,
        weights: &[u32],
        workers: u32,
        describe: impl Fn(usize, &mut Backend) + 'static,
    ) -> Result<Bench<B>, String> {
        host(|host| *host = Host::default());
        let workers = (0..workers).map(|worker| Pooled::configure(settings, place("bench", zone, worker, workers)));
        let mut bench = Bench {
            workers: workers.collect::<Result<_, String>>()?,
            settings: settings.to_owned(),
            zone: zone.to_owned(),
            describe: Box::new(describe),
            backends: Vec::new(),
            listed: Default::default(),
            clock: Clock::default(),
            next_worker: 0,
        };
        bench.resize(weights);
        Ok(bench)
    }

    /// Says anew who belongs to the pool: the first `ready` backends may be chosen, the rest are `standing`.
    pub fn update(&mut self, ready: usize, standing: Standing) {
        let (ready, others) = self.backends.split_at(ready);
        let others: Vec<Backend> = others.iter().map(|backend| Backend { standing, ..backend.clone() }).collect();
        self.listed = (ready.to_vec(), others);
        for worker in &mut self.workers {
            tell(worker, &self.listed);
        }
    }

    /// Says anew who belongs to the pool: a ready backend for each weight. Those at the same place are the same ones;
    /// who joins at the end is new, and nothing is known of it.
    pub fn resize(&mut self, weights: &[u32]) {
        self.backends = weights.iter().zip(0..).map(|(&weight, at)| backend(at, weight)).collect();
        self.backends.iter_mut().enumerate().for_each(|(at, backend)| (self.describe)(at, backend));
        host(|host| host.figures.resize_with(weights.len(), Figures::default));
        self.update(weights.len(), Standing::Ready);
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, us: u64) {
        self.clock.now_us += us;
    }

    /// A request; the workers take turns.
    pub fn pick(&mut self) -> Decision {
        let turn = self.clock.turn(0);
        self.ask(&turn)
    }

    /// A request whose key, by the pool's `hash`, is this one; or that has none.
    pub fn pick_of(&mut self, key: Option<u64>) -> Decision {
        let turn = Turn { key, ..self.clock.turn(0) };
        self.ask(&turn)
    }

    /// A request that somebody looks at: what [`notes::explain`](crate::host::notes::explain) is told stands in the host's
    /// [`Notes`] after it.
    pub fn explained(&mut self) -> Decision {
        let turn = Turn { explain: true, ..self.clock.turn(0) };
        self.ask(&turn)
    }

    /// A retry of a request that has been at these positions.
    pub fn retry(&mut self, tried: &[Position]) -> Decision {
        host(|host| host.tried = tried.to_vec());
        let turn = self.clock.turn(tried.len() as u32);
        self.ask(&turn)
    }

    /// How often each backend was chosen in `picks` requests.
    pub fn spread(&mut self, picks: u32) -> Vec<u32> {
        let mut counts = vec![0; self.backends.len()];
        for _ in 0..picks {
            match self.pick() {
                Decision::Choose(at) => counts[at as usize] += 1,
                other => panic!("the plugin chose nobody: {other:?}"),
            }
        }
        counts
    }

    fn ask(&mut self, turn: &Turn) -> Decision {
        let worker = self.next_worker % self.workers.len();
        self.next_worker += 1;
        host(|host| host.notes = Notes::default());
        self.workers[worker].pick(turn)
    }
}

impl<B: Ticker> Bench<B> {
    /// Lets one period pass on every worker.
    pub fn tick(&mut self) {
        self.pass(self.period_us());
        self.tick_now();
    }

    /// Ticks without letting time pass.
    pub(super) fn tick_now(&mut self) {
        for worker in &mut self.workers {
            host(|host| host.now_us = self.clock.now_us);
            worker.tick(self.clock.now_us);
        }
    }

    /// Between two ticks, in microseconds.
    pub fn period_us(&self) -> u64 {
        self.workers.first().map_or(0, |worker| u64::from(worker.period_ms().max(PERIOD_LEAST_MS)) * 1000)
    }
}

impl<B: Feedback> Bench<B> {
    /// Tells the worker whose turn it was last what became of these attempts.
    pub fn observe(&mut self, outcomes: &[Outcome]) {
        let worker = self.next_worker.saturating_sub(1) % self.workers.len();
        self.workers[worker].observe(self.clock.now_us, &outcomes.iter().copied().collect());
    }
}

impl<B: Prober> Bench<B> {
    /// Tells the worker whose turn it was last what backends answered. [`Host::asked`] says whom the plugin had asked.
    pub fn probed(&mut self, answers: &[ProbeAnswer]) {
        let worker = self.next_worker.saturating_sub(1) % self.workers.len();
        self.workers[worker].probed(self.clock.now_us, &answers.iter().copied().collect());
    }
}

impl<B: HandOver> Bench<B> {
    /// On every worker another instance takes the place of the one that serves, as when the plugin's file is replaced.
    ///
    /// # Errors
    /// Why one of them does not take its predecessor's state; it serves all the same.
    pub fn hand_over(&mut self) -> Result<(), String> {
        let (count, mut taken) = (self.workers.len() as u32, Ok(()));
        for (worker, old) in (0..).zip(&mut self.workers) {
            let mut heir = Pooled::<B>::configure(&self.settings, place("bench", &self.zone, worker, count))?;
            tell(&mut heir, &self.listed);
            taken = taken.and(heir.restore(old.schema(), &[old.save()]));
            *old = heir;
        }
        taken
    }
}

/// A filter on one worker.
pub struct FilterBench<F> {
    filter: F,
    clock: Clock,
}

/// What a filter made of a request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As edited.
    pub request: Request,
    /// In place of a backend's, if the filter gave one.
    pub answer: Option<Answer>,
}

impl<F: Filter> FilterBench<F> {
    /// With settings, as JSON.
    ///
    /// # Errors
    /// What the plugin says against the settings.
    pub fn new(settings: &str) -> Result<FilterBench<F>, String> {
        host(|host| *host = Host::default());
        Ok(FilterBench { filter: export::filter(settings, &place("", "", 0, 1))?, clock: Clock::default() })
    }

    /// One request through the filter.
    pub fn send(&mut self, request: Request) -> Sent {
        host(|host| {
            host.request = request;
            host.answer = None;
            host.added = 0;
        });
        let verdict = self.filter.on_request(&self.clock.turn(0));
        let (request, answer) = host(|host| (host.request.clone(), host.answer.take()));
        match verdict {
            Verdict::Next => Sent { request, answer: None },
            Verdict::Responded if answer.is_some() => Sent { request, answer },
            Verdict::Responded => panic!("the filter said it had responded, but gave no answer; a host stops it here"),
        }
    }
}

/// Virtual time, seeded chance.
#[derive(Default)]
struct Clock {
    now_us: u64,
    turns: u64,
}

impl Clock {
    fn turn(&mut self, attempt: u32) -> Turn {
        self.now_us += 100;
        self.turns += 1;
        host(|host| host.now_us = self.now_us);
        Turn { now_us: self.now_us, random: mix(self.turns), key: Some(mix(!self.turns)), attempt, explain: false }
    }
}

/// Who belongs to the pool; what it may narrow to is what it defines now.
fn tell<B: Balancer>(worker: &mut Pooled<B>, (ready, others): &(Vec<Backend>, Vec<Backend>)) {
    host(|host| host.subsets.clear());
    worker.update(ready.clone(), others.clone());
}

fn place(pool: &str, zone: &str, instance: u32, instances: u32) -> Place {
    Place { pool: pool.into(), zone: zone.into(), instance, instances, generation: 1, seed: mix(u64::from(instance)) }
}

fn backend(at: u32, weight: u32) -> Backend {
    Backend {
        id: mix(u64::from(at) + 1),
        name: format!("backend-{at}"),
        address: format!("192.0.2.{}:{}", at % 256, 8000 + at / 256),
        weight,
        priority: 0,
        zone: String::new(),
        standing: Standing::Ready,
        metadata: Vec::new(),
    }
}
