//! Whether a request that was lost goes out once more, and when. Sent again is what no backend can have seen, and what may
//! be done twice; each request a few times at the most, all of a pool's together within its budget.

use crate::{
    config::model::{self, PoolTimeout},
    figures::PoolCounts,
    rng::Rng,
    upstream::{ErrorKind, ExchangeError, Limits, Pool, Retry},
};
use http::Method;
use std::time::Duration;
use tokio::time::Instant;

/// Backends that one request goes on to because the one before was not reached: of a thousand dead ones not all are tried.
const MOVES_MOST: u32 = 8;
/// Before any retry, however many there were.
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// What one request may still take.
pub(super) struct Retries<'a> {
    pool: &'a Pool,
    is_idempotent: bool,
    /// Of all attempts together.
    limits: Limits,
    /// Attempts that were repeated and paid for: a backend may have seen them, or had too much to do.
    sent: u32,
    /// The last of these was paid for, and nobody was asked yet.
    is_due: bool,
    /// Attempts of which nobody saw anything, and that were repeated.
    moves: u32,
}

impl<'a> Retries<'a> {
    pub(super) fn new(pool: &'a Pool, method: &Method, now: Instant) -> Retries<'a> {
        let limits = Limits {
            head: now + pool.timeout.head,
            idle: pool.timeout.idle,
            least: 1,
            end: pool.timeout.total.map(|total| now + total),
            tunnel: pool.timeout.tunnel,
            stall: None,
        };
        Retries { pool, is_idempotent: method.is_idempotent(), limits, sent: 0, moves: 0, is_due: false }
    }

    /// Whether the request may be done twice.
    pub(super) fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    /// When the answer's head must be there.
    pub(super) fn until(&self) -> Instant {
        until(&self.limits)
    }

    /// How long the attempt may take that begins now. What cannot be sent again after it, as when its body will not be
    /// whole then, is not ended before its time: nobody would answer it sooner.
    pub(super) fn limits(&self, now: Instant, stays_whole: bool) -> Limits {
        if !(stays_whole && self.is_idempotent && self.sent < self.pool.retry.most) {
            return self.limits;
        }
        let head = self.pool.timeout.per_try.map_or(self.limits.head, |most| self.limits.head.min(now + most));
        let stall = self.pool.eject.as_ref().and_then(|eject| eject.stall);
        Limits { head, stall: stall.map(|after| now + after), ..self.limits }
    }

    /// The pool's limits; a connect has no more time than the attempt.
    pub(super) fn timeout(&self, limits: &Limits, now: Instant) -> PoolTimeout {
        let left = until(limits).saturating_duration_since(now);
        let timeout = self.pool.timeout;
        PoolTimeout { connect: timeout.connect.min(left), ..timeout }
    }

    /// Whether a kept connection that was lost is replaced by a new one to the same backend. It says nothing about the
    /// backend, so the first time that costs no retry: a backend that is dying loses both.
    pub(super) fn may_reconnect(&self, lost: &ExchangeError) -> bool {
        // One that stands and is silent did not die of age, nor one on which something came.
        let died = matches!(lost.error.kind, ErrorKind::Closed | ErrorKind::Broken(_) | ErrorKind::GoneAway);
        died && lost.reused && !lost.answered && self.sent == 0 && self.may_repeat(lost, Instant::now())
    }

    /// Whether another backend is asked after this, and after which pause. Pays for it: see [`Retries::went_on`].
    pub(super) fn goes_on(&mut self, lost: &ExchangeError, counts: &PoolCounts, rng: &mut Rng) -> Option<Duration> {
        let now = Instant::now();
        if !self.may_repeat(lost, now) {
            return None;
        }
        if !lost.error.sent && !lost.error.is_overload() {
            self.moves += 1;
            return (self.moves <= MOVES_MOST).then_some(Duration::ZERO);
        }
        if self.sent == self.pool.retry.most {
            return None;
        }
        let pause = pause(&self.pool.retry, self.sent + 1, rng);
        if now + pause >= self.until() {
            return None;
        }
        if !self.pool.pays(now) {
            counts.retries_refused.up();
            return None;
        }
        self.sent += 1;
        self.is_due = true;
        Some(pause)
    }

    /// Whether anybody was found to ask. A retry that was paid for counts then, and is given back otherwise.
    pub(super) fn went_on(&mut self, somebody: bool, counts: &PoolCounts) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        if somebody { counts.retries.up() } else { self.pool.takes_back() }
    }

    /// As far as this loss and the time go.
    fn may_repeat(&self, lost: &ExchangeError, now: Instant) -> bool {
        let may = match lost.error.retry() {
            Retry::Unsent => true,
            Retry::Idempotent => self.is_idempotent,
            Retry::No => false,
        };
        may && now < self.until()
    }
}

