//! Picks a backend and has it answer; where that fails before anything was lost, picks another.

use super::{Error, Kind, Worker, context::Context, grpc, hedge, replay::Replay, retry::Retries, room};
use crate::{
    balance::{self, Balancer, Pick, Question},
    figures::{Attempt, PoolCounts, Slip},
    net::{Body, Head, Response},
    upstream::{self, Backend, Connection, ErrorKind, ExchangeError, Limits, Outgoing, Permit, Pool},
};
use http::{HeaderValue, Version, header};
use std::{cell::RefCell, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// What a backend answered.
pub(super) struct Answered {
    pub response: Response,
    pub backend: Arc<Backend>,
    /// Counts the request until its answer has ended.
    pub permit: Option<Permit>,
}

/// The answer of one of the pool's backends.
pub(super) async fn forward(
    worker: &Worker,
    balancer: &RefCell<Balancer>,
    pool: &Pool,
    head: &mut Head,
    body: Body,
    context: &Context<'_>,
) -> Result<Answered, Error> {
    let now = context.began;
    let counts = pool.figures.of(worker.index());
    let choice = Choice { worker, balancer, context };
    let replay = Replay::new(body, pool.retry.replay);
    let mut retries = Retries::new(pool, &head.method, now);
    let mut trail = Trail::default();
    let (permit, mut start) =
        room::enter(pool, now, retries.until(), |now| choice.start(&mut trail, head, now)).await?;
    loop {
        let sender = Sender { worker, context, counts, replay: &replay, retries: &retries };
        let answered = match pool.hedge {
            Some(after) if trail.attempts == 0 && retries.is_idempotent() => {
                let second = |first: &Arc<Backend>| choice.second(pool, &replay, head, first);
                Box::pin(hedge::race(&sender, head, start, after, second)).await
            }
            _ => sender.send(start, head).await,
        };
        let Lost { error: lost, by, other } = match answered {
            Ok((response, backend)) => {
                context.heard(&backend);
                pool.hears(&backend, |name| response.headers.get(name));
                return Ok(Answered { response, backend, permit });
            }
            Err(lost) => lost,
        };
        let pause = if sender.may_repeat() { retries.goes_on(&lost, counts, &mut worker.rng()) } else { None };
        let Some(pause) = pause else { return Err(failed(lost.error, &by)) };
        tracing::debug!(backend = %by.name, error = %lost.error, ?pause, "the request goes to another backend");
        if !pause.is_zero() {
            sleep(pause).await;
        }
        for (lost, by) in other.into_iter().chain([(lost.error, by)]) {
            trail.lost(lost, by);
        }
        let next = choice.start(&mut trail, head, Instant::now());
        let next = next.and_then(|next| next.ok_or_else(|| trail.nobody_else()));
        retries.went_on(next.is_ok(), counts);
        start = next?;
    }
}

/// A backend, and the right to ask it.
pub(super) struct Start {
    pub backend: Arc<Backend>,
    ticket: Attempt,
    /// What binds the client to a backend, if this one answers.
    cookie: Option<HeaderValue>,
}

impl Start {
    /// Where is written what becomes of it, if anybody wants to hear.
    pub(super) fn slip(&self) -> Option<Slip> {
        self.ticket.slip()
    }
}

/// Who says whom to ask.
struct Choice<'a> {
    worker: &'a Worker,
    balancer: &'a RefCell<Balancer>,
    context: &'a Context<'a>,
}

