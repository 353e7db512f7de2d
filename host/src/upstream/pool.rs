//! A named group of backends, with a number that grows whenever who may be chosen changes. All that is found out about a
//! backend comes together here, whoever found it out: its standing follows from all of it.

use super::{
    Backend, Bounds, Cookie,
    budget::Budget,
    condition::{Cause, Condition},
    probe, report,
    transport::Transport,
    ward::Ward,
};
use crate::{
    config::model::{self, ProbeBy, Tiers},
    figures::{self, Figures, PoolFigures, Probes, Reports, Standing, Tap},
    problem::Problem,
};
use http::{HeaderName, HeaderValue};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A named group of backends; shared by all workers.
#[derive(Debug)]
pub struct Pool {
    /// As configured.
    pub name: Arc<str>,
    /// In the order of the configuration.
    pub backends: Vec<Arc<Backend>>,
    /// What `turn.key` hashes.
    pub hash: Option<model::HashKey>,
    /// How backends are checked.
    pub health: model::Health,
    /// When one is taken out for what its requests tell; none: never.
    pub eject: Option<model::Eject>,
    /// Limits of one request.
    pub timeout: model::PoolTimeout,
    /// Who chooses between tiers.
    pub tiers: Tiers,
    /// What binds clients to backends; none: nothing.
    pub cookie: Option<Arc<Cookie>>,
    /// Who chooses while the plugin cannot.
    pub fallback: model::Fallback,
    /// What is sent once more.
    pub retry: model::Retry,
    /// After how long without an answer a second backend is asked; none: never.
    pub hedge: Option<Duration>,
    /// How many requests at the same time, and who waits; none: all that come.
    pub limit: Option<model::PoolLimit>,
    /// Bounds for the shares of backends; none: as the balancer chooses.
    pub share: Option<model::Share>,
    /// Which numbers are kept of those that its backends report; it outlives this record.
    pub reports: Arc<Reports>,
    /// Who wants to know how busy its backends are; it outlives this record.
    pub probes: Arc<Probes>,
    /// How they are asked; none: they are not.
    pub(super) probe: Option<model::Probe>,
    /// How they report; none: they are not listened to.
    reported: Option<model::Reported>,
    /// What is counted; it outlives this record.
    pub figures: Arc<PoolFigures>,
    /// Where its decisions are seen; it outlives this record.
    pub tap: Arc<Tap>,
    budget: Budget,
    pub(super) bounds: Arc<Bounds>,
    transport: Arc<Transport>,
    /// Below which share of ready backends all are offered, in per cent.
    panic: Option<u32>,
    /// How long a backend that became ready takes to its full share.
    slow_start: Option<Duration>,
    /// One tier, or none for the host, and no panic: how a backend stands is its own affair.
    each_alone: bool,
    ward: Mutex<Ward>,
    version: AtomicU64,
}

impl Pool {
    /// All backends warming; health checks make them ready.
    ///
    /// # Errors
    /// Everything that is wrong with the files that its TLS needs (PM021x).
    pub fn new(config: &model::Pool, figures: &Figures) -> Result<Arc<Pool>, Vec<Problem>> {
        let bounds = Arc::new(Bounds::new(figures.queue(&config.name), config.limit.as_ref()));
        let (transport, cookie) = (Transport::new(config), cookie(config));
        let files = match (transport, cookie) {
            (Ok(transport), Ok(cookie)) => Files { transport: Arc::new(transport), cookie: cookie.map(Arc::new) },
            (transport, cookie) => {
                return Err(transport.err().into_iter().flatten().chain(cookie.err()).collect());
            }
        };
        Ok(Pool::with(config, files, bounds, figures, None, 1))
    }