/// When an attempt's head must be there.
fn until(limits: &Limits) -> Instant {
    limits.end.map_or(limits.head, |end| end.min(limits.head))
}

/// Before the retry of this number, from 1: twice as long each time, and less by up to half of it, so that what was lost
/// together does not come back together.
fn pause(retry: &model::Retry, number: u32, rng: &mut Rng) -> Duration {
    let whole = retry.backoff.saturating_mul(1 << (number - 1).min(16)).min(PAUSE_MOST);
    whole.mul_f64(1.0 - (rng.bits() >> 12) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::model::Backend, figures::Figures, net::h1::BadMessage, upstream::Error};
    use std::{io, net::SocketAddr, sync::Arc};
    use tokio::time::advance;

    fn pool(change: impl FnOnce(&mut model::Pool)) -> Arc<Pool> {
        let backends = vec![Backend::new("a", SocketAddr::from(([127, 0, 0, 1], 1)))];
        let mut config = model::Pool::new("test", backends);
        change(&mut config);
        Pool::new(&config, &Figures::default()).unwrap()
    }

    fn lost(kind: ErrorKind, sent: bool) -> ExchangeError {
        ExchangeError { error: Error { kind, sent }, answered: false, reused: false }
    }

    fn closed() -> ExchangeError {
        lost(ErrorKind::Closed, true)
    }

    fn refused() -> ExchangeError {
        lost(ErrorKind::Connect(io::ErrorKind::ConnectionRefused.into()), false)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_safe_is_sent_again() {
        let pool = pool(|_| {});
        let goes_on = |method: Method, lost: &ExchangeError| {
            Retries::new(&pool, &method, Instant::now()).goes_on(lost, pool.figures.of(0), &mut Rng::new(7)).is_some()
        };
        for (method, again) in [(Method::GET, true), (Method::PUT, true), (Method::POST, false), (Method::PATCH, false)]
        {
            assert_eq!(goes_on(method.clone(), &closed()), again, "{method}, sent");
            assert!(goes_on(method.clone(), &lost(ErrorKind::Closed, false)), "{method}, unsent");
            assert!(goes_on(method.clone(), &refused()), "{method}, refused");
            for bad in [|| ErrorKind::BadAnswer(BadMessage::NotHttp), || ErrorKind::BadStream(String::new())] {
                let bad = |sent| ExchangeError { answered: true, ..lost(bad(), sent) };
                assert_eq!(goes_on(method.clone(), &bad(true)), again, "{method}, answered with garbage");
                assert!(goes_on(method.clone(), &bad(false)), "{method}, greeted with garbage");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_may_have_died_of_age_is_replaced() {
        let pool = pool(|_| {});
        let aged = || ExchangeError { reused: true, ..closed() };
        for (lost, again) in [
            (aged(), true),
            (ExchangeError { reused: false, ..aged() }, false),
            (ExchangeError { answered: true, ..aged() }, false),
            (ExchangeError { reused: true, ..lost(ErrorKind::HeadTimeout, true) }, false),
        ] {
            let retries = Retries::new(&pool, &Method::GET, Instant::now());
            assert_eq!(retries.may_reconnect(&lost), again, "{lost:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_is_sent_again_as_often_as_configured_and_refused_connects_are_free() {
        for most in [0, 1, 3] {
            let pool = pool(|pool| pool.retry.most = most);
            let mut retries = Retries::new(&pool, &Method::GET, Instant::now());
            let mut rng = Rng::new(7);
            for _ in 0..most {
                for lost in [refused(), closed()] {
                    let pause = retries.goes_on(&lost, pool.figures.of(0), &mut rng).unwrap();
                    assert_eq!(pause.is_zero(), !lost.error.sent);
                    retries.went_on(true, pool.figures.of(0));
                }
            }
            assert_eq!(retries.goes_on(&closed(), pool.figures.of(0), &mut rng), None, "{most}");
            assert_eq!(pool.figures.of(0).retries.get(), u64::from(most));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_not_reached_costs_nothing_a_few_times() {
        let pool = pool(|_| {});
        let mut retries = Retries::new(&pool, &Method::POST, Instant::now());
        let mut goes_on = || {
            let pause = retries.goes_on(&refused(), pool.figures.of(0), &mut Rng::new(7));
            retries.went_on(true, pool.figures.of(0));
            pause
        };
        for _ in 0..MOVES_MOST {
            assert_eq!(goes_on(), Some(Duration::ZERO));
        }
        assert_eq!((goes_on(), pool.figures.of(0).retries.get()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_too_much_work_is_paid_for_whatever_it_is() {
        for kind in [|| ErrorKind::StreamRefused, || ErrorKind::NoPlace(Duration::ZERO), || ErrorKind::TooManyWait] {
            let pool = pool(|pool| pool.retry.most = 2);
            let mut retries = Retries::new(&pool, &Method::POST, Instant::now());
            let mut goes_on = || {
                let pause = retries.goes_on(&lost(kind(), false), pool.figures.of(0), &mut Rng::new(7));
                retries.went_on(true, pool.figures.of(0));
                pause
            };
            assert!(goes_on().is_some_and(|pause| pause > Duration::ZERO) && goes_on().is_some());
            assert_eq!((goes_on(), pool.figures.of(0).retries.get()), (None, 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_requests_of_a_pool_share_its_budget() {
        let pool = pool(|pool| pool.retry.budget = 0);
        let goes_on = |_: u64| {
            let mut retries = Retries::new(&pool, &Method::GET, Instant::now());
            let goes_on = retries.goes_on(&closed(), pool.figures.of(0), &mut Rng::new(7)).is_some();
            retries.went_on(true, pool.figures.of(0));
            goes_on
        };
        let allowed = (0..1000).filter(|&n: &u64| goes_on(n)).count() as u64;
        assert!(allowed < 200, "{allowed}");
        assert_eq!(
            (pool.figures.of(0).retries.get(), pool.figures.of(0).retries_refused.get()),
            (allowed, 1000 - allowed)
        );
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let retry = model::Retry { backoff: Duration::from_millis(100), ..Default::default() };
        let mut rng = Rng::new(7);
        for (number, whole) in [(1, 100), (2, 200), (4, 800), (5, 1000), (40, 1000)] {
            let pauses: Vec<_> = (0..100).map(|_| pause(&retry, number, &mut rng)).collect();
            let (least, most) = (Duration::from_millis(whole / 2), Duration::from_millis(whole));
            assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{number}: {pauses:?}");
            assert!(pauses.iter().max() > pauses.iter().min(), "{number}");
        }
        let none = model::Retry { backoff: Duration::ZERO, ..retry };
        assert_eq!(pause(&none, 3, &mut rng), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_has_its_own_time_and_all_have_the_requests() {
        let pool = pool(|pool| {
            pool.timeout.head = Duration::from_secs(10);
            pool.timeout.per_try = Some(Duration::from_secs(4));
            pool.retry.most = 9;
        });
        let mut retries = Retries::new(&pool, &Method::GET, Instant::now());
        let mut had = Vec::new();
        loop {
            let limits = retries.limits(Instant::now(), true);
            let left = limits.head - Instant::now();
            had.push(left.as_secs());
            assert_eq!(retries.timeout(&limits, Instant::now()).connect, Duration::from_secs(1).min(left));
            advance(left).await;
            let Some(pause) =
                retries.goes_on(&lost(ErrorKind::HeadTimeout, true), pool.figures.of(0), &mut Rng::new(7))
            else {
                break;
            };
            advance(pause).await;
        }
        assert_eq!(had, [4, 4, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sent_again_has_all_the_time_there_is() {
        let pool = pool(|pool| pool.timeout.per_try = Some(Duration::from_secs(4)));
        let now = Instant::now();
        let limits = |method, stays_whole| Retries::new(&pool, &method, now).limits(now, stays_whole);
        for (method, stays_whole, seconds) in
            [(Method::GET, true, 4), (Method::PUT, true, 4), (Method::PUT, false, 30), (Method::POST, true, 30)]
        {
            let limits = limits(method.clone(), stays_whole);
            let found = ((limits.head - now).as_secs(), limits.stall.is_some());
            assert_eq!(found, (seconds, seconds == 4), "{method} {stays_whole}");
        }
        let mut retries = Retries::new(&pool, &Method::GET, now);
        retries.goes_on(&closed(), pool.figures.of(0), &mut Rng::new(7)).unwrap();
        assert_eq!((retries.limits(now, true).head - now).as_secs(), 30, "it was the last one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_that_finds_nobody_or_no_time_costs_nothing() {
        let pool = pool(|pool| (pool.retry.budget, pool.retry.backoff) = (0, Duration::from_secs(1)));
        let counts = pool.figures.of(0);
        let goes_on = |left: Duration, somebody| {
            let begun = Instant::now() + left - pool.timeout.head;
            let mut retries = Retries::new(&pool, &Method::GET, begun);
            let goes_on = retries.goes_on(&closed(), counts, &mut Rng::new(7)).is_some();
            retries.went_on(somebody, counts);
            goes_on
        };
        advance(pool.timeout.head).await;
        for _ in 0..1000 {
            assert!(!goes_on(Duration::from_millis(100), true), "its pause would be longer");
            assert!(goes_on(Duration::from_secs(5), false));
        }
        assert_eq!((counts.retries.get(), counts.retries_refused.get()), (0, 0));
        assert!(goes_on(Duration::from_secs(5), true));
        assert_eq!(counts.retries.get(), 1);
    }
}