impl Choice<'_> {
    /// Asks the balancer; how it chose is told in the answer, where somebody may know.
    fn pick(&self, head: &mut Head, now: Instant, attempt: u32, tried: &[Arc<Backend>]) -> Pick {
        let (mut balancer, mut rng) = (self.balancer.borrow_mut(), self.worker.rng());
        let question = Question { head, now, rng: &mut rng, attempt, tried };
        if !self.context.explains {
            return balancer.pick(question);
        }
        let (pick, seen) = balancer.explained(question);
        self.context.decided(seen);
        pick
    }

    /// Goes on to whom the plugin prefers; that is told like a decision.
    fn follow(&self, choice: balance::Choice, head: &Head, now: Instant, attempt: u32) -> Pick {
        let is_told = self.context.explains;
        let seen = self.balancer.borrow().preferred(&choice, head, attempt, now, is_told);
        if let Some(seen) = seen.filter(|_| is_told) {
            self.context.decided(seen);
        }
        Pick::Backend(choice)
    }

    /// Who is asked next: another backend when there is one. None: who could be has no room.
    fn start(&self, trail: &mut Trail, head: &mut Head, now: Instant) -> Result<Option<Start>, Error> {
        loop {
            let pick = match trail.preferred() {
                Some(choice) => self.follow(choice, head, now, trail.attempts),
                None => self.pick(head, now, trail.attempts, &trail.tried),
            };
            match pick {
                Pick::Backend(mut choice) => match choice.begin(trail.attempts, now) {
                    Some(ticket) => {
                        self.balancer.borrow_mut().began(&choice);
                        let cookie = self.cookie(&choice, head);
                        let backend = trail.asks(choice);
                        return Ok(Some(Start { backend, ticket, cookie }));
                    }
                    // Another worker was faster; what is full now is not chosen again.
                    None => continue,
                },
                Pick::Full => return Ok(None),
                Pick::Reject(status, told) => return Err(Kind::Rejected(status, told).into()),
                Pick::Nobody if std::mem::take(&mut trail.may_return) => trail.tried.clear(),
                Pick::Nobody => return Err(trail.nobody_else()),
            }
        }
    }

    /// Who is asked beside the first, which takes its time; none: nobody, or the request cannot be sent again.
    fn second(&self, pool: &Pool, replay: &Replay, head: &Head, first: &Arc<Backend>) -> Option<Start> {
        if !replay.is_complete() {
            return None;
        }
        let now = Instant::now();
        let tried = [first.clone()];
        // A copy: the first attempt may still be sending its own.
        match self.pick(&mut head.clone(), now, 1, &tried) {
            Pick::Backend(mut choice) if pool.pays(now) => {
                let Some(ticket) = choice.begin(1, now) else {
                    pool.takes_back();
                    return None;
                };
                pool.figures.of(self.worker.index()).hedges.up();
                let cookie = self.cookie(&choice, head);
                Some(Start { backend: choice.backend, ticket, cookie })
            }
            _ => None,
        }
    }

    /// What binds the client to the backend that the pick has named.
    fn cookie(&self, choice: &balance::Choice, head: &Head) -> Option<HeaderValue> {
        let id = choice.stick?;
        let balancer = self.balancer.borrow();
        balancer.assignment().pool.cookie.as_ref()?.bind(id, head.connection.tls.is_some())
    }
}

/// Where a request has been.
#[derive(Default)]
struct Trail {
    attempts: u32,
    /// Who may not be chosen again.
    tried: Vec<Arc<Backend>>,
    /// What the client is told of when nobody is left.
    told: Option<(upstream::Error, Arc<Backend>)>,
    /// The last backend may have seen it, or had no room just then: a retry was paid for, and is not lost for want of
    /// another backend.
    may_return: bool,
    /// The last choice, where the plugin said whom to ask next.
    ranked: Option<balance::Choice>,
}

impl Trail {
    /// Whom the plugin would have asked next when it chose the last one, if that is possible now.
    fn preferred(&mut self) -> Option<balance::Choice> {
        self.ranked.take()?.next(&self.tried)
    }

    /// This one is asked now.
    fn asks(&mut self, choice: balance::Choice) -> Arc<Backend> {
        let backend = choice.backend.clone();
        self.ranked = choice.is_ranked().then_some(choice);
        backend
    }

    fn lost(&mut self, error: upstream::Error, by: Arc<Backend>) {
        self.attempts += 1;
        self.tried.push(by.clone());
        // Who has no connection left, or a line that long, is not asked to add to it.
        self.may_return = error.sent || matches!(error.kind, ErrorKind::StreamRefused);
        // That a request was sent weighs more than that nobody else could be reached.
        self.told = self.told.take().filter(|(before, _)| before.sent).or(Some((error, by)));
    }

    /// What the last one did says more than that nobody is left.
    fn nobody_else(&mut self) -> Error {
        self.told.take().map_or(Kind::NobodyReady.into(), |(error, by)| failed(error, &by))
    }
}

fn failed(error: upstream::Error, by: &Backend) -> Error {
    Error { backend: Some(by.name.clone()), ..Kind::Upstream(error).into() }
}

/// Sends one request to one backend.
pub(super) struct Sender<'a> {
    worker: &'a Worker,
    context: &'a Context<'a>,
    counts: &'a PoolCounts,
    replay: &'a Replay,
    retries: &'a Retries<'a>,
}