    /// The pool that takes the place of this one, which was made of `before`; the same one where nothing is other, in the
    /// files that its TLS needs neither. Backends that stay go on as they stand; those that are new, or have moved, are
    /// warming. Where the same files are asked for and something is wrong with them, it goes on with what was read before,
    /// and says what that is. Until it [takes over](Pool::take_over) the limits of this one hold.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn successor(
        self: &Arc<Self>,
        before: &model::Pool,
        config: &model::Pool,
        figures: &Figures,
    ) -> Result<(Arc<Pool>, Vec<Problem>), Vec<Problem>> {
        // The same one has kept connections, and sessions to resume.
        let (transport, mut stale) = match Transport::new(config) {
            Ok(fresh) if fresh == *self.transport => (self.transport.clone(), Vec::new()),
            Ok(fresh) => (Arc::new(fresh), Vec::new()),
            Err(wrong) if self.transport.is_of(before, config) => (self.transport.clone(), wrong),
            Err(wrong) => return Err(wrong),
        };
        let cookie = match cookie(config) {
            Ok(fresh) if fresh.as_ref() == self.cookie.as_deref() => self.cookie.clone(),
            Ok(fresh) => fresh.map(Arc::new),
            Err(wrong) if before.cookie == config.cookie => {
                stale.push(wrong);
                self.cookie.clone()
            }
            Err(wrong) => return Err(vec![wrong]),
        };
        let same_files = Arc::ptr_eq(&transport, &self.transport) && cookie == self.cookie;
        if same_files && before == config {
            return Ok((self.clone(), stale));
        }
        let files = Files { transport, cookie };
        // Beyond all that this one will ever reach: who was told of it has not been told of the successor.
        let version = (self.version() | u64::from(u32::MAX)) + 1;
        // The same bounds know who is under way, and who waits.
        Ok((Pool::with(config, files, self.bounds.clone(), figures, Some(self), version), stale))
    }

    fn with(
        config: &model::Pool,
        files: Files,
        bounds: Arc<Bounds>,
        figures: &Figures,
        before: Option<&Pool>,
        version: u64,
    ) -> Arc<Pool> {
        let Files { transport, cookie } = files;
        let known = before.iter().flat_map(|pool| &pool.backends).map(|backend| (backend.id, backend)).collect();
        let backends = config.backends.iter().enumerate().map(|(index, backend)| {
            let bounds = config.limit.is_some().then(|| bounds.clone());
            Arc::new(Backend::new(&config.name, index, backend, &transport, bounds, figures, &known))
        });
        let backends: Vec<_> = backends.collect();
        let (share, has) = (config.retry.budget, attempts(&backends));
        let budget = match before {
            Some(before) => before.budget.successor(share, attempts(&before.backends), has),
            None => Budget::new(share, has, Instant::now()),
        };
        Arc::new(Pool {
            budget,
            retry: config.retry,
            hedge: config.hedge,
            limit: config.limit,
            share: config.share,
            reports: figures.reports(&config.name),
            reported: config.reported.clone(),
            probes: figures.probes(&config.name),
            probe: config.probe.clone(),
            bounds,
            name: config.name.as_str().into(),
            hash: config.hash.clone(),
            health: config.health.clone(),
            eject: config.eject.clone(),
            timeout: config.timeout,
            fallback: config.fallback,
            tiers: config.tiers,
            cookie,
            figures: figures.pool(&config.name),
            tap: figures.tap(&config.name),
            panic: config.panic,
            slow_start: config.slow_start,
            each_alone: config.panic.is_none()
                && (config.tiers == Tiers::Plugin || backends.iter().all(|b| b.priority == backends[0].priority)),
            ward: Mutex::new(Ward::new(&backends, config.panic.is_some() && before.is_some_and(Pool::is_panic))),
            version: AtomicU64::new(version),
            transport,
            backends,
        })
    }

    /// Who is under way, and who waits, where there is a limit.
    pub fn bounds(&self) -> Option<&Arc<Bounds>> {
        self.limit.as_ref().map(|_| &self.bounds)
    }

    /// The head of a backend's answer came, or its trailers: they may say how busy it is. `get`: the first of a name.
    pub fn hears<'h>(&self, backend: &Backend, get: impl Fn(&HeaderName) -> Option<&'h HeaderValue>) {
        if let Some(asked) = &self.reported {
            report::read(asked, &self.reports, &backend.figures, &get);
        }
        if let Some(model::Probe { by: ProbeBy::Header(name), .. }) = &self.probe {
            probe::hear(backend, get(name));
        }
    }

    /// How many requests wait for room.
    pub fn queued(&self) -> usize {
        self.bounds.queue.length()
    }
    /// Grows with each change of who may be chosen. Read it before the standings: then a change in between is seen next time.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether the budget has a retry left, or a second backend to ask, which is then paid for.
    pub fn pays(&self, now: Instant) -> bool {
        self.budget.pay(attempts(&self.backends), now)
    }

    /// What was paid for and found nobody to ask.
    pub fn takes_back(&self) {
        self.budget.take_back();
    }

    /// Whether so few backends are ready that all are offered.
    pub fn is_panic(&self) -> bool {
        self.ward().is_panic()
    }

    /// Whether a backend gets less than its share after it became ready.
    pub fn starts_slowly(&self) -> bool {
        self.slow_start.is_some()
    }

    /// The backend of this name.
    pub fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| *backend.name == *name)
    }

    /// It takes no new work until [`Pool::undrain`].
    pub fn drain(&self, backend: &Backend) {
        self.learn(backend, Speed::Slow, |condition| condition.drain(true));
    }

    /// It takes new work again, as far as it is well; an ejection ends.
    pub fn undrain(&self, backend: &Backend) {
        self.learn(backend, Speed::Slow, |condition| {
            condition.drain(false);
            condition.eject(None);
        });
    }

    /// It has this weight from now on.
    pub fn weigh(&self, backend: &Backend, weight: u32) {
        let mut ward = self.ward();
        backend.weigh(weight);
        self.settle(&mut ward, backend);
        self.changed();
    }

    /// The first check of a start succeeded: all begin at the same time, so nobody slowly.
    pub(super) fn begins_well(&self, backend: &Backend, said: String) {
        self.learn(backend, Speed::Full, |condition| condition.well(said));
    }

    /// Checks succeeded.
    pub(super) fn is_well(&self, backend: &Backend, said: String) {
        self.learn(backend, Speed::Slow, |condition| condition.well(said));
    }

    /// Checks failed.
    pub(super) fn is_ill(&self, backend: &Backend, cause: Cause, said: String) {
        self.learn(backend, Speed::Slow, |condition| condition.ill(cause, said));
    }

    /// A check decided nothing.
    pub(super) fn says(&self, backend: &Backend, said: String) {
        backend.with_condition(|condition| condition.says(said));
    }

    /// Takes it out for what its requests tell, unless `most` are out for that already, or nobody else is ready; true when
    /// it went.
    pub(super) fn eject(&self, backend: &Backend, most: usize, why: String) -> bool {
        let others = self.backends.iter().any(|b| b.index != backend.index && b.is_ready());
        let may = others && self.ward().ejected() < most;
        if may {
            self.learn(backend, Speed::Slow, |condition| condition.eject(Some(why)));
        }
        may
    }

    /// Ends its ejection.
    pub(super) fn readmit(&self, backend: &Backend) {
        self.learn(backend, Speed::Slow, |condition| condition.eject(None));
    }

    /// Has it stand so, by what must be known for that.
    #[cfg(test)]
    pub(crate) fn stands(&self, backend: &Backend, standing: Standing, why: &str) {
        self.learn(backend, Speed::Full, |condition| {
            condition.drain(standing == Standing::Draining);
            match standing {
                Standing::Ready | Standing::Draining => condition.well(why.into()),
                _ => condition.ill(Cause::Refused, why.into()),
            }
        });
    }

    /// Something is known now that was not before. Nothing is settled anew when it changes nothing.
    fn learn(&self, backend: &Backend, speed: Speed, change: impl FnOnce(&mut Condition)) {
        let mut ward = self.ward();
        let (before, now) = backend.with_condition(|condition| {
            let before = (condition.standing(), condition.cause());
            change(condition);
            (before, (condition.standing(), condition.cause()))
        });
        if before == now {
            return;
        }
        let slow = self.slow_start.filter(|_| (speed, now.0) == (Speed::Slow, Standing::Ready));
        if let Some(length) = slow {
            backend.figures.start_slowly(length, Instant::now());
        }
        // In a panic its standing stays, but not its share.
        if self.settle(&mut ward, backend) || slow.is_some() {
            self.changed();
        }
        ward.tell(&self.name, backend);
    }

    /// It serves from now on, in the place of its predecessor, which may have learnt more until now. What both share, and one
    /// that was refused would too, is touched here first: limits, what counts as a slow answer, how all stand.
    pub fn take_over(&self) {
        self.bounds.set(self.limit.as_ref());
        self.reports.hold_for(self.reported.as_ref().map_or(Duration::ZERO, |reported| reported.fresh));
        self.probes.allow(self.probe.as_ref().map(budget));
        if self.probes.reads(self.probe.as_ref().and_then(header)) {
            self.backends.iter().for_each(|backend| backend.figures.forget_said());
        }
        let stall = self.eject.as_ref().and_then(|eject| eject.stall).unwrap_or(Duration::MAX);
        self.backends.iter().for_each(|backend| backend.figures.silence().slow_after(stall));
        self.settle_all();
    }

    /// Has all stand by what is known now.
    fn settle_all(&self) {
        let mut ward = self.ward();
        let changed = self.backends.iter().fold(false, |changed, backend| self.settle(&mut ward, backend) | changed);
        if changed {
            self.changed();
        }
    }

    /// Who may be chosen is other than before. Who waits for room may find it at somebody who came back.
    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
        self.bounds.queue.freed();
    }

    /// Standings follow from what is known; true when one changed.
    fn settle(&self, ward: &mut Ward, changed: &Backend) -> bool {
        if self.each_alone {
            return changed.stands(changed.alone().standing);
        }
        ward.settle(&self.name, &self.backends, self.panic, self.tiers)
    }

    fn ward(&self) -> MutexGuard<'_, Ward> {
        self.ward.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pool is made of that files say.
struct Files {
    transport: Arc<Transport>,
    cookie: Option<Arc<Cookie>>,
}

fn cookie(config: &model::Pool) -> Result<Option<Cookie>, Problem> {
    config.cookie.as_ref().map(|cookie| Cookie::new(&config.name, cookie)).transpose()
}

/// How often backends are asked.
fn budget(how: &model::Probe) -> figures::Budget {
    let every = |(times, of): (u32, Duration)| of.checked_div(times).unwrap_or(of);
    figures::Budget { of_backend: every(how.per_backend), of_pool: every(how.per_pool) }
}

fn header(how: &model::Probe) -> Option<&str> {
    match &how.by {
        ProbeBy::Header(name) => Some(name.as_str()),
        ProbeBy::Get(_) => None,
    }
}

/// All that were ever begun.
fn attempts(backends: &[Arc<Backend>]) -> u64 {
    backends.iter().map(|backend| backend.figures.attempts()).sum()
}

/// How a backend that became ready begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speed {
    /// With its whole share.
    Full,
    /// With a growing one, if the pool has it so.
    Slow,
}