/// An attempt that gave no answer.
pub(super) struct Lost {
    error: ExchangeError,
    by: Arc<Backend>,
    /// The other one, where two were under way.
    other: Option<(upstream::Error, Arc<Backend>)>,
}

impl Lost {
    /// Both of two are lost; the one that forbids more decides.
    pub(super) fn and(self, other: Lost) -> Lost {
        let (worse, other) = if other.error.is_worse_than(&self.error) { (other, self) } else { (self, other) };
        Lost { other: Some((other.error.error, other.by)), ..worse }
    }
}

impl Sender<'_> {
    /// More than one backend is asked: what either says before its answer is not passed on, for the other one's may count.
    pub(super) fn hush(&self) {
        self.context.interims.close();
    }

    /// Whether there is more to send than a head.
    pub(super) fn has_body(&self) -> bool {
        self.replay.has_body()
    }

    /// As far as the request goes: all of it is still here, and the client was told nothing that another answer might not
    /// keep.
    fn may_repeat(&self) -> bool {
        self.replay.is_whole() && !self.context.interims.are_any()
    }

    /// One attempt.
    pub(super) async fn send(&self, start: Start, head: &Head) -> Result<(Response, Arc<Backend>), Lost> {
        let Start { backend, ticket, cookie } = start;
        self.context.asks(&backend);
        match self.attempt(&backend, ticket, head).await {
            Ok(mut response) => {
                if let Some(cookie) = cookie {
                    response.headers.append(header::SET_COOKIE, cookie);
                }
                Ok((response, backend))
            }
            Err(error) => Err(Lost { error, by: backend, other: None }),
        }
    }

    async fn attempt(
        &self,
        backend: &Arc<Backend>,
        mut ticket: Attempt,
        head: &Head,
    ) -> Result<Response, ExchangeError> {
        let connections = self.worker.connections();
        let now = ticket.begun();
        let limits = self.retries.limits(now, self.replay.stays_whole());
        let purpose = self.replay.purpose();
        let connection = match connections.checkout(backend, head, purpose, &self.retries.timeout(&limits, now)).await {
            Ok(connection) => connection,
            Err(error) => {
                self.counts.failed(error.failure());
                error.told_unconnected(&mut ticket);
                return Err(ExchangeError { error, answered: false, reused: false });
            }
        };
        let slip = ticket.slip();
        let lost = match self.exchange(connection, head, ticket, limits).await {
            Ok(response) => return Ok(response),
            Err(lost) => lost,
        };
        if !self.retries.may_reconnect(&lost) || !self.may_repeat() {
            return Err(lost);
        }
        let now = Instant::now();
        let Some(mut ticket) = backend.begin(now) else { return Err(lost) };
        // For who chose, all of it is one attempt.
        ticket.reports_on(slip);
        match connections.connect(backend, head, purpose, &self.retries.timeout(&limits, now)).await {
            // The request may have been sent the first time, whatever becomes of the second.
            Ok(connection) => self.exchange(connection, head, ticket, limits).await.map_err(|last| last.or_worse(lost)),
            Err(error) => {
                self.counts.failed(error.failure());
                error.told_unconnected(&mut ticket);
                Err(lost)
            }
        }
    }

    /// Bytes of the body that have to come in so long. Some streams are slow by their nature; they travel in HTTP/2, where
    /// a slow one holds no connection of its own.
    fn least(&self, head: &Head, time: Duration) -> usize {
        let is_slow = || self.context.version == Version::HTTP_2 && grpc::is_sparse(&head.headers);
        let is_bound = matches!(self.replay, Replay::Tape(_)) && !is_slow();
        if is_bound { self.context.policy.least_rate.within(time) } else { 1 }
    }

    async fn exchange(
        &self,
        connection: Connection,
        head: &Head,
        ticket: Attempt,
        limits: Limits,
    ) -> Result<Response, ExchangeError> {
        let request =
            Outgoing { method: &head.method, target: &head.target, authority: &head.authority, headers: &head.headers };
        let limits = Limits { least: self.least(head, limits.idle), ..limits };
        let says = |interim| self.context.says(interim);
        let answered = connection.exchange(request, self.replay.play(), ticket, limits, &says).await;
        answered.inspect_err(|lost| self.counts.failed(lost.error.failure()))
    }
}
